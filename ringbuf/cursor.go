package ringbuf

import (
	"sort"
	"time"
)

// A Cursor is a reader's place in a log: just after an event. It is a plain value; to
// copy it is to have a second reader. The zero Cursor is before the first event that
// ever was.
type Cursor struct {
	after uint64
}

// CursorAfter returns the place just after the event with sequence seq.
func CursorAfter(seq uint64) Cursor { return Cursor{after: seq} }

// Seq returns the sequence of the event that the cursor is just after.
func (c Cursor) Seq() uint64 { return c.after }

// Oldest returns the place before the oldest event kept.
func (r *Ring) Oldest() Cursor { return Cursor{after: r.oldest.Load() - 1} }

// Latest returns the place after the newest event.
func (r *Ring) Latest() Cursor { return Cursor{after: r.head.Load()} }

// Last returns the place before the newest n events, or as many as are kept.
func (r *Ring) Last(n int) Cursor {
	head := r.head.Load()
	oldest := min(r.oldest.Load()-1, head)
	if n <= 0 {
		return Cursor{after: head}
	}
	if uint64(n) >= head-oldest {
		return Cursor{after: oldest}
	}
	return Cursor{after: head - uint64(n)}
}

// Since returns the place before the first event kept that was committed at t, to the
// millisecond, or later.
func (r *Ring) Since(t time.Time) Cursor {
	head := r.head.Load()
	v := r.view.Load()
	first := r.oldest.Load()
	if first > head {
		return Cursor{after: head}
	}
	ms := t.UnixMilli()
	// Commit times never run backwards in a ring.
	n := sort.Search(int(head+1-first), func(i int) bool {
		s, at := v.entry(first + uint64(i))
		return s.commit(at) >= ms
	})
	return Cursor{after: first + uint64(n) - 1}
}

// Before returns the position before the first event to come at c: what a client
// that has got nothing further can resume from. Of a place whose epoch is forgotten, long
// evicted, it is a position that Find does not know.
func (r *Ring) Before(c Cursor) Position { return r.view.Load().lineage.at(c.after) }

// Lag returns how many events were appended since the place c, kept or not.
func (r *Ring) Lag(c Cursor) uint64 {
	head := r.head.Load()
	return head - min(c.after, head)
}

// Next returns the next events at c as one run of bytes, says how many they are, and
// moves c behind them. The bytes are the log's own and never change; holding on to them
// keeps the segment they lie in, up to 64 KiB, in memory.
//
// A run holds whole events only, as many as fit in max bytes, but at least one. So only
// a run of a single event can be longer than max: then the caller sends a part of it
// and keeps the rest to itself. A run may end before max is reached though more events
// wait; at the head it is nil.
//
// If the event at c is no longer kept, Next returns no bytes but how many events are
// lost, and moves c to the oldest kept.
func (r *Ring) Next(c *Cursor, max int) (run []byte, events int, lost uint64) {
	s, i, n, lost := r.at(c)
	if s == nil {
		return nil, 0, lost
	}
	last := s.last(i, n, max)
	start, stop := s.start(i), s.stop(last)
	events = last - i + 1
	c.after += uint64(events)
	return s.buf[start:stop:stop], events, 0
}

// An Event is one event of a ring. Its slices are the log's own: they never change, and
// holding on to them keeps their segment in memory.
type Event struct {
	At     Position
	Commit time.Time
	Wire   []byte // all of it: Body, the id line, and the blank line at the end
	Body   []byte // as appended
	ID     []byte
	OwnID  bool // ID was set by the origin; it is not the position's text
}

// Entry returns what another ring of the same topic appends to hold this event with
// this id.
func (e *Event) Entry() Entry {
	return Entry{Body: e.Body, ID: string(e.ID), Settled: true, Commit: e.Commit}
}

// Step returns the next event at c and moves c behind it. At the head ok is false; it
// is too when events are lost, and c then moves to the oldest kept.
func (r *Ring) Step(c *Cursor) (e Event, lost uint64, ok bool) {
	s, i, _, lost := r.at(c)
	if s == nil {
		return Event{}, lost, false
	}
	c.after++
	return s.event(i, r.Before(*c)), 0, true
}

// at returns the segment and the entry there of the event at c, and how many entries
// the segment has; nil at the head, or if events are lost, which it mends in c.
func (r *Ring) at(c *Cursor) (s *segment, i, n int, lost uint64) {
	head := r.head.Load()
	if c.after >= head {
		return nil, 0, 0, 0
	}
	// The order matters: what is not older than oldest now, the view has.
	v := r.view.Load()
	if oldest := r.oldest.Load(); c.after+1 < oldest {
		lost = oldest - 1 - c.after
		c.after = oldest - 1
		return nil, 0, 0, lost
	}
	k := v.find(c.after + 1)
	s = v.segs[k]
	return s, int(c.after + 1 - s.first), int(v.stop(k, head) - s.first), 0
}
