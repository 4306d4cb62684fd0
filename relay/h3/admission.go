package h3

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"freshet/relay/netloop"
)

// admission counts who is here, and those whose handshake has not ended.
type admission struct {
	// Static after init.
	server  *Server
	places  *netloop.Places
	leaving chan struct{} // closed by hurry

	pending atomic.Int32 // handshakes

	mu      sync.Mutex
	count   int                // connections, those included that are not in conns yet
	conns   map[*conn]struct{} // those that were opened
	closed  bool
	emptied chan struct{} // closed when count falls to 0, if somebody asked
}

// A refusal says why a connection or a request was not admitted. It is a label of a metric.
type refusal int

const (
	refusedFull       refusal = iota // Server.Places
	refusedAddress                   // the same, of one address
	refusedHandshakes                // Server.Handshakes
	refusedLeaving                   // the server drains
	refusedRequests                  // Server.Requests
	refusedDepartures                // Server.Departures
	refusals
)

// errRefused is answered with CONNECTION_REFUSED.
var errRefused = errors.New("h3: connection refused")

func (a *admission) init(s *Server) {
	a.server, a.places = s, s.Places
	a.leaving = make(chan struct{})
	a.conns = make(map[*conn]struct{})
}

// doubtful reports whether there are so many handshakes that peers must prove their address first.
func (a *admission) doubtful() bool {
	if int(a.pending.Load()) < max(1, a.server.Handshakes/4) {
		return false
	}
	a.server.stats.retries.Add(1)
	return true
}

// arrive is asked by quic-go about each connection that begins.
func (a *admission) arrive(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	c := &conn{server: a.server, entered: make(chan struct{}), handshaking: true}
	if why, ok := a.begin(); !ok {
		a.server.stats.refused[why].Add(1)
		return nil, errRefused
	}
	context.AfterFunc(ctx, func() { a.end(c) })
	return context.WithValue(ctx, connKey{}, c), nil
}

func (a *admission) begin() (why refusal, ok bool) {
	if !a.places.Take() {
		return refusedFull, false
	}
	if why, ok = a.beginHandshake(); !ok {
		a.places.Give()
	}
	return why, ok
}

func (a *admission) beginHandshake() (why refusal, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return refusedLeaving, false
	case int(a.pending.Load()) >= a.server.Handshakes:
		return refusedHandshakes, false
	}
	a.count++
	a.pending.Add(1)
	return 0, true
}

// opened puts c among those that can be closed, and reports whether it is to be served.
func (a *admission) opened(c *conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || c.gone {
		return false
	}
	a.conns[c] = struct{}{}
	return true
}

// admit ends the handshake of c, and reports whether its address may have one more connection.
func (a *admission) admit(c *conn) bool {
	source := netloop.SourceOf(c.quic.RemoteAddr())
	claimed := a.places.Claim(source)
	if !claimed {
		a.server.stats.refused[refusedAddress].Add(1)
	}
	a.mu.Lock()
	a.endHandshake(c)
	c.source, c.admitted = source, claimed && !c.gone
	admitted := c.admitted
	a.mu.Unlock()
	if claimed && !admitted {
		a.places.Yield(source) // end has been here already
	}
	return admitted
}

// endHandshake counts c as arrived. a.mu is held.
func (a *admission) endHandshake(c *conn) {
	if c.handshaking {
		c.handshaking = false
		a.pending.Add(-1)
	}
}

// end counts c out.
func (a *admission) end(c *conn) {
	a.mu.Lock()
	c.gone = true
	a.endHandshake(c)
	a.count--
	delete(a.conns, c)
	claimed := c.admitted
	if a.count == 0 && a.emptied != nil {
		close(a.emptied)
		a.emptied = nil
	}
	a.mu.Unlock()
	if claimed {
		a.places.Yield(c.source)
	}
	a.places.Give()
}

// open returns the connections that are open.
func (a *admission) open() []*conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.conns))
}

// shut admits nobody from now on.
func (a *admission) shut() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
}

// settle ends the handshakes, and waits until http3 knows every connection that it is ever going to be
// given: if one were counted while it shuts down, it could count down to nobody twice.
func (a *admission) settle() {
	for _, c := range a.open() {
		a.mu.Lock()
		handshaking := c.handshaking
		a.mu.Unlock()
		if handshaking {
			c.close(http3.ErrCodeNoError, "shutting down")
		}
		<-c.entered
	}
}

// hurry makes connections be closed as soon as they are empty.
func (a *admission) hurry() { close(a.leaving) }

func (a *admission) inHurry() bool {
	select {
	case <-a.leaving:
		return true
	default:
		return false
	}
}

// hurried returns a channel that reports when hurry begins, and nothing after.
func (a *admission) hurried() <-chan struct{} {
	if a.inHurry() {
		return nil
	}
	return a.leaving
}

// closeAll closes the connections that are open.
func (a *admission) closeAll() {
	for _, c := range a.open() {
		c.close(http3.ErrCodeNoError, "shutting down")
	}
}

// empty returns a channel that is closed when nobody is here.
func (a *admission) empty() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	emptied := make(chan struct{})
	if a.count == 0 {
		close(emptied)
	} else {
		a.emptied = emptied
	}
	return emptied
}
