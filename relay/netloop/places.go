package netloop

import (
	"net"
	"net/netip"
	"sync"
)

// Places are the connections that may be open at once, in all and from one address. Servers that are given the same
// Places share both limits, so that an address has one share, by TCP and by UDP together.
type Places struct {
	// Static after construction.
	connections int
	ofAddress   int

	mu        sync.Mutex // is taken last: who holds it takes no other
	taken     int
	addresses map[netip.Addr]int
}

// NewPlaces returns places for so many connections, of which one address (IPv6: one /64) may hold the part that
// share says, and one at least.
func NewPlaces(connections int, share float64) *Places {
	return &Places{
		connections: connections,
		ofAddress:   max(1, int(share*float64(connections))),
		addresses:   make(map[netip.Addr]int),
	}
}

// Take takes a place if there is one. Give gives it back.
func (p *Places) Take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.connections {
		return false
	}
	p.taken++
	return true
}

// Give gives back what Take took.
func (p *Places) Give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
}

// Claim counts a place that was taken under its address, once that is proved, if the address may have one more. Yield
// undoes it.
func (p *Places) Claim(source netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.addresses[source] >= p.ofAddress {
		return false
	}
	p.addresses[source]++
	return true
}

// Yield undoes what Claim did.
func (p *Places) Yield(source netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	decrement(p.addresses, source)
}

// Taken is how many there are.
func (p *Places) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// SourceOf is what a connection is counted under: its address, of IPv6 the /64, since that is what one household or
// server has.
func SourceOf(addr net.Addr) netip.Addr {
	var ip netip.Addr
	switch a := addr.(type) {
	case *net.TCPAddr:
		ip = a.AddrPort().Addr()
	case *net.UDPAddr:
		ip = a.AddrPort().Addr()
	default:
		return netip.Addr{}
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		prefix, _ := ip.Prefix(64)
		return prefix.Addr()
	}
	return ip
}
