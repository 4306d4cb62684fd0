package netloop

import (
	"net"
	"time"
)

// A poller tells its loop which sockets have become readable or writable. It says so once
// for each change: whoever is told must read until errWouldBlock, or come back by itself.
type poller interface {
	// adopt makes a socket out of nc, which must not be used after. Any goroutine may call it.
	// It does not begin to watch it.
	adopt(nc net.Conn, c *conn) (socket, error)
	// watch and forget begin and end to report on c, whose socket came from adopt.
	watch(c *conn) error
	forget(c *conn)
	// wait reports what is ready by calling (*conn).note. If nothing is, it waits: d long, for
	// ever if d < 0, or until wake.
	wait(d time.Duration) error
	// wake ends a wait that is in progress or to come. Any goroutine may call it.
	wake()
	close() error
}

// A goPoller is a poller without a system call of its own: its sockets report by themselves,
// through the loop's inbox.
type goPoller struct {
	loop  *loop
	woken chan struct{}
	timer *time.Timer
}

func newGoPoller(l *loop) *goPoller {
	p := &goPoller{loop: l, woken: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

func (p *goPoller) adopt(nc net.Conn, c *conn) (socket, error) {
	return adoptGo(nc, c), nil
}

func (p *goPoller) watch(c *conn) error {
	c.socket.(*goSocket).watch()
	return nil
}

func (p *goPoller) forget(*conn) {}

func (p *goPoller) wait(d time.Duration) error {
	if d == 0 {
		return nil
	}
	if d < 0 {
		<-p.woken
		return nil
	}
	p.timer.Reset(d)
	select {
	case <-p.woken:
		p.timer.Stop()
	case <-p.timer.C:
	}
	return nil
}

func (p *goPoller) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *goPoller) close() error { return nil }

// adoptGo makes a goSocket that reports to c's loop.
func adoptGo(nc net.Conn, c *conn) *goSocket {
	r, w := &becameReadable{c}, &becameWritable{c}
	return newGoSocket(nc, func(readable, writable bool) {
		if readable {
			c.loop.push(r)
		}
		if writable {
			c.loop.push(w)
		}
	})
}

// What a goSocket reports. Each stands in an inbox at most once: it is not told again
// before the loop has read, or written.
type (
	becameReadable struct{ conn *conn }
	becameWritable struct{ conn *conn }
)

func (t *becameReadable) run(*loop) { t.conn.note(true, false) }
func (t *becameWritable) run(*loop) { t.conn.note(false, true) }
