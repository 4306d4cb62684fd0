package h3

import (
	"testing"

	"pgregory.net/rapid"
)

// The wheel rings each stream at the first advance to its time or beyond, and no other.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := tick(rapid.SampledFrom([]uint32{0, 5, 1<<32 - 3}).Draw(t, "start"))
		w := &wheel{length: 1, now: now}
		due := make(map[*stream]tick)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				s := new(stream)
				at := now + tick(rapid.Uint32Range(0, heartbeatTicks).Draw(t, "in"))
				w.add(s, at)
				if at == now {
					at++
				}
				due[s] = at
			},
			"remove": func(t *rapid.T) {
				for s := range due {
					w.remove(s)
					w.remove(s)
					delete(due, s)
					return
				}
			},
			"advance": func(t *rapid.T) {
				now += tick(rapid.Uint32Range(0, 3*wheelSlots).Draw(t, "by"))
				w.advance(now, func(s *stream) {
					at, ok := due[s]
					if !ok || at.after(now) {
						t.Fatalf("rang %v at %d, due at %d", ok, now, at)
					}
					delete(due, s)
					// What rings may set others and itself anew.
					if len(due)%2 == 0 {
						w.add(s, now+heartbeatTicks)
						due[s] = now + heartbeatTicks
					}
				})
			},
			"": func(t *rapid.T) {
				for s, at := range due {
					if !at.after(w.now) {
						t.Fatalf("not rung: %v due at %d, now %d", s, at, w.now)
					}
				}
				if w.set != len(due) {
					t.Fatalf("%d set, want %d", w.set, len(due))
				}
			},
		})
	})
}
