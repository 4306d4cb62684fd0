package cluster

import (
	"context"
	"net"
	"net/netip"

	"github.com/hashicorp/memberlist"
)

// Network is what a Node hears and speaks through. A faultnet.Host is one that a test can cut, delay, pause and kill:
//
//	net := faultnet.New()
//	node.Network = net.Host("r1")
//	...
//	net.Partition([]string{"r1"}, []string{"r2", "r3"})
type Network interface {
	// Listen and Dial carry links, as net.ListenConfig's and net.Dialer's do.
	Listen(ctx context.Context, network, address string) (net.Listener, error)
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve gives the addresses that a name in Node.Join stands for now.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
	// Gossip opens an address for memberlist, which shuts the transport down. Nil stands for memberlist's own.
	Gossip(address string) (memberlist.Transport, error)
}

// system is the network that there is.
type system struct{}

func (system) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, network, address)
}

func (system) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (system) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func (system) Gossip(string) (memberlist.Transport, error) { return nil, nil }
