package relay

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// comebacks is how many clients a second a relay wants to see come back
	// when all of them were sent away at once: a TLS handshake costs about
	// this machine's tenth of a millisecond.
	comebacks = 10_000
	// mostRetry is the longest a client is asked to wait, before jitter.
	mostRetry = time.Minute
	// loadWindow is for how long an answer of overload counts as load.
	loadWindow = 10 * time.Second
)

// retryFor returns how long one of crowd clients should wait before it comes
// back: at least base, and spread over as long as they take to be served if
// all come at once. draw is uniform in [0, 1).
func retryFor(base time.Duration, crowd int64, draw float64) time.Duration {
	spread := base + time.Duration(crowd)*(time.Second/comebacks)
	spread = min(spread, max(base, mostRetry))
	return (base + time.Duration(draw*float64(spread))).Truncate(time.Millisecond)
}

// retry draws the reconnection time of one subscriber.
func (r *Relay) retry() time.Duration {
	return retryFor(r.config.Retry, r.admission.subscribers.Load(), rand.Float64())
}

// retryRefused draws it for one who is sent away. Those sent away lately come
// back too, so they count beside the audience.
func (r *Relay) retryRefused() time.Duration {
	crowd := r.admission.subscribers.Load() + r.load.add(time.Now())
	return retryFor(r.config.Retry, crowd, rand.Float64())
}

// load counts the refusals of this window and the last.
type load struct {
	window atomic.Int64 // number of the window, since the Unix epoch
	now    atomic.Int64
	before atomic.Int64
}

// add counts one, and returns how many there were lately. A race between two
// that find the window over miscounts by a few.
func (l *load) add(t time.Time) int64 {
	window := t.UnixNano() / int64(loadWindow)
	if last := l.window.Swap(window); last != window {
		n := l.now.Swap(0)
		if last != window-1 {
			n = 0
		}
		l.before.Store(n)
	}
	return l.now.Add(1) + l.before.Load()
}
