package relay

import (
	"context"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// A seat is where a subscriber begins, in which version of its topic's log.
type seat struct {
	log     *shownLog
	cursor  ringbuf.Cursor
	catchup *catchup // nil = none
	gap     reason   // why it does not begin where its client had stopped; "" = it does
}

// seat finds where one begins who asks for it. Where relays agree on the log it
// may have to wait until it is known what an id means.
func (t *topic) seat(ctx context.Context, from start) seat {
	st := seat{log: t.log.Load()}
	ring := st.log.ring
	if from.resume == "" {
		st.cursor = from.place(ring)
		return st
	}
	// What can not come back in a header never was an id of ours.
	if !sse.UsableID(from.resume) {
		return st.unknown()
	}
	logs := t.relay.config.Logs
	at, found := ring.Find(from.resume)
	if logs == nil {
		return st.found(at, found)
	}
	// An id that an origin gave may stand for different places in different
	// branches of the log; a position is what it says.
	if found == ringbuf.Known && ring.Before(at).String() == from.resume {
		return st.found(at, found)
	}
	asked := st.unknown()
	_ = logs.Resume(ctx, t.name, from.resume, func(r Route) { // an error is an answer that did not come
		asked.log = t.log.Load()
		asked.follow(t, r)
	})
	return asked
}

func (st seat) unknown() seat { return st.found(st.log.ring.Oldest(), ringbuf.Unknown) }

// found begins where the ring says.
func (st seat) found(at ringbuf.Cursor, f ringbuf.Found) seat {
	st.cursor, st.gap = at, ""
	if f != ringbuf.Known {
		st.cursor, st.gap = st.log.ring.Oldest(), gapOf(f)
	}
	return st
}

// follow begins where a route says. It is called while the log stands still.
func (st *seat) follow(t *topic, r Route) {
	ring := st.log.ring
	if r.Found == ringbuf.Known && r.After < ring.Oldest().Seq() {
		r.Found = ringbuf.Evicted
	}
	*st = st.found(ringbuf.CursorAfter(r.After), r.Found)
	if st.gap == "" {
		if st.catchup = catchupOf(r); st.catchup != nil {
			t.catchups.expect()
		}
	}
}

// leave undoes what a seat is counted by.
func (st seat) leave(t *topic) {
	if st.catchup != nil {
		t.catchups.arrived()
	}
}

// atEnd reports whether nothing is left for who begins there, in a topic that
// has ended.
func (st seat) atEnd(from start) bool {
	return from.resume == "" || st.gap == gapUnknown || st.gap == "" && st.log.ring.Lag(st.cursor) == 0
}

// place returns where to begin without an id to resume from.
func (from start) place(ring *ringbuf.Ring) ringbuf.Cursor {
	switch from.from {
	case fromOldest:
		return ring.Oldest()
	case fromLast:
		return ring.Last(from.last)
	case fromSince:
		return ring.Since(from.since)
	}
	return ring.Latest()
}
