package faultnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	backlog   = 128   // connections that nobody has accepted yet
	firstPort = 32768 // of those given to who asks for port 0, or dials
)

// Host is one machine. It satisfies cluster.Network.
type Host struct {
	// static after construction
	net  *Network
	name string
	addr netip.Addr
	dead chan struct{} // closed by kill

	mu        sync.Mutex // guards what follows; held for moments, never while calling the network
	ports     uint16     // given so far
	listeners map[uint16]*listener
	gossips   map[uint16]*gossip
	conns     map[*conn]bool
	held      []func() // packets that wait for the end of a pause
	killed    bool
}

// Addr is the host's address. It is a loopback one, so that a cluster without a key may use it.
func (h *Host) Addr() netip.Addr { return h.addr }

func (h *Host) isDead() bool {
	select {
	case <-h.dead:
		return true
	default:
		return false
	}
}

// Connections counts those that are open at this end, gossip's too.
func (h *Host) Connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// Resolve knows the hosts' names.
func (h *Host) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if x := h.net.find(host); x != nil {
		return []netip.Addr{x.addr}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// Listen listens on the host's own address, whatever host the address has; port 0 means any.
func (h *Host) Listen(_ context.Context, network, address string) (net.Listener, error) {
	return h.listen(network, address)
}

func (h *Host) listen(network, address string) (*listener, error) {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := &listener{host: h, port: h.port(uint16(port)), accepted: make(chan *conn, backlog), closed: make(chan struct{})}
	if h.killed || h.listeners[l.port] != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: l.Addr(), Err: syscall.EADDRINUSE}
	}
	h.listeners[l.port] = l
	return l, nil
}

// port gives a free one for 0. mu is held.
func (h *Host) port(want uint16) uint16 {
	for want == 0 || want >= firstPort && h.listeners[want] != nil {
		want = firstPort + h.ports%(1<<15)
		h.ports++
	}
	return want
}

// Dial connects to a listener of a host, by address or by the host's name.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := h.dial(ctx, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", address, err)}
	}
	return c, nil
}

func (h *Host) dial(ctx context.Context, address string) (*conn, error) {
	name, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}
	to := h.net.find(name)
	if to == nil {
		return nil, syscall.EHOSTUNREACH
	}
	there, back := h.net.path(h.name, to.name), h.net.path(to.name, h.name)
	// SYN and SYN-ACK, sent again until they get through.
	for _, p := range [...]*path{there, back} {
		if err := h.pass(ctx, p); err != nil {
			return nil, err
		}
	}
	if to = h.net.find(name); to == nil {
		return nil, syscall.EHOSTUNREACH
	}
	to.mu.Lock()
	l := to.listeners[uint16(port)]
	killed := to.killed
	to.mu.Unlock()
	if l == nil || killed {
		return nil, syscall.ECONNREFUSED
	}
	h.mu.Lock()
	from := netip.AddrPortFrom(h.addr, h.port(0))
	h.mu.Unlock()
	near, far := newConns(h, to, from, netip.AddrPortFrom(to.addr, l.port), there, back)
	if !h.keep(near) || !to.keep(far) {
		near.reset()
		return nil, syscall.ECONNREFUSED
	}
	select {
	case l.accepted <- far:
		there.streams.Add(1)
		return near, nil
	default:
		near.Close()
		return nil, syscall.ECONNREFUSED
	}
}

// pass waits until a path lets something through, and for as long as it takes.
func (h *Host) pass(ctx context.Context, p *path) error {
	for {
		f := p.now.Load()
		if !f.still() {
			if late := f.late(); late > 0 {
				select {
				case <-time.After(late):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		}
		select {
		case <-f.changed:
		case <-h.dead:
			return syscall.ENETDOWN
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// keep notes a connection, so that it dies with the host; false: it is dead.
func (h *Host) keep(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.killed {
		return false
	}
	h.conns[c] = true
	return true
}

func (h *Host) drop(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

func (h *Host) kill() {
	h.mu.Lock()
	if h.killed {
		h.mu.Unlock()
		return
	}
	h.killed = true
	conns := h.conns
	h.conns = map[*conn]bool{}
	h.held = nil
	close(h.dead)
	h.mu.Unlock()
	for c := range conns {
		c.reset()
	}
}

// hold keeps a packet until the host's pause ends; false: there are too many.
func (h *Host) hold(deliver func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.held) >= packetBuffer {
		return false
	}
	h.held = append(h.held, deliver)
	return true
}

func (h *Host) release() {
	h.mu.Lock()
	held := h.held
	h.held = nil
	h.mu.Unlock()
	for _, deliver := range held {
		deliver()
	}
}

// listener is an open port. That its host is killed it does not notice: it hears nothing more, until it is closed.
type listener struct {
	host     *Host
	port     uint16
	accepted chan *conn
	once     sync.Once
	closed   chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	case c := <-l.accepted:
		return c, nil
	}
}

// Close resets what nobody has accepted.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.host.mu.Lock()
		if l.host.listeners[l.port] == l {
			delete(l.host.listeners, l.port)
		}
		l.host.mu.Unlock()
		close(l.closed)
	})
	for {
		select {
		case c := <-l.accepted:
			c.reset()
		default:
			return nil
		}
	}
}

func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.host.addr, l.port))
}
