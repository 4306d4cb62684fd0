//go:build linux

package bench

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are at most 1/32 wide of their value. It is not safe for
// concurrent use: each poller has its own, merged at the end.
type histogram struct {
	buckets [59 * subBuckets]uint64
	count   uint64
	max     time.Duration
}

const (
	subBits    = 5
	subBuckets = 1 << subBits
)

// record counts d; a negative d (clocks of two machines) counts as zero.
func (h *histogram) record(d time.Duration) {
	if d < 0 {
		d = 0
	}
	h.buckets[bucketOf(uint64(d))]++
	h.count++
	if d > h.max {
		h.max = d
	}
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
}

// since returns what was recorded after before, which was h then. The largest may be older.
func (h *histogram) since(before *histogram) (rest histogram) {
	for i, n := range h.buckets {
		rest.buckets[i] = n - before.buckets[i]
	}
	rest.count, rest.max = h.count-before.count, h.max
	return rest
}

// quantile returns the upper bound of the bucket in which the q-th part of all durations lies, q in (0, 1].
func (h *histogram) quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(q*float64(h.count) + 0.5)
	rank = min(max(rank, 1), h.count)
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			return min(upperBound(i), h.max)
		}
	}
	return h.max
}

// bucketOf maps v to its bucket: values below 32 have one each, every further power of two is cut into 32.
func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	exponent := bits.Len64(v) - 1 - subBits
	return (exponent+1)*subBuckets + int(v>>exponent) - subBuckets
}

// upperBound is the largest value that falls into bucket i.
func upperBound(i int) time.Duration {
	if i < subBuckets {
		return time.Duration(i)
	}
	exponent := i/subBuckets - 1
	mantissa := uint64(i%subBuckets + subBuckets)
	return time.Duration((mantissa+1)<<exponent - 1)
}
