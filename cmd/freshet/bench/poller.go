//go:build linux

package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A poller reads the sockets of its connections on one goroutine.
type poller struct {
	descriptor int
	buffer     []byte

	guard       sync.Mutex    // held while a batch of sockets is read, so that a snapshot sees whole events
	connections []*connection // index = the user data of the descriptor in epoll
	tally       tally
}

func newPoller() (*poller, error) {
	descriptor, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &poller{descriptor: descriptor, buffer: make([]byte, 256<<10)}, nil
}

// add gives the poller a connection whose requests are sent, from any goroutine.
func (p *poller) add(c *connection) error {
	p.guard.Lock()
	defer p.guard.Unlock()
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(p.connections))}
	p.connections = append(p.connections, c)
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.descriptor, unix.EPOLL_CTL_ADD, c.socket.descriptor, &event))
}

// run reads until ctx ends; broken tells of each connection that failed, on this goroutine.
func (p *poller) run(ctx context.Context, broken func(*connection, error)) error {
	events := make([]unix.EpollEvent, 512)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(p.descriptor, events, 50)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("epoll_wait", err)
		}
		p.guard.Lock()
		for _, e := range events[:max(n, 0)] {
			c := p.connections[e.Fd]
			if err := c.read(p.buffer, &p.tally); err != nil {
				c.close()
				broken(c, err)
			}
		}
		p.guard.Unlock()
	}
	return nil
}

func (p *poller) close() {
	for _, c := range p.connections {
		c.close()
	}
	unix.Close(p.descriptor)
}

// A socket is a net.Conn over a descriptor of its own: it blocks (with a deadline) until unblock, and then answers
// errWouldBlock where there is nothing to read. crypto/tls survives that, since it is Temporary.
type socket struct {
	descriptor int
	remote     netip.AddrPort
}

// dialTimeout bounds the connect and each read and write of the TLS handshake.
const dialTimeout = 20 * time.Second

func dialSocket(local netip.Addr, remote netip.AddrPort) (*socket, error) {
	family := unix.AF_INET
	if remote.Addr().Is6() {
		family = unix.AF_INET6
	}
	descriptor, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{descriptor: descriptor, remote: remote}
	limit := unix.NsecToTimeval(int64(dialTimeout))
	unix.SetsockoptTimeval(descriptor, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	unix.SetsockoptTimeval(descriptor, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	unix.SetsockoptInt(descriptor, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if local.IsValid() {
		// The port is chosen at connect, so that one address can hold as many connections as it has ports to each server.
		unix.SetsockoptInt(descriptor, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(descriptor, sockaddr(netip.AddrPortFrom(local, 0))); err != nil {
			s.Close()
			return nil, fmt.Errorf("bind %v: %w", local, err)
		}
	}
	err = unix.Connect(descriptor, sockaddr(remote))
	if err == unix.EINTR {
		err = connected(descriptor)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("connect %v: %w", remote, err)
	}
	return s, nil
}

// connected waits for a connect that a signal interrupted: it goes on by itself, and must not be called again.
func connected(descriptor int) error {
	ready := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLOUT}}
	for end := time.Now().Add(dialTimeout); ; {
		n, err := unix.Poll(ready, int(time.Until(end)/time.Millisecond))
		switch {
		case err == unix.EINTR && time.Now().Before(end):
			continue
		case err != nil:
			return err
		case n == 0:
			return unix.ETIMEDOUT
		}
		code, err := unix.GetsockoptInt(descriptor, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		return err
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func (s *socket) unblock() error { return unix.SetNonblock(s.descriptor, true) }

func (s *socket) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(s.descriptor, p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, errWouldBlock{}
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, errClosed
		default:
			return n, nil
		}
	}
}

// Write takes all of p: what this client sends is short, so it waits for the socket where it must.
func (s *socket) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n, err := unix.Write(s.descriptor, p[done:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			ready := []unix.PollFd{{Fd: int32(s.descriptor), Events: unix.POLLOUT}}
			unix.Poll(ready, int(dialTimeout/time.Millisecond))
		case err != nil:
			return done, os.NewSyscallError("write", err)
		default:
			done += n
		}
	}
	return len(p), nil
}

func (s *socket) Close() error                     { return unix.Close(s.descriptor) }
func (s *socket) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *socket) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(s.remote) }
func (s *socket) SetDeadline(time.Time) error      { return nil } // SO_RCVTIMEO and SO_SNDTIMEO bound every call
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
