package netloop

import (
	"math/bits"
	"time"
)

// A tick is a time of a loop's own, counted from the engine's start and allowed to wrap:
// ticks are compared by their difference. Streams keep one instead of a time.Time.
type tick uint32

const tickLength = 1 << 24 // nanoseconds, 16.8 ms; a tick wraps after 2.2 years

// ticks is d in ticks, rounded up so that nothing fires early.
func ticks(d time.Duration) tick {
	return tick((d + tickLength - 1) / tickLength)
}

// after reports whether t is later than u.
func (t tick) after(u tick) bool { return int32(t-u) > 0 }

const wheelSlots = 4096 // 69 s; what is due later goes around more than once

// A wheel holds the one alarm of each connection of a loop. An alarm is never moved when
// something happens on its connection: it fires, the connection looks what is due,
// and sets it anew. So a delivery costs no timer.
type wheel struct {
	now      tick
	armed    int
	slots    [wheelSlots]*alarm
	occupied [wheelSlots / 64]uint64 // which slots are not empty
	later    []*alarm                // of the slot at hand, due in another round; reused
}

// An alarm is a place in a wheel, embedded in what it wakes.
type alarm struct {
	next, prev *alarm
	due        tick
	armed      bool
	conn       *conn
}

// set makes a fire at due, or at the next tick if that is past.
func (w *wheel) set(a *alarm, due tick) {
	if a.armed {
		w.unset(a)
	}
	if !due.after(w.now) {
		due = w.now + 1
	}
	a.due, a.armed = due, true
	i := due % wheelSlots
	a.prev, a.next = nil, w.slots[i]
	if a.next != nil {
		a.next.prev = a
	}
	w.slots[i] = a
	w.occupied[i/64] |= 1 << (i % 64)
	w.armed++
}

// setBefore makes a fire at due at the latest.
func (w *wheel) setBefore(a *alarm, due tick) {
	if !a.armed || a.due.after(due) {
		w.set(a, due)
	}
}

func (w *wheel) unset(a *alarm) {
	if !a.armed {
		return
	}
	i := a.due % wheelSlots
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		w.slots[i] = a.next
		if a.next == nil {
			w.occupied[i/64] &^= 1 << (i % 64)
		}
	}
	if a.next != nil {
		a.next.prev = a.prev
	}
	a.next, a.prev, a.armed = nil, nil, false
	w.armed--
}

// advance moves to now and fires what has become due. fire may set and unset any alarm.
func (w *wheel) advance(now tick, fire func(*alarm)) {
	steps := now - w.now
	if int32(steps) <= 0 {
		return
	}
	if w.armed == 0 {
		w.now = now
		return
	}
	i := w.now + 1
	if steps > wheelSlots {
		i, steps = now-wheelSlots+1, wheelSlots
	}
	w.now = now // an alarm set while we fire must not land in a slot that we have passed
	for ; steps > 0; i, steps = i+1, steps-1 {
		slot := i % wheelSlots
		if w.occupied[slot/64]&(1<<(slot%64)) == 0 {
			continue
		}
		w.later = w.later[:0]
		for a := w.slots[slot]; a != nil; a = w.slots[slot] {
			due := a.due
			w.unset(a)
			if due.after(now) {
				a.due = due
				w.later = append(w.later, a)
			} else {
				fire(a)
			}
		}
		for _, a := range w.later {
			if !a.armed {
				w.set(a, a.due)
			}
		}
	}
}

// next is the earliest tick at which advance may have something to do, if any.
func (w *wheel) next() (tick, bool) {
	if w.armed == 0 {
		return 0, false
	}
	first := w.now + 1
	slot := first % wheelSlots
	word := int(slot / 64)
	found := w.occupied[word] &^ (1<<(slot%64) - 1)
	for n := 0; n <= len(w.occupied); n++ {
		if found != 0 {
			at := tick(word*64 + bits.TrailingZeros64(found))
			return first + (at-slot)%wheelSlots, true
		}
		word = (word + 1) % len(w.occupied)
		found = w.occupied[word]
	}
	return 0, false
}
