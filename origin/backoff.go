package origin

import (
	"math/rand/v2"
	"time"
)

// leastRetry keeps an origin that asks for a retry of 0 from being asked in a
// tight loop.
const leastRetry = 100 * time.Millisecond

// backoff says how long to wait before the next attempt: exponential, capped,
// with full jitter, so that the many who lost one origin at one moment do not
// return at one moment.
type backoff struct {
	base, most time.Duration
	failures   int // in a row
}

// next returns the wait before the next attempt, drawn by random, which returns
// a number in [0, n).
func (b *backoff) next(random func(n int64) int64) time.Duration {
	most := b.base
	for i := 0; i < b.failures && most < b.most; i++ {
		most *= 2
	}
	b.failures++
	return time.Duration(random(int64(min(most, b.most)) + 1))
}

// succeeded begins anew.
func (b *backoff) succeeded() { b.failures = 0 }

// rebase takes the base from the origin's retry field.
func (b *backoff) rebase(base time.Duration) { b.base = min(max(base, leastRetry), b.most) }

func random(n int64) int64 { return rand.Int64N(n) }
