package faultnet

import (
	"net/netip"
	"sync"
	"time"
)

// Network is hosts and the paths between them. Its methods may be called at any time from any goroutine.
type Network struct {
	mu    sync.Mutex // guards what follows; held for moments, never while calling a host
	hosts map[string]*Host
	addrs map[netip.Addr]*Host
	paths map[[2]string]*path // from, to
}

// New makes a network without hosts and faults.
func New() *Network {
	return &Network{hosts: map[string]*Host{}, addrs: map[netip.Addr]*Host{}, paths: map[[2]string]*path{}}
}

// Host gives the host of that name, and makes it if there is none or it was killed: then it has the address of before.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.hosts[name]
	if old != nil && !old.isDead() {
		return old
	}
	count := len(n.hosts) + 1
	h := &Host{
		net: n, name: name, addr: netip.AddrFrom4([4]byte{127, 1, byte(count >> 8), byte(count)}),
		dead: make(chan struct{}), listeners: map[uint16]*listener{}, gossips: map[uint16]*gossip{}, conns: map[*conn]bool{},
	}
	if old != nil {
		h.addr = old.addr
	}
	n.hosts[name], n.addrs[h.addr] = h, h
	return h
}

// find gives the host with an address or a name.
func (n *Network) find(host string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[host]; h != nil {
		return h
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	return n.addrs[addr.Unmap()]
}

// Cut lets nothing that one of from sends arrive at one of to; nil stands for every host there is. The other way stays.
func (n *Network) Cut(from, to []string) {
	n.change(from, to, func(f *fault) { f.cut = true })
}

// Partition cuts both ways between two groups.
func (n *Network) Partition(a, b []string) {
	n.Cut(a, b)
	n.Cut(b, a)
}

// Heal takes back every cut.
func (n *Network) Heal() {
	n.change(nil, nil, func(f *fault) { f.cut = false })
}

// Delay makes what from sends to to take that long, and up to jitter longer; packets may overtake one another then.
func (n *Network) Delay(from, to []string, delay, jitter time.Duration) {
	n.change(from, to, func(f *fault) { f.delay, f.jitter = delay, jitter })
}

// Drop loses a share, 0 to 1, of the packets from from to to. Connections do not feel it.
func (n *Network) Drop(from, to []string, share float64) {
	n.change(from, to, func(f *fault) { f.loss = share })
}

// Pause stops all that a host sends and takes, without loss, until Resume. The program behind it does not stop: to itself
// it seems that everybody else has.
func (n *Network) Pause(name string) { n.pause(name, true) }

// Resume ends Pause: what was sent meanwhile arrives.
func (n *Network) Resume(name string) {
	n.pause(name, false)
	if h := n.find(name); h != nil {
		h.release()
	}
}

func (n *Network) pause(name string, on bool) {
	n.change([]string{name}, nil, func(f *fault) { f.paused[0] = on })
	n.change(nil, []string{name}, func(f *fault) { f.paused[1] = on })
}

// Kill ends a host as the end of its process would: connections are reset and nobody listens any more.
func (n *Network) Kill(name string) {
	if h := n.find(name); h != nil {
		h.kill()
	}
}

// Stats says what the way between two hosts has carried, since it was made.
func (n *Network) Stats(from, to string) Stats { return n.path(from, to).stats() }

// Total sums the Stats of all paths between different hosts.
func (n *Network) Total() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	var sum Stats
	for _, p := range n.paths {
		s := p.stats()
		sum.Packets += s.Packets
		sum.PacketBytes += s.PacketBytes
		sum.Lost += s.Lost
		sum.Streams += s.Streams
		sum.StreamBytes += s.StreamBytes
		sum.Held += s.Held
	}
	return sum
}

func (n *Network) path(from, to string) *path {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pathLocked(from, to)
}

func (n *Network) pathLocked(from, to string) *path {
	key := [2]string{from, to}
	p := n.paths[key]
	if p == nil {
		p = newPath()
		n.paths[key] = p
	}
	return p
}

// change gives the paths between two groups another state. A host's path to itself has none.
func (n *Network) change(from, to []string, do func(*fault)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if from == nil {
		from = n.names()
	}
	if to == nil {
		to = n.names()
	}
	for _, a := range from {
		for _, b := range to {
			if a == b {
				continue
			}
			p := n.pathLocked(a, b)
			old := p.now.Load()
			next := *old
			do(&next)
			next.changed = make(chan struct{})
			p.now.Store(&next)
			close(old.changed)
		}
	}
}

func (n *Network) names() []string {
	list := make([]string, 0, len(n.hosts))
	for name := range n.hosts {
		list = append(list, name)
	}
	return list
}
