package netloop

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"
)

// admission counts who is here: connections in all and by address, and those that are still on
// their way to their first request.
type admission struct {
	// Static after init.
	connections    int
	ofAddress      int
	handshakes     int
	handshakesEach int
	patience       time.Duration // age from which a handshake may have to give way

	mu        sync.Mutex
	open      int
	addresses map[netip.Addr]int
	pending   list.List // of *conn, oldest first: the handshakes in progress
	perAddr   map[netip.Addr]int
	freed     chan struct{} // closed and replaced when a handshake ends and somebody waits for it
	waiting   bool
	emptied   chan struct{} // closed when open falls to 0, if somebody asked
}

// A refusal says why a connection was not admitted. It is a label of a metric.
type refusal int

const (
	admitted          refusal = iota
	refusedFull               // Engine.Connections
	refusedAddress            // Engine.AddressShare
	refusedHandshakes         // Engine.Handshakes
	refusedDescriptor         // the process has no descriptor left
	refusals
)

func (a *admission) init(connections, handshakes int, share float64) {
	a.connections, a.handshakes = connections, handshakes
	a.ofAddress = max(1, int(share*float64(connections)))
	a.handshakesEach = max(1, int(share*float64(handshakes)))
	a.patience = time.Second
	a.addresses = make(map[netip.Addr]int)
	a.perAddr = make(map[netip.Addr]int)
	a.freed = make(chan struct{})
}

// sourceOf is what a connection is counted under: its address, of IPv6 the /64, since
// that is what one household or server has.
func sourceOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		prefix, _ := ip.Prefix(64)
		return prefix.Addr()
	}
	return ip
}

// admit counts c in, as a connection and as a handshake, or says why not. When all places for
// handshakes are taken it makes the oldest one give way if that has had its time, and
// otherwise waits for one that ends: a storm of clients is better served in turn, from
// the listener's backlog, than refused. It gives up when done is closed.
func (a *admission) admit(c *conn, done <-chan struct{}) refusal {
	for {
		a.mu.Lock()
		switch {
		case a.open >= a.connections:
			a.mu.Unlock()
			return refusedFull
		case a.addresses[c.source] >= a.ofAddress:
			a.mu.Unlock()
			return refusedAddress
		}
		if a.pending.Len() < a.handshakes {
			if a.perAddr[c.source] >= a.handshakesEach {
				// Its own oldest one gives way rather than somebody else's.
				if old := a.oldest(c); old != nil && time.Since(old.accepted) > a.patience {
					a.endHandshakeLocked(old)
					old.interrupt()
					old.engine.counters.refused[refusedHandshakes].Add(1)
				} else {
					a.mu.Unlock()
					return refusedHandshakes
				}
			}
			a.open++
			a.addresses[c.source]++
			a.perAddr[c.source]++
			c.pending = a.pending.PushBack(c)
			a.mu.Unlock()
			return admitted
		}
		old := a.pending.Front().Value.(*conn)
		age := time.Since(old.accepted)
		if age >= a.patience {
			a.endHandshakeLocked(old)
			old.interrupt()
			a.mu.Unlock()
			old.engine.counters.refused[refusedHandshakes].Add(1)
			continue
		}
		freed := a.freed
		a.waiting = true
		a.mu.Unlock()
		timer := time.NewTimer(a.patience - age)
		select {
		case <-freed:
		case <-timer.C:
		case <-done:
			timer.Stop()
			return refusedHandshakes
		}
		timer.Stop()
	}
}

// oldest is the oldest handshake from c's address. a.mu is held.
func (a *admission) oldest(c *conn) *conn {
	for e := a.pending.Front(); e != nil; e = e.Next() {
		if old := e.Value.(*conn); old.source == c.source {
			return old
		}
	}
	return nil
}

// endHandshake says that c has arrived, or failed to.
func (a *admission) endHandshake(c *conn) {
	a.mu.Lock()
	a.endHandshakeLocked(c)
	a.mu.Unlock()
}

func (a *admission) endHandshakeLocked(c *conn) {
	if c.pending == nil {
		return
	}
	a.pending.Remove(c.pending)
	c.pending = nil
	decrement(a.perAddr, c.source)
	if a.waiting {
		a.waiting = false
		close(a.freed)
		a.freed = make(chan struct{})
	}
}

// leave counts c out. It may be called more than once.
func (a *admission) leave(c *conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.left {
		return
	}
	c.left = true
	a.endHandshakeLocked(c)
	a.open--
	decrement(a.addresses, c.source)
	if a.open == 0 && a.emptied != nil {
		close(a.emptied)
		a.emptied = nil
	}
}

func decrement(m map[netip.Addr]int, k netip.Addr) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}

// empty returns a channel that is closed when nobody is here.
func (a *admission) empty() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := make(chan struct{})
	if a.open == 0 {
		close(c)
	} else {
		a.emptied = c
	}
	return c
}

// closeHandshakes ends those that are still in progress.
func (a *admission) closeHandshakes() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for e := a.pending.Front(); e != nil; e = e.Next() {
		e.Value.(*conn).interrupt()
	}
}

// counts returns how many connections and handshakes there are.
func (a *admission) counts() (open, handshakes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open, a.pending.Len()
}
