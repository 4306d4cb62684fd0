package relay

import (
	"sync"

	"freshet/ringbuf"
)

// A catchup is the state of a subscriber that was on a branch of the log which
// was lost: what is in the log by now and was in the branch too, it has seen.
// Until all of that is behind it, its place takes two positions to say, and so
// do the ids that it is sent: a client that is cut off in the middle goes on
// right, wherever it comes back.
type catchup struct {
	lost    ringbuf.Position // the last it had on the branch
	skip    []uint64         // ascending; shared, never written
	missing bool             // more of the branch may find its place in the log
}

// catchupOf is what a route leaves to catch up with; nil = nothing.
func catchupOf(r Route) *catchup {
	if r.Lost == (ringbuf.Position{}) {
		return nil
	}
	return &catchup{lost: r.Lost, skip: r.Skip, missing: r.Missing}
}

// passes reports whether the subscriber has seen the event with a sequence.
func (c *catchup) passes(seq uint64) bool {
	for len(c.skip) > 0 && c.skip[0] < seq {
		c.skip = c.skip[1:]
	}
	if len(c.skip) == 0 || c.skip[0] != seq {
		return false
	}
	c.skip = c.skip[1:]
	return true
}

// over reports whether one position says again where the subscriber is.
func (c *catchup) over() bool { return len(c.skip) == 0 && !c.missing }

// catchups are a topic's subscribers that are catching up. There are few, and
// mostly none: a subscriber itself has no room for it.
type catchups struct {
	mu     sync.Mutex
	of     map[*subscriber]*catchup
	coming int // subscribers that are about to begin with one
}

func (cs *catchups) any() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.of)+cs.coming > 0
}

// expect counts one that is about to begin; set takes that back.
func (cs *catchups) expect() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.coming++
}

func (cs *catchups) arrived() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.coming--
}

func (cs *catchups) get(s *subscriber) *catchup {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.of[s]
}

// set says what the subscriber has to catch up with; nil = nothing any more.
func (cs *catchups) set(s *subscriber, c *catchup) {
	s.setCatching(c != nil)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case c == nil:
		if delete(cs.of, s); len(cs.of) == 0 {
			cs.of = nil
		}
	case cs.of == nil:
		cs.of = map[*subscriber]*catchup{s: c}
	default:
		cs.of[s] = c
	}
}

// catchUp makes the next events in the log private text, each with an id of two
// positions, but for those that the subscriber has seen. It reports whether
// there is anything to do after it: text, or the end of the catch-up.
func (s *subscriber) catchUp(ring *ringbuf.Ring, max int) bool {
	all := &s.topic.catchups
	c := all.get(s)
	for {
		at := s.cursor
		next := at
		e, lost, ok := ring.Step(&next)
		switch {
		case lost > 0:
			all.set(s, nil)
			s.lapped(ring, at)
			return true
		case !ok:
			return len(s.private()) > 0
		case c.passes(e.At.Seq):
			s.cursor = next
			if c.over() {
				all.set(s, nil)
				return true
			}
			continue
		case len(s.private()) > 0 && len(s.private())+len(e.Wire) > max:
			return true
		}
		s.cursor = next
		s.say(c.appendEvent(s.private(), &e))
		s.count(1, 0)
	}
}

// appendEvent appends an event's bytes. An id that its origin gave is its own.
func (c *catchup) appendEvent(dst []byte, e *ringbuf.Event) []byte {
	if e.OwnID {
		return append(dst, e.Wire...)
	}
	dst = append(dst, e.Body...)
	dst = append(dst, "id: "...)
	dst = append(dst, ringbuf.Place{At: e.At, Lost: c.lost}.String()...)
	return append(dst, "\n\n"...)
}

// take goes on in the log that is shown now.
func (s *subscriber) take(log *shownLog) {
	turns, known := log.since(s.version)
	torn := s.sent() > 0 && log.read(s.version) != log.ring
	s.version = log.version
	if torn {
		s.reason = eventLost
		return
	}
	all := &s.topic.catchups
	var c *catchup
	if s.catching() {
		c = all.get(s)
	}
	if !known {
		all.set(s, nil)
		s.miss(log.ring, s.topic.name, gapUnknown)
		return
	}
	for _, t := range turns {
		if t.merged && c == nil {
			continue
		}
		place := ringbuf.Place{At: t.from.Before(s.cursor)}
		if c != nil {
			place.Lost = c.lost
		}
		r := t.way(place)
		if r.Found != ringbuf.Known {
			all.set(s, nil)
			s.miss(log.ring, place.String(), gapOf(r.Found))
			return
		}
		s.cursor, c = ringbuf.CursorAfter(r.After), catchupOf(r)
	}
	if c != nil || s.catching() {
		all.set(s, c)
	}
}

// miss goes on with the oldest event there is, and says so.
func (s *subscriber) miss(ring *ringbuf.Ring, lastEventID string, why reason) {
	s.cursor = ring.Oldest()
	s.say(s.appendGap(nil, ring, lastEventID, why))
}

func gapOf(f ringbuf.Found) reason {
	if f == ringbuf.Evicted {
		return gapEvicted
	}
	return gapUnknown
}
