package netloop

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is set and unset, an alarm fires once, not before it is due and at the next tick that is
// seen; and next never promises more rest than there is.
func TestWheelModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := new(wheel)
		w.now = tick(rapid.SampledFrom([]uint32{0, 1000, 1<<32 - 5000, 1<<31 - 100}).Draw(rt, "start"))
		alarms := make([]*alarm, 20)
		due := make(map[*alarm]tick) // the model
		for i := range alarms {
			alarms[i] = new(alarm)
		}
		draw := func() *alarm { return rapid.SampledFrom(alarms).Draw(rt, "alarm") }
		after := func() tick {
			return tick(rapid.OneOf(rapid.Uint32Range(0, 5), rapid.Uint32Range(0, 3*wheelSlots)).Draw(rt, "after"))
		}
		advance := func(now tick) {
			w.advance(now, func(a *alarm) {
				d, ok := due[a]
				if !ok || d.after(now) {
					rt.Fatalf("fired at %d, due %d, set: %v", now, d, ok)
				}
				delete(due, a)
				if rapid.Bool().Draw(rt, "again") {
					d := now + 1 + after()
					w.set(a, d)
					due[a] = d
				}
			})
			for a, d := range due {
				if !d.after(now) {
					rt.Fatalf("due %d and not fired at %d (%v)", d, now, a.armed)
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(rt *rapid.T) {
				a, d := draw(), w.now+1+after()
				w.set(a, d)
				due[a] = d
			},
			"setBefore": func(rt *rapid.T) {
				a, d := draw(), w.now+1+after()
				w.setBefore(a, d)
				if old, ok := due[a]; !ok || old.after(d) {
					due[a] = d
				}
			},
			"unset": func(rt *rapid.T) {
				a := draw()
				w.unset(a)
				delete(due, a)
			},
			"advance": func(rt *rapid.T) { advance(w.now + after()) },
			"next": func(rt *rapid.T) {
				next, ok := w.next()
				if ok != (len(due) > 0) {
					rt.Fatalf("next: %v with %d alarms", ok, len(due))
				}
				for _, d := range due {
					if next.after(d) {
						rt.Fatalf("next is %d and an alarm is due at %d", next, d)
					}
				}
				if ok && !next.after(w.now) {
					rt.Fatalf("next is %d at %d", next, w.now)
				}
			},
		})
	})
}

func TestTicksRoundUp(t *testing.T) {
	for d, want := range map[time.Duration]tick{0: 0, 1: 1, tickLength: 1, tickLength + 1: 2, time.Second: 60} {
		if got := ticks(d); got != want {
			t.Errorf("%v is %d ticks, want %d", d, got, want)
		}
	}
}
