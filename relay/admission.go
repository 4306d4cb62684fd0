package relay

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// admission counts what the relay has taken on, and says no where a limit is
// reached.
type admission struct {
	// static after construction
	subscriberLimit int64
	addressLimit    int // subscribers of one address
	publishLimit    int64

	subscribers atomic.Int64
	publishes   atomic.Int64

	someLeft signal // after a subscriber left

	// mu guards the addresses and their counts.
	mu        sync.Mutex
	addresses map[netip.Addr]*address
}

// address is one peer, or the 64 bits of an IPv6 address that a peer is given
// as a whole.
type address struct {
	key         netip.Addr
	subscribers int
}

func newAdmission(l Limits) *admission {
	return &admission{
		subscriberLimit: int64(l.Subscribers),
		addressLimit:    max(int(float64(l.Subscribers)*l.AddressShare), 1),
		publishLimit:    int64(l.Publishes),
		someLeft:        make(signal, 1),
		addresses:       make(map[netip.Addr]*address),
	}
}

// subscriber takes on one more subscriber from remote. The caller leaves later,
// unless it was refused because of the limit returned.
func (a *admission) subscriber(remote string) (_ *address, refusedBy limit) {
	if a.subscribers.Add(1) > a.subscriberLimit {
		a.subscribers.Add(-1)
		return nil, limitSubscribers
	}
	key := addressKey(remote)
	a.mu.Lock()
	defer a.mu.Unlock()
	who := a.addresses[key]
	if who == nil {
		who = &address{key: key}
		a.addresses[key] = who
	}
	if who.subscribers >= a.addressLimit {
		a.subscribers.Add(-1)
		return nil, limitAddressShare
	}
	who.subscribers++
	return who, ""
}

// leave takes the subscriber off.
func (a *admission) leave(who *address) {
	a.subscribers.Add(-1)
	a.someLeft.Wake()
	a.mu.Lock()
	defer a.mu.Unlock()
	if who.subscribers--; who.subscribers == 0 {
		delete(a.addresses, who.key)
	}
}

// publish takes on one more publish request, and reports whether there was
// room. If there was, the caller calls published when it is over.
func (a *admission) publish() bool {
	if a.publishes.Add(1) > a.publishLimit {
		a.publishes.Add(-1)
		return false
	}
	return true
}

func (a *admission) published() { a.publishes.Add(-1) }

// addressKey returns who remote is counted as. All that has no IP address is
// counted as one.
func addressKey(remote string) netip.Addr {
	addr, ok := remoteAddr(remote)
	if !ok || addr.Is4() {
		return addr
	}
	p, _ := addr.Prefix(64)
	return p.Addr()
}
