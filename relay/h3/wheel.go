package h3

import "time"

// A tick is a time of a loop's own, counted from the server's start in parts of the heartbeat, and
// allowed to wrap: ticks are compared by their difference.
type tick uint32

// after reports whether t is later than u.
func (t tick) after(u tick) bool { return int32(t-u) > 0 }

// Ticks of one heartbeat: how exactly it is kept. The wheel has twice as many slots, so that
// whatever is set is due within one round.
const (
	heartbeatTicks = 16
	wheelSlots     = 2 * heartbeatTicks
)

// A wheel holds the streams by the time of their next heartbeat. A stream is not moved when it is
// written to: when its time comes, it is looked at, and set anew. So a delivery costs no timer.
type wheel struct {
	length time.Duration // of a tick; 0 = no heartbeats
	now    tick
	set    int // streams in it
	slots  [wheelSlots]*stream
}

// add puts s in the slot of due, which is after now.
func (w *wheel) add(s *stream, due tick) {
	if w.length == 0 {
		return
	}
	if !due.after(w.now) {
		due = w.now + 1
	}
	s.due = due
	slot := &w.slots[due%wheelSlots]
	s.before, s.later = nil, *slot
	if s.later != nil {
		s.later.before = s
	}
	*slot = s
	s.flags |= inWheel
	w.set++
}

// remove takes s out, if it is in.
func (w *wheel) remove(s *stream) {
	if s.flags&inWheel == 0 {
		return
	}
	if s.before != nil {
		s.before.later = s.later
	} else {
		w.slots[s.due%wheelSlots] = s.later
	}
	if s.later != nil {
		s.later.before = s.before
	}
	s.before, s.later = nil, nil
	s.flags &^= inWheel
	w.set--
}

// advance moves on to now, and takes out every stream that has become due and gives it to ring, which
// may add and remove.
func (w *wheel) advance(now tick, ring func(*stream)) {
	if !now.after(w.now) {
		return
	}
	from := w.now + 1
	if now-from >= wheelSlots {
		from = now - wheelSlots + 1 // all slots once
	}
	w.now = now
	if w.set == 0 {
		return
	}
	for t := from; !t.after(now); t++ {
		for s := w.slots[t%wheelSlots]; s != nil; {
			if s.due.after(now) {
				s = s.later
				continue
			}
			w.remove(s)
			ring(s)
			s = w.slots[t%wheelSlots] // whatever ring did to the list
		}
	}
}
