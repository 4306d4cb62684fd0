package netloop

import (
	"errors"
	"net"
)

// readSize is how much is read at once: a TLS record.
const readSize = 16 << 10

// note is told by the poller what has become possible.
func (c *conn) note(readable, writable bool) {
	if c.phase == closed {
		return
	}
	l := c.loop
	if readable {
		c.queueRead()
	}
	if writable && len(c.unsent) > 0 {
		c.flush()
		if len(c.unsent) == 0 && c.phase != closed {
			l.queueServe(c)
		}
	}
}

func (c *conn) queueRead() {
	if c.queued&toRead == 0 {
		c.queued |= toRead
		c.loop.toRead.push(c)
	}
}

// read takes what the peer sent, up to a turn's worth of it.
func (c *conn) read() {
	l := c.loop
	from := c.transport()
	for range 4 {
		if c.phase == closed {
			return
		}
		if l.begun >= turnRequests {
			break
		}
		n, err := from.Read(l.in[:])
		if n > 0 {
			c.receive(l.in[:n])
		}
		switch {
		case err == nil:
		case isTemporary(err):
			if c.phase != closed && c.http2 != nil {
				c.afterReceive()
			}
			return
		case c.phase == closed:
			return
		default:
			c.abort(ErrGone)
			return
		}
	}
	if c.phase != closed {
		if c.http2 != nil {
			c.afterReceive()
		}
		c.queueRead()
	}
}

func isTemporary(err error) bool {
	if err == errWouldBlock {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne == errWouldBlock
}

// receive hands p to the protocol.
func (c *conn) receive(p []byte) {
	if c.phase == closing {
		return // it waits for the end only
	}
	if c.http2 == nil {
		// A subscriber of HTTP/1.1 has said all it can. What it pipelines after is dropped, up to
		// an amount that nobody sends by mistake.
		if c.arrived += int32(len(p)); c.arrived > maxIgnored {
			c.abort(ErrGone)
		}
		return
	}
	if c.partial {
		c.arrived += int32(len(p))
	}
	if err := c.http2.Receive(c.loop.now, p); err != nil {
		c.engine.log.Debug("connection error", "remote", c.remote, "err", err)
		c.loop.stats.protocolErrors.Add(1)
		c.finish(err)
	}
}

// maxIgnored is how many bytes after its request a HTTP/1.1 subscriber may send.
const maxIgnored = 64 << 10

// afterReceive follows what Receive has changed.
func (c *conn) afterReceive() {
	if c.phase == opening && c.http2.Ready() {
		c.phase = open
		c.since = c.loop.tick
		c.setAlarm()
	}
	if c.loop.told {
		c.leaveIfAsked()
	}
	switch {
	case !c.http2.Partial() || c.phase == opening:
		c.partial = false
	case !c.partial || int(c.arrived) > 4*c.engine.HeaderBytes:
		// More than any block or frame that h2 lets by has come: another has begun.
		c.partial = true
		c.arrived = 0
		c.begun = c.loop.tick
		c.loop.wheel.setBefore(&c.alarm, c.begun+c.loop.header)
	}
	if len(c.http2.Output()) > 0 || c.http2.Done() {
		c.loop.queueServe(c)
	}
}
