package h3

import (
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A socket is a UDP socket that many may write to at once. net.UDPConn lets one after the other: woken
// by one event, the goroutines of a thousand connections would stand in line for it, each with a
// buffer of 20 KiB in hand. The kernel needs no such order.
type socket struct {
	*net.UDPConn
	raw   syscall.RawConn
	inet6 bool // addresses must be IPv6, if need be mapped ones
}

// concurrent returns a socket that does the same as packets, or packets itself where there is no better.
func concurrent(packets net.PacketConn) net.PacketConn {
	udp, ok := packets.(*net.UDPConn)
	if !ok {
		return packets
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return packets
	}
	s := &socket{UDPConn: udp, raw: raw}
	known := false
	err = raw.Control(func(fd uintptr) {
		switch own, _ := unix.Getsockname(int(fd)); own.(type) {
		case *unix.SockaddrInet4:
			known = true
		case *unix.SockaddrInet6:
			known, s.inet6 = true, true
		}
	})
	if err != nil || !known {
		return packets
	}
	return s
}

// WriteMsgUDP sends one datagram, or several of one size (GSO, as oob says). What the kernel does not
// take at once goes the way of net.UDPConn, which waits, and whose errors quic-go knows.
func (s *socket) WriteMsgUDP(p, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	c := sends.Get().(*send)
	c.p, c.oob = p, oob
	sent := c.to(addr, s.inet6) && s.raw.Control(c.do) == nil && c.err == nil
	n = c.n
	c.p, c.oob = nil, nil
	sends.Put(c)
	if !sent {
		return s.UDPConn.WriteMsgUDP(p, oob, addr)
	}
	return n, len(oob), nil
}

// A send is one call of the kernel, kept for the next.
type send struct {
	p, oob  []byte
	address unix.Sockaddr // one of the next two
	inet4   unix.SockaddrInet4
	inet6   unix.SockaddrInet6
	do      func(fd uintptr)
	n       int
	err     error
}

var sends = sync.Pool{New: func() any {
	c := new(send)
	c.do = func(fd uintptr) { c.n, c.err = unix.SendmsgN(int(fd), c.p, c.oob, c.address, unix.MSG_DONTWAIT) }
	return c
}}

// to sets the address, and reports whether it can be.
func (c *send) to(addr *net.UDPAddr, inet6 bool) bool {
	if addr.Zone != "" {
		return false
	}
	ip := addr.AddrPort().Addr()
	switch {
	case inet6:
		c.inet6.Port, c.inet6.Addr = addr.Port, ip.As16()
		c.address = &c.inet6
	case ip.Unmap().Is4():
		c.inet4.Port, c.inet4.Addr = addr.Port, ip.Unmap().As4()
		c.address = &c.inet4
	default:
		return false
	}
	return true
}
