package h2

// streams is a connection's table of open streams, in order of their ids. A peer opens
// streams with ids that grow by two, so the place of one can be computed, or nearly:
// a slice finds it as fast as a map, takes a third of the memory, and can be walked
// while streams come and go.
type streams []*Stream

// find returns the stream with the id, or nil.
func (t streams) find(id uint32) *Stream {
	if i := t.from(id); i < len(t) && t[i].id == id {
		return t[i]
	}
	return nil
}

// from returns the index of the first stream whose id is not below id.
func (t streams) from(id uint32) int {
	n := len(t)
	if n == 0 || id <= t[0].id {
		return 0
	}
	last := t[n-1].id
	if id > last {
		return n
	}
	// Of k streams with odd ids the last is at least 2(k-1) above the first. This bounds the place
	// from both sides; with no hole in between, to one index.
	low := max(0, n-1-int(last-id+1)/2)
	high := min(n-1, int(id-t[0].id+1)/2)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if t[mid].id < id {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// add appends a stream; its id is above all others.
func (t *streams) add(s *Stream) { *t = append(*t, s) }

// remove takes the stream out and gives memory back when little is left.
func (t *streams) remove(s *Stream) {
	old := *t
	i := old.from(s.id)
	copy(old[i:], old[i+1:])
	n := len(old) - 1
	old[n] = nil
	switch {
	case n == 0:
		*t = nil
	case cap(old) >= 64 && n <= cap(old)/4:
		*t = append(make(streams, 0, 2*n), old[:n]...)
	default:
		*t = old[:n]
	}
}

// A recent is the last few streams that ended, with who ended them: id<<1 | 1 if we did.
// What is still on its way for a stream that we reset is dropped; for any other it is the peer's mistake.
type recent struct {
	ids  [8]uint32
	next uint8
}

func (r *recent) add(id uint32, ours bool) {
	v := id << 1
	if ours {
		v |= 1
	}
	r.ids[r.next%uint8(len(r.ids))] = v
	r.next++
}

func (r *recent) find(id uint32) (ours, found bool) {
	for _, v := range r.ids {
		if v>>1 == id && id != 0 {
			return v&1 == 1, true
		}
	}
	return false, false
}
