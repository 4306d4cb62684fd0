//go:build linux

package bench

import "sync/atomic"

// dueTimes remembers when each event of a topic was due, for those who cannot read it in the event. The publisher
// adds; pollers look up.
type dueTimes struct {
	times atomic.Pointer[[]atomic.Int64] // unix time, nanoseconds; index = sequence
}

// add says when event number sequence is due, before it is sent.
func (d *dueTimes) add(sequence uint64, due int64) {
	times := d.times.Load()
	if times == nil || sequence >= uint64(len(*times)) {
		more := make([]atomic.Int64, max(64, 2*sequence))
		if times != nil {
			for i := range *times {
				more[i].Store((*times)[i].Load())
			}
		}
		times = &more
		d.times.Store(times)
	}
	(*times)[sequence].Store(due)
}

// of returns when event number sequence is due; 0 = not known.
func (d *dueTimes) of(sequence uint64) int64 {
	if d == nil {
		return 0
	}
	times := d.times.Load()
	if times == nil || sequence >= uint64(len(*times)) {
		return 0
	}
	return (*times)[sequence].Load()
}
