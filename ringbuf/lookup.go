package ringbuf

// lookup returns the sequence of the latest event that has id as the origin's. It
// knows all that are held, kept or evicted, and the last that is not. The caller loaded
// head and v in that order.
func (r *Ring) lookup(v *view, head uint64, id string, hash uint32) (seq uint64, ok bool) {
	for {
		if seq, ok := r.probe(v, head, id, hash); ok {
			return seq, true
		}
		if v.gone.id == id {
			return v.gone.seq, true
		}
		// A miss counts only if nothing was dropped meanwhile: a later event may have
		// taken the id over and be gone itself.
		head = r.head.Load()
		now := r.view.Load()
		if now == v {
			return 0, false
		}
		v = now
	}
}

// probe searches v's table.
func (r *Ring) probe(v *view, head uint64, id string, hash uint32) (seq uint64, ok bool) {
	t := v.ids
	if t == nil {
		return 0, false
	}
	for at := t.home(hash); ; at = t.next(at) {
		word := t.slots[at].Load()
		if word == 0 {
			return 0, false
		}
		if uint32(word>>32) != hash {
			continue
		}
		seq := t.seq(word)
		if seq > head {
			// Appended since this lookup began, or about to become visible. Until it is, an
			// older event that had this id is the answer.
			pending := seq > r.head.Load()
			old := r.superseded.Load()
			v = r.view.Load()
			if pending && v.named(old, id) {
				return old, true
			}
			if head = r.head.Load(); seq > head {
				continue
			}
			v = r.view.Load()
		}
		if v.named(seq, id) {
			return seq, true
		}
	}
}

// enter puts an event that is about to become visible into the table of ids.
func (r *Ring) enter(hash uint32, seq uint64) {
	v := r.view.Load()
	if v.ids != nil && v.ids.takes(seq) {
		v.ids.put(hash, seq)
		return
	}
	next := *v
	if next.ids == nil {
		next.ids = newIDTable(1, seq)
	} else {
		next.ids = next.ids.rebuilt(v.segs[0].first)
	}
	next.ids.put(hash, seq)
	r.publish(next)
}

// supersede gives the slot of the event old to the event seq, which has the same id and
// is about to become visible.
func (r *Ring) supersede(hash uint32, old, seq uint64) {
	r.superseded.Store(old)
	v := r.view.Load()
	if v.ids != nil && !v.ids.spans(seq) {
		next := *v
		next.ids = v.ids.rebuilt(v.segs[0].first)
		r.publish(next)
		v = r.view.Load()
	}
	if t := v.ids; t == nil || !t.replace(hash, old, seq) {
		r.enter(hash, seq) // the old event is no longer held
	}
}
