package netloop

import (
	"golang.org/x/net/http2"
)

// finish closes the connection in good order: what is due and GOAWAY go out, then FIN, then the
// peer's FIN is waited for, since closing with bytes unread is a reset that can overtake
// what was sent. Streams that are still open end with cause.
func (c *conn) finish(cause error) {
	if c.phase >= closing {
		return
	}
	c.cause = cause
	c.phase = closing
	c.since = c.loop.tick
	if c.http2 != nil {
		c.http2.Close(http2.ErrCodeNo)
	} else if c.only != nil {
		c.drop(c.only, cause)
	}
	c.windUp()
}

// windUp goes on with finish as far as the socket takes it.
func (c *conn) windUp() {
	l := c.loop
	if len(c.unsent) == 0 && c.http2 != nil {
		if p := c.http2.Output(); len(p) > 0 {
			l.out = append(l.out[:0], p...)
			c.http2.Flushed(len(p))
			c.send(l.out)
		}
	}
	if len(c.unsent) == 0 && c.phase == closing && !c.finSent {
		c.finSent = true
		if c.secure != nil {
			_ = c.secure.CloseWrite()
		}
		if len(c.unsent) == 0 {
			_ = c.socket.closeWrite()
		}
		c.since = l.tick
	}
	if c.phase == closing {
		c.setAlarm()
	}
}

// abort closes the connection at once.
func (c *conn) abort(cause error) {
	if c.phase == closed {
		return
	}
	if c.cause == nil {
		c.cause = cause
	}
	l := c.loop
	c.phase = closed
	if c.http2 != nil {
		c.http2.Close(http2.ErrCodeCancel)
	} else if c.only != nil {
		c.drop(c.only, c.cause)
	}
	l.wheel.unset(&c.alarm)
	l.poll.forget(c)
	_ = c.socket.close()
	c.unsent, c.waiting, c.marked = nil, nil, nil
	l.conns.remove(c)
	l.stats.connections.Add(-1)
	c.engine.admission.leave(c)
}

// leaveIfAsked begins a graceful shutdown, unless the first request is still to come: told before it, a client would
// connect again, and again.
func (c *conn) leaveIfAsked() {
	if c.asked || c.http2 == nil {
		c.leave()
	}
}

// leave begins a graceful shutdown.
func (c *conn) leave() {
	if c.phase >= leaving {
		return
	}
	if c.http2 == nil {
		c.phase = leaving // its stream ends when its Body does
		return
	}
	c.phase = leaving
	c.since = c.loop.tick
	c.http2.Shutdown()
	c.loop.queueServe(c)
	c.setAlarm()
}
