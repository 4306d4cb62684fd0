package faultnet

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// packetBuffer is how many packets wait for a process that does not take them: the order of a kernel's socket buffer.
const packetBuffer = 512

// gossip is a memberlist.Transport: packets, and streams on the same port.
type gossip struct {
	host    *Host
	at      netip.AddrPort
	streams chan net.Conn
	packets chan *memberlist.Packet
	l       *listener
	once    sync.Once
	done    chan struct{}
	serve   sync.WaitGroup
}

// Gossip opens a port for memberlist; port 0 means any.
func (h *Host) Gossip(address string) (memberlist.Transport, error) {
	l, err := h.listen("tcp", address)
	if err != nil {
		return nil, err
	}
	g := &gossip{
		host: h, at: netip.AddrPortFrom(h.addr, l.port), l: l,
		streams: make(chan net.Conn), packets: make(chan *memberlist.Packet, packetBuffer), done: make(chan struct{}),
	}
	h.mu.Lock()
	h.gossips[l.port] = g
	h.mu.Unlock()
	g.serve.Go(g.accept)
	return g, nil
}

func (g *gossip) accept() {
	for {
		c, err := g.l.Accept()
		if err != nil {
			return
		}
		select {
		case g.streams <- c:
		case <-g.done:
			c.Close()
		}
	}
}

func (g *gossip) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return g.at.Addr().AsSlice(), int(g.at.Port()), nil
}

func (g *gossip) PacketCh() <-chan *memberlist.Packet { return g.packets }
func (g *gossip) StreamCh() <-chan net.Conn           { return g.streams }

func (g *gossip) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return g.host.Dial(ctx, "tcp", address)
}

func (g *gossip) Shutdown() error {
	g.once.Do(func() {
		close(g.done)
		g.host.mu.Lock()
		if g.host.gossips[g.at.Port()] == g {
			delete(g.host.gossips, g.at.Port())
		}
		g.host.mu.Unlock()
		g.l.Close()
	})
	g.serve.Wait()
	return nil
}

// WriteTo sends a packet. That it does not arrive is no error.
func (g *gossip) WriteTo(b []byte, address string) (time.Time, error) {
	now := time.Now()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return now, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return now, err
	}
	to := g.host.net.find(host)
	if to == nil {
		return now, nil
	}
	p := g.host.net.path(g.host.name, to.name)
	f := p.now.Load()
	if f.cut || f.loss > 0 && rand.Float64() < f.loss {
		p.lost.Add(1)
		return now, nil
	}
	packet := &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(g.at)}
	deliver := func() { g.deliver(packet, to, uint16(port), p) }
	if late := f.late(); late > 0 {
		time.AfterFunc(late, deliver)
	} else {
		deliver()
	}
	return now, nil
}

// deliver gives a packet that has crossed the path to whoever listens there now.
func (g *gossip) deliver(packet *memberlist.Packet, to *Host, port uint16, p *path) {
	f := p.now.Load()
	for i, h := range [...]*Host{g.host, to} {
		if f.paused[i] {
			p.held.Add(1)
			if !h.hold(func() { g.deliver(packet, to, port, p) }) {
				p.lost.Add(1)
			}
			return
		}
	}
	to.mu.Lock()
	there := to.gossips[port]
	killed := to.killed
	to.mu.Unlock()
	if there == nil || killed || f.cut || g.host.isDead() {
		p.lost.Add(1)
		return
	}
	packet.Timestamp = time.Now()
	select {
	case there.packets <- packet:
		p.packets.Add(1)
		p.packetBytes.Add(uint64(len(packet.Buf)))
	default:
		p.lost.Add(1)
	}
}
