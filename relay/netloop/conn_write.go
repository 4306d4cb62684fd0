package netloop

import (
	"errors"
)

const (
	maxRecord = 16 << 10  // what one TLS record holds
	maxUnsent = 256 << 10 // above what a turn can leave; more comes only of a peer that makes us answer and does not read
)

var errUnsent = errors.New("netloop: the peer asks for answers and does not read")

// send writes p to the peer, through TLS if there is any. What does not go out at once is kept.
func (c *conn) send(p []byte) {
	var err error
	switch {
	case c.secure == nil:
		err = c.put(p)
	case len(p) <= maxRecord:
		_, err = c.secure.Write(p)
	default:
		// Several records, each of which tls.Conn would write for itself.
		c.loop.wire = c.loop.wire[:0]
		c.gathered = true
		_, err = c.secure.Write(p)
		c.gathered = false
		if err == nil {
			err = c.put(c.loop.wire)
		}
	}
	if err != nil {
		c.abort(ErrGone)
	}
}

// put writes p to the socket and keeps the rest.
func (c *conn) put(p []byte) error {
	if len(c.unsent) > 0 {
		if len(c.unsent)+len(p) > maxUnsent {
			return errUnsent
		}
		c.unsent = append(c.unsent, p...)
		return nil
	}
	n, err := c.socket.write(p)
	l := c.loop
	l.count.writes++
	l.count.written += uint64(n)
	if err == errWouldBlock {
		c.unsent = append(c.unsent, p[n:]...)
		c.progress = l.tick
		l.wheel.setBefore(&c.alarm, l.tick+l.stall)
		return nil
	}
	return err
}

// flush writes what is unsent, when there is room again.
func (c *conn) flush() {
	l := c.loop
	n, err := c.socket.write(c.unsent)
	l.count.writes++
	l.count.written += uint64(n)
	if n > 0 {
		c.progress = l.tick
		if c.unsent = c.unsent[n:]; len(c.unsent) == 0 {
			c.unsent = nil
		}
	}
	if err != nil && err != errWouldBlock {
		c.abort(ErrGone)
		return
	}
	if c.phase == closing {
		c.windUp()
	}
}
