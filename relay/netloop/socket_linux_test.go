package netloop

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel is told to hold little, and to notice a client that vanished; and is still when the loop has
// taken the connection over.
func TestSocketOptions(t *testing.T) {
	e := &Engine{Handler: empty, Loops: 1, UnsentBytes: 12345, Unacked: 7 * time.Second}
	s := serve(t, e)
	p := s.dialPeer(true)
	p.request(1, "GET", "/", true)
	p.next()
	found := 0
	done := make(chan struct{})
	e.loops[0].push(inLoop(func(l *loop) {
		defer close(done)
		for fd, c := range l.poll.(*epoll).conns {
			if c == nil {
				continue
			}
			found++
			for option, want := range map[int]int{unix.TCP_NOTSENT_LOWAT: 12345, unix.TCP_USER_TIMEOUT: 7000, unix.TCP_NODELAY: 1} {
				if got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, option); got != want || err != nil {
					t.Errorf("option %d is %d, want %d (%v)", option, got, want, err)
				}
			}
		}
	}))
	<-done
	if found != 1 {
		t.Errorf("%d connections in the poller, want 1", found)
	}
	a, _ := net.Pipe()
	setSocketOptions(a, 1, 1) // no socket: nothing happens
}

// inLoop is a task of a test.
type inLoop func(*loop)

func (f inLoop) run(l *loop) { f(l) }
