package netloop

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// admission counts who is here, and those that are still on their way to their first request.
type admission struct {
	// Static after init.
	places         *Places
	handshakes     int
	handshakesEach int
	patience       time.Duration // age from which a handshake may have to give way

	mu      sync.Mutex
	open    int
	pending list.List // of *conn, oldest first: the handshakes in progress
	perAddr map[netip.Addr]int
	parked  map[netip.Addr][]parking // connections whose address has its share of handshakes under way, first come first
	freed   chan struct{}            // closed and replaced when a handshake ends and somebody waits for it
	waiting bool
	emptied chan struct{} // closed when open falls to 0, if somebody asked
}

// A refusal says why a connection was not admitted. It is a label of a metric.
type refusal int

const (
	admitted          refusal = iota
	refusedFull               // Engine.Places
	refusedAddress            // the same, of one address
	refusedHandshakes         // Engine.Handshakes
	refusedDescriptor         // the process has no descriptor left
	refusals

	parked refusal = -1 // not refused: admitted, and begun when it is its turn
)

// A parking is a connection that waits for its turn.
type parking struct {
	conn  *conn
	begin func()
}

func (a *admission) init(places *Places, handshakes int, share float64) {
	a.places, a.handshakes = places, handshakes
	a.handshakesEach = max(1, int(share*float64(handshakes)))
	a.patience = time.Second
	a.perAddr = make(map[netip.Addr]int)
	a.parked = make(map[netip.Addr][]parking)
	a.freed = make(chan struct{})
}

// admit counts c in, as a connection and as a handshake, or says why not. When all places for
// handshakes are taken it makes the oldest one give way if that has had its time, and
// otherwise waits for one that ends: a storm of clients is better served in turn, from
// the listener's backlog, than refused. It gives up when done is closed.
//
// A connection whose address has its share of the handshakes is parked: begin is called when one of
// these ends, and it keeps nobody of another address waiting. Parked ones are bounded by their address's share
// of the connections.
func (a *admission) admit(c *conn, done <-chan struct{}, begin func()) refusal {
	if !a.places.Take() {
		return refusedFull
	}
	if !a.places.Claim(c.source) {
		a.places.Give()
		return refusedAddress
	}
	why := a.admitHandshake(c, done, begin)
	if why == refusedHandshakes {
		a.places.Yield(c.source)
		a.places.Give()
	}
	return why
}

// admitHandshake is the part of admit after c has its place.
func (a *admission) admitHandshake(c *conn, done <-chan struct{}, begin func()) refusal {
	for {
		a.mu.Lock()
		if a.pending.Len() < a.handshakes && a.perAddr[c.source] >= a.handshakesEach {
			a.open++
			a.park(parking{c, begin})
			a.mu.Unlock()
			return parked
		}
		if a.pending.Len() < a.handshakes {
			a.open++
			a.beginHandshake(c)
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

// beginHandshake counts c as on its way. a.mu is held, here and below.
func (a *admission) beginHandshake(c *conn) {
	c.accepted = time.Now() // its time runs from here
	a.perAddr[c.source]++
	c.pending = a.pending.PushBack(c)
}

// park lets p wait for its turn. Behind one address there may be a crowd whose handshakes take their time, so
// they give way later than they would to others.
func (a *admission) park(p parking) {
	source := p.conn.source
	a.parked[source] = append(a.parked[source], p)
	if len(a.parked[source]) == 1 {
		time.AfterFunc(3*a.patience, func() { a.relieve(source) })
	}
}

// relieve makes handshakes of an address that have had their time give way, as long as somebody waits, and looks
// again later.
func (a *admission) relieve(source netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.parked[source]) == 0 {
		return
	}
	time.AfterFunc(a.patience, func() { a.relieve(source) })
	for e := a.pending.Front(); e != nil && len(a.parked[source]) > 0; {
		old := e.Value.(*conn)
		e = e.Next()
		if old.source == source && time.Since(old.accepted) > 3*a.patience {
			old.interrupt()
			a.endHandshakeLocked(old)
			old.engine.counters.refused[refusedHandshakes].Add(1)
		}
	}
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
	if waiting := a.parked[c.source]; len(waiting) > 0 {
		if a.parked[c.source] = waiting[1:]; len(waiting) == 1 {
			delete(a.parked, c.source)
		}
		a.beginHandshake(waiting[0].conn)
		waiting[0].begin()
		return // the place is taken
	}
	if a.waiting {
		a.waiting = false
		close(a.freed)
		a.freed = make(chan struct{})
	}
}

// leave counts c out. It may be called more than once.
func (a *admission) leave(c *conn) {
	if a.countOut(c) {
		a.places.Yield(c.source)
		a.places.Give()
	}
}

func (a *admission) countOut(c *conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.left {
		return false
	}
	c.left = true
	a.endHandshakeLocked(c)
	a.open--
	if a.open == 0 && a.emptied != nil {
		close(a.emptied)
		a.emptied = nil
	}
	return true
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

// closeHandshakes ends those that are still in progress, and those that wait for their turn.
func (a *admission) closeHandshakes() {
	a.mu.Lock()
	waiting := a.parked
	a.parked = make(map[netip.Addr][]parking)
	for e := a.pending.Front(); e != nil; e = e.Next() {
		e.Value.(*conn).interrupt()
	}
	a.mu.Unlock()
	for _, ps := range waiting {
		for _, p := range ps {
			_ = p.conn.Close()
		}
	}
}

// counts returns how many connections and handshakes there are.
func (a *admission) counts() (open, handshakes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open, a.pending.Len()
}
