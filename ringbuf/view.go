package ringbuf

import "unsafe"

// A view is what readers see of a ring beside its counters. It is immutable, except that
// events are appended to its last segment and ids put into its table; a new one is
// published whenever something else changes.
type view struct {
	segs    []*segment // consecutive; none is empty but the last
	lineage lineage
	ids     *idTable // nil: no event has an id of the origin's
	gone    goneID
}

// goneID remembers the origin's id of the event just before the oldest that is held, so
// that a client which has seen exactly what is gone is not told of a gap.
type goneID struct {
	seq uint64
	id  string // "" = its id was its position
}

const maxGuesses = 4

// find returns the index of the segment that holds seq. The caller knows that one does.
func (v *view) find(seq uint64) int {
	lo, hi := 0, len(v.segs)-1
	if v.segs[hi].first <= seq {
		return hi // most readers are near the head
	}
	// segs[lo].first <= seq < segs[hi].first. Segments hold much the same number of
	// events where events are much the same size, so a guess or two finds it in a log
	// of any length. Where they are not, halving does.
	for step := 0; hi-lo > 1; step++ {
		mid := int(uint(lo+hi) / 2)
		if step < maxGuesses {
			first := v.segs[lo].first
			guess := lo + int((seq-first)*uint64(hi-lo)/(v.segs[hi].first-first))
			mid = min(max(guess, lo+1), hi-1)
		}
		if v.segs[mid].first <= seq {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// entry returns the segment that holds seq, and its place there.
func (v *view) entry(seq uint64) (*segment, int) {
	s := v.segs[v.find(seq)]
	return s, int(seq - s.first)
}

// stop returns the sequence after the last event that segment i holds, of those up to head.
func (v *view) stop(i int, head uint64) uint64 {
	if i+1 < len(v.segs) {
		return min(v.segs[i+1].first, head+1)
	}
	return head + 1
}

// holds reports whether the event with sequence seq, which is not after the
// head, is still in memory.
func (v *view) holds(seq uint64) bool {
	return len(v.segs) > 0 && seq >= v.segs[0].first
}

// named reports whether the event with sequence seq, which is not after the head, is in
// memory and has id as the origin's.
func (v *view) named(seq uint64, id string) bool {
	if !v.holds(seq) {
		return false
	}
	s, i := v.entry(seq)
	return string(s.own(i)) == id
}

// footprint is the memory that the view holds beside its segments, in bytes.
func (v *view) footprint() int {
	n := int(unsafe.Sizeof(*v)) + cap(v.segs)*int(unsafe.Sizeof((*segment)(nil))) +
		cap(v.lineage)*int(unsafe.Sizeof(Branch{})) + len(v.gone.id)
	if v.ids != nil {
		n += v.ids.footprint()
	}
	return n
}
