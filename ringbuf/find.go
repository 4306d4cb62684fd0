package ringbuf

// Found says what a ring knows of an id.
type Found uint8

const (
	Unknown Found = iota // names no event of this log that the ring remembers
	Known                // everything after the event is kept
	Evicted              // an event of this log; some that came after it are no longer kept
	Ahead                // a position that this log has not reached yet
)

func (f Found) String() string {
	switch f {
	case Known:
		return "known"
	case Evicted:
		return "evicted"
	case Ahead:
		return "ahead"
	}
	return "unknown"
}

// Find looks up the event that a client saw last, by its position or by its id. The
// cursor is where the client goes on: just after the event if it is Known, before the
// oldest event kept if it is Evicted or Unknown, after the newest if it is Ahead.
func (r *Ring) Find(id string) (Cursor, Found) {
	at, isPosition := parsePosition(id)
	head := r.head.Load()
	v := r.view.Load()
	if isPosition {
		if i := v.lineage.branch(at.Epoch); i >= 0 {
			switch {
			case at.Seq < v.lineage.before(i) || at.Seq > v.lineage.last(i):
				return r.Oldest(), Unknown // on a branch that was lost
			case at.Seq > head:
				return r.Latest(), Ahead
			}
			return r.resume(at.Seq)
		}
	}
	if id != "" {
		if seq, ok := r.lookup(v, head, id, hashID(id)); ok {
			return r.resume(seq)
		}
	}
	if newest := v.lineage.newest(); isPosition && at.Epoch > newest && at.Seq > head {
		return r.Latest(), Ahead
	}
	return r.Oldest(), Unknown
}

// resume returns the place after the event with sequence seq, which is not after the head.
func (r *Ring) resume(seq uint64) (Cursor, Found) {
	if oldest := r.oldest.Load(); seq+1 < oldest {
		return Cursor{after: oldest - 1}, Evicted
	}
	return Cursor{after: seq}, Known
}

// Lookup returns the event that has this id or position, if it is kept.
func (r *Ring) Lookup(id string) (Event, bool) {
	head := r.head.Load()
	v := r.view.Load()
	if at, ok := parsePosition(id); ok && v.lineage.branch(at.Epoch) >= 0 {
		return r.At(at)
	}
	if id != "" {
		if seq, ok := r.lookup(v, head, id, hashID(id)); ok {
			return r.get(seq)
		}
	}
	return Event{}, false
}

// At returns the event at a position, if it is kept.
func (r *Ring) At(p Position) (Event, bool) {
	if e, ok := r.get(p.Seq); ok && e.At == p {
		return e, true
	}
	return Event{}, false
}

// get returns the event with sequence seq, if it is kept.
func (r *Ring) get(seq uint64) (Event, bool) {
	head := r.head.Load()
	v := r.view.Load()
	if seq > head || seq < r.oldest.Load() {
		return Event{}, false
	}
	s, i := v.entry(seq)
	return s.event(i, v.lineage.at(seq)), true
}

// ID returns the id of the event at p. The newest event's is known for ever; of others
// that are no longer held it is the position's text, which names them as well.
func (r *Ring) ID(p Position) string {
	head := r.head.Load()
	v := r.view.Load()
	if p.Seq <= head && v.lineage.at(p.Seq) == p {
		if v.gone.id != "" && v.gone.seq == p.Seq {
			return v.gone.id
		}
		if v.holds(p.Seq) {
			s, i := v.entry(p.Seq)
			if id := s.own(i); id != nil {
				return string(id)
			}
		}
	}
	return p.String()
}

// Recall tells a ring that holds no events yet which id the origin gave to the one at
// its head, so that a client that has seen it resumes without a gap. It does nothing if the
// ring knows better or no client can send the id back.
func (r *Ring) Recall(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := *r.view.Load()
	head := r.head.Load()
	if next.holds(head) || !usableID(id) || next.lineage.claims(id) {
		return
	}
	next.gone = goneID{seq: head, id: id}
	r.publish(next)
}
