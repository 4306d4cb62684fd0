package ringbuf

import "time"

// count is how many events are kept; for writers.
func (r *Ring) count() int { return int(r.head.Load() + 1 - r.oldest.Load()) }

// bound evicts what would be beyond the limits once an event of size bytes, committed
// at ms, is there.
func (r *Ring) bound(size int, ms int64) {
	n, bytes := r.count(), int(r.bytes.Load())
	l := &r.limits
	for n > 0 && (l.Events > 0 && n >= l.Events || l.Bytes > 0 && bytes+size > l.Bytes) {
		bytes -= r.evict()
		n--
	}
	r.expire(ms)
}

// expire evicts what was committed more than the limit's age before ms.
func (r *Ring) expire(ms int64) {
	if r.limits.Age <= 0 {
		return
	}
	v := r.view.Load()
	for r.count() > 0 {
		s, i := v.entry(r.oldest.Load())
		if s.commit(i) >= ms-r.limits.Age.Milliseconds() {
			return
		}
		r.evict()
	}
}

// evict makes the oldest event invisible and returns its size. Its memory goes with its
// segment: see drop.
func (r *Ring) evict() int {
	v := r.view.Load()
	oldest := r.oldest.Load()
	s, i := v.entry(oldest)
	size := s.stop(i) - s.start(i)
	r.oldest.Store(oldest + 1)
	r.bytes.Add(-int64(size))
	return size
}

// drop gives back the segments of which nothing is kept.
func (r *Ring) drop() {
	v := r.view.Load()
	if len(v.segs) == 0 {
		return
	}
	head, oldest := r.head.Load(), r.oldest.Load()
	n := 0
	for n < len(v.segs) && v.stop(n, head) <= oldest {
		n++
	}
	if n == 0 {
		return
	}
	for _, s := range v.segs[:n] {
		r.segBytes -= s.footprint()
	}
	next := *v
	// A copy, because an array shared with the old view would keep the dropped segments
	// alive.
	next.segs = append(make([]*segment, 0, len(v.segs)-n), v.segs[n:]...)
	if next.ids != nil && len(next.segs) > 0 {
		first := next.segs[0].first
		if held := head + 1 - first; uint64(len(next.ids.slots)) > max(8*held, minSlots) {
			next.ids = next.ids.rebuilt(first)
		}
	}
	r.publish(next)
}

// Expire evicts the events committed more than Limits.Age before now, and returns the
// memory that this gave back, in bytes. A topic that receives events expires old ones
// by their commit times, one that has become quiet only by Expire.
func (r *Ring) Expire(now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.Footprint()
	r.expire(now.UnixMilli())
	r.drop()
	if kept := int(r.bytes.Load()) + indexSize*r.count(); 4*kept < r.segBytes {
		r.settle()
	}
	if p := r.deflated.Load(); p != nil {
		p.forget(r.oldest.Load())
		p.rest()
	}
	return before - r.Footprint()
}

// Trim gives back memory until the ring's footprint is at most target bytes or it has
// no events left: first spare room, then the oldest events, a segment at a time. It
// returns what it gave back, in bytes.
func (r *Ring) Trim(target int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.Footprint()
	if before > target {
		r.settle()
	}
	for r.Footprint() > target && r.count() > 0 {
		v := r.view.Load()
		for stop := v.stop(0, r.head.Load()); r.oldest.Load() < stop; {
			r.evict()
		}
		r.drop()
	}
	if p := r.deflated.Load(); p != nil {
		p.forget(r.oldest.Load())
	}
	return before - r.Footprint()
}

// Forget evicts all events and returns the memory that this gave back, in bytes. The
// head, the newest event's id and the lineage stay: whoever has seen the newest event
// resumes without a gap.
func (r *Ring) Forget() int { return r.Trim(0) }

// settle moves what the first and the last segment hold into segments without spare room.
func (r *Ring) settle() {
	v := r.view.Load()
	if len(v.segs) == 0 || r.count() == 0 {
		return
	}
	next := *v
	next.segs = append(make([]*segment, 0, len(v.segs)), v.segs...)
	for _, i := range []int{0, len(v.segs) - 1} {
		s := next.segs[i]
		first := max(s.first, r.oldest.Load())
		at := int(first - s.first)
		need := s.end - s.start(at) + indexSize*(s.n-at)
		if 8*need > 7*len(s.buf) {
			continue // it would hardly get smaller
		}
		snug := newSegment(need, first, s.commit(at))
		snug.take(s, first)
		next.segs[i] = snug
		r.segBytes += snug.footprint() - s.footprint()
	}
	r.publish(next)
}
