package relay

import (
	"context"
	"sync"
	"time"

	"freshet/relay/h3"
	"freshet/relay/netloop"
)

// audience is who is to be woken when the topic has something new. A wake-up
// carries nothing: whoever is woken reads from its own place to the head.
type audience struct {
	// mu guards what follows. Wake is called under it, which is why it must
	// not block.
	mu      sync.Mutex
	fanout  *netloop.Fanout // of those whom the engine's loops have taken over
	fanout3 *h3.Fanout      // of those whom the loops of HTTP/3 have taken over
	wakers  map[waker]struct{}
	present int // subscribers, those included that are not listening yet
	follow  *following
	whole   chan struct{} // closed when Config.Logs has brought the topic's log; nil = it has not, and nobody waits
}

// fanout returns what wakes those whom loops take over. It stays until the last
// subscriber has left.
func (t *topic) fanout() *netloop.Fanout {
	a := &t.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fanout == nil {
		a.fanout = t.relay.engine.NewFanout(t.relay.config.Topics.Coalesce)
	}
	return a.fanout
}

// waker is woken without being told why. Wake does not block.
type waker interface{ Wake() }

// listen has w woken from now on, until stop is called.
func (a *audience) listen(w waker) (stop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wakers == nil {
		a.wakers = make(map[waker]struct{}, 1)
	}
	a.wakers[w] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if delete(a.wakers, w); len(a.wakers) == 0 {
			a.wakers = nil // an idle topic keeps no map
		}
	}
}

func (a *audience) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fanout != nil {
		a.fanout.Wake()
	}
	if a.fanout3 != nil {
		a.fanout3.Wake()
	}
	for w := range a.wakers {
		w.Wake()
	}
}

func (a *audience) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.present
}

// open lets go those who wait for the topic's log.
func (a *audience) open() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.whole == nil {
		a.whole = make(chan struct{})
	}
	close(a.whole)
}

// shut undoes open.
func (a *audience) shut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.whole:
		a.whole = nil
	default: // it was not open
	}
}

// awaitLog waits until the topic's log is whole here, and reports whether it is.
// It gives up when that takes too long.
func (a *audience) awaitLog(ctx context.Context) bool {
	a.mu.Lock()
	if a.whole == nil {
		a.whole = make(chan struct{})
	}
	whole := a.whole
	a.mu.Unlock()
	select {
	case <-whole:
		return true
	default:
	}
	patience := time.NewTimer(upstreamPatience)
	defer patience.Stop()
	select {
	case <-whole:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}
