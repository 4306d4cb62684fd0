package netloop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// newPoller is the poller of a loop: epoll, unless the engine asks for the portable one.
func newPoller(l *loop, portable bool) (poller, error) {
	if portable {
		return newGoPoller(l), nil
	}
	return newEpoll()
}

// An epoll is the poller of Linux. Sockets are registered once, edge-triggered, for both
// directions, so that waiting for room costs no system call.
//
// The loop does not block in epoll_wait: a goroutine that blocks in a system call keeps its
// processor until the scheduler takes it away, and what is runnable there waits. The epoll
// descriptor is itself registered with the Go runtime's poller instead (epolls nest), and the
// loop parks like any goroutine that reads a file. That also makes wake cheap: it needs
// no eventfd, an expired read deadline makes the loop runnable without a system call.
type epoll struct {
	// Static after construction.
	file *os.File
	raw  syscall.RawConn
	fd   int

	// Owned by the loop.
	conns  []*conn // by descriptor
	events [256]unix.EpollEvent
	ready  int // how many of events hold something
	failed error
	ask    func(fd uintptr) bool // look without holding, made once
	alarm  bool                  // a deadline is set on file

	woken atomic.Bool
}

// epollEdges are what a socket is watched for. The peer's FIN is told apart (EPOLLRDHUP) because a
// short read alone would let us believe that there is nothing more to read.
const epollEdges = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

func newEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	// Only a descriptor that says it does not block is taken by the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	p := &epoll{file: os.NewFile(uintptr(fd), "epoll"), fd: fd}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	if err := p.file.SetReadDeadline(time.Time{}); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("register epoll with the runtime: %w", err)
	}
	p.ask = func(uintptr) bool {
		p.collect()
		return p.ready > 0 || p.failed != nil || p.woken.Load()
	}
	return p, nil
}

// adopt takes the descriptor of nc out of the runtime's poller, which would otherwise be
// told of everything that happens on it as well.
func (p *epoll) adopt(nc net.Conn, c *conn) (socket, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return adoptGo(nc, c), nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("adopt connection: %w", err)
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return nil, fmt.Errorf("adopt connection: %w", err)
	}
	if dupErr != nil {
		return nil, fmt.Errorf("adopt connection: %w", dupErr)
	}
	nc.Close()
	return &fdSocket{fd: fd}, nil
}

func (p *epoll) watch(c *conn) error {
	s, ok := c.socket.(*fdSocket)
	if !ok {
		c.socket.(*goSocket).watch()
		return nil
	}
	event := unix.EpollEvent{Events: epollEdges, Fd: int32(s.fd)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		return fmt.Errorf("watch connection: %w", err)
	}
	if s.fd >= len(p.conns) {
		p.conns = append(p.conns, make([]*conn, s.fd+64-len(p.conns))...)
	}
	p.conns[s.fd] = c
	return nil
}

// forget must be called before the socket is closed. An event that was collected before may still
// come: it finds no connection, since none is added while events are handed out.
func (p *epoll) forget(c *conn) {
	if s, ok := c.socket.(*fdSocket); ok && s.fd < len(p.conns) {
		p.conns[s.fd] = nil // closing takes it out of the epoll
	}
}

func (p *epoll) collect() {
	n, err := unix.EpollWait(p.fd, p.events[:], 0)
	switch {
	case err == nil:
		p.ready = n
	case !errors.Is(err, unix.EINTR):
		p.failed = fmt.Errorf("epoll: %w", err)
	}
}

func (p *epoll) wait(d time.Duration) error {
	p.ready = 0
	p.collect()
	if p.ready == 0 && p.failed == nil && d != 0 && !p.woken.Load() {
		if d > 0 {
			p.file.SetReadDeadline(time.Now().Add(d))
			p.alarm = true
		} else if p.alarm {
			p.file.SetReadDeadline(time.Time{})
			p.alarm = false
		}
		// wake sets woken before the deadline: either ask sees it, or the deadline is in the past.
		if err := p.raw.Read(p.ask); errors.Is(err, os.ErrDeadlineExceeded) {
			p.alarm = true // that of wake, perhaps
		} else if err != nil {
			return fmt.Errorf("epoll: %w", err)
		}
		if p.woken.Load() {
			p.alarm = true // wake is about to leave a deadline behind
		}
	}
	p.woken.Store(false)
	for i := range p.events[:p.ready] {
		e := &p.events[i]
		c := p.conns[e.Fd]
		if c == nil {
			continue
		}
		const end = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
		s := c.socket.(*fdSocket)
		s.drained = false
		s.ended = s.ended || e.Events&end != 0
		c.note(e.Events&(unix.EPOLLIN|end) != 0, e.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
	return p.failed
}

func (p *epoll) wake() {
	p.woken.Store(true)
	p.file.SetReadDeadline(time.Unix(1, 0))
}

func (p *epoll) close() error { return p.file.Close() }
