package h3

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// admission counts who is here: connections in all and by address, and those whose handshake has not
// ended.
type admission struct {
	// Static after init.
	server    *Server
	ofAddress int
	leaving   chan struct{} // closed by hurry

	pending atomic.Int32 // handshakes

	mu        sync.Mutex
	count     int                // connections, those included that are not in conns yet
	conns     map[*conn]struct{} // those that were opened
	addresses map[netip.Addr]int // of those whose address is proved
	closed    bool
	emptied   chan struct{} // closed when count falls to 0, if somebody asked
}

// A refusal says why a connection or a request was not admitted. It is a label of a metric.
type refusal int

const (
	refusedFull       refusal = iota // Server.Connections
	refusedAddress                   // Server.AddressShare, Server.Admit
	refusedHandshakes                // Server.Handshakes
	refusedLeaving                   // the server drains
	refusedRequests                  // Server.Requests
	refusedDepartures                // Server.Departures
	refusals
)

// errRefused is answered with CONNECTION_REFUSED.
var errRefused = errors.New("h3: connection refused")

func (a *admission) init(s *Server) {
	a.server = s
	a.ofAddress = max(1, int(s.AddressShare*float64(s.Connections)))
	a.leaving = make(chan struct{})
	a.conns = make(map[*conn]struct{})
	a.addresses = make(map[netip.Addr]int)
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
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return refusedLeaving, false
	case a.count >= a.server.Connections:
		return refusedFull, false
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
	source := sourceOf(c.quic.RemoteAddr())
	ok, leave := true, func() {}
	if a.server.Admit != nil {
		leave, ok = a.server.Admit(c.quic.RemoteAddr())
	}
	a.mu.Lock()
	a.endHandshake(c)
	switch {
	case !ok:
	case c.gone || a.addresses[source] >= a.ofAddress:
		a.mu.Unlock()
		leave()
		a.mu.Lock()
		ok = false
	default:
		a.addresses[source]++
		c.source, c.leave, c.admitted = source, leave, true
	}
	if !ok && !c.gone {
		a.server.stats.refused[refusedAddress].Add(1)
	}
	a.mu.Unlock()
	return ok
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
	leave := c.leave
	if c.admitted {
		if a.addresses[c.source]--; a.addresses[c.source] <= 0 {
			delete(a.addresses, c.source)
		}
	}
	if a.count == 0 && a.emptied != nil {
		close(a.emptied)
		a.emptied = nil
	}
	a.mu.Unlock()
	if leave != nil {
		leave()
	}
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
