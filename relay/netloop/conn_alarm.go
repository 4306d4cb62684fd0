package netloop

import (
	"errors"
	"time"

	"freshet/relay/h2"
	"golang.org/x/net/http2"
)

var (
	errNoPreface = errors.New("netloop: no HTTP/2 preface in time")
	errNoHeader  = errors.New("netloop: a frame or a header was begun and not ended in time")
	errIdle      = errors.New("netloop: the connection was idle for too long")
)

const (
	lingerTime   = time.Second // for the peer's FIN, after ours
	secondGoAway = time.Second // for the answer to the PING that follows the first GOAWAY
)

// setAlarm makes check run when the next thing can be due.
func (c *conn) setAlarm() {
	if due, ok := c.check(); ok {
		c.loop.wheel.set(&c.alarm, due)
	}
}

// check does what is due by time, and returns when to be called again. It is called when the alarm
// fires; on the way there things may have happened that put off what it was set for.
func (c *conn) check() (next tick, ok bool) {
	l := c.loop
	d := deadline{now: l.tick}
	if len(c.unsent) > 0 && d.passed(c.progress+l.stall) {
		l.count.stalled++
		c.abort(ErrStalled)
	}
	switch c.phase {
	case opening:
		if d.passed(c.since + l.handshake) {
			c.http2.GoAway(http2.ErrCodeSettingsTimeout, errNoPreface.Error())
			c.finish(errNoPreface)
		}
	case leaving:
		if c.http2 != nil && !c.hurried && d.passed(c.since+ticks(secondGoAway)) {
			c.hurried = true
			c.http2.Shutdown()
			l.queueServe(c)
		}
		c.checkStreams(&d)
	case open:
		if c.streams == 0 && c.handlers == 0 && c.http2 != nil && d.passed(c.since+l.idle) {
			c.http2.GoAway(http2.ErrCodeNo, "idle")
			c.finish(errIdle)
			break
		}
		c.checkStreams(&d)
	}
	if c.queued&toRead != 0 {
		c.begun = l.tick // the rest may be here already: the loop is late, not the peer
	}
	if c.partial && (c.phase == open || c.phase == leaving) && d.passed(c.begun+l.header) {
		c.http2.GoAway(http2.ErrCodeEnhanceYourCalm, errNoHeader.Error())
		c.finish(errNoHeader)
	}
	if c.phase == closing && len(c.unsent) == 0 && d.passed(c.since+ticks(lingerTime)) {
		c.abort(c.cause)
	}
	if c.phase == closed {
		return 0, false
	}
	return d.next, d.set
}

// checkStreams ends streams that are stalled and lets those that are silent beat.
func (c *conn) checkStreams(d *deadline) {
	if c.http2 != nil {
		c.http2.Each(func(s *h2.Stream) { c.checkStream(s.Owner.(*stream), d) })
	} else if c.only != nil {
		c.checkStream(c.only, d)
	}
}

// A stream is checked when its connection is, and the connection when the earliest of its streams
// must be. Its beat may come up to an eighth late, so that streams of a connection beat together, in
// one write; by how much differs from connection to connection, so that those that were
// sent the same event do not all beat in the same tick.
func (c *conn) checkStream(s *stream, d *deadline) {
	l := c.loop
	switch {
	case s.flags&blocked != 0:
		if d.passed(s.since + l.stall) {
			l.count.stalled++
			if s.h2 == nil {
				c.abort(ErrStalled)
				return
			}
			s.h2.Reset(http2.ErrCodeCancel)
			c.drop(s, ErrStalled)
			l.queueServe(c)
		}
	case s.flags&held != 0 && l.heartbeat > 0:
		if !s.since.after(l.tick - l.heartbeat) {
			s.flags |= beat
			s.since = l.tick
			c.wait(s)
		}
		d.passed(s.since + l.heartbeat + c.spread())
	}
}

// spread is how much later than it must the connection beats.
func (c *conn) spread() tick {
	// Fibonacci hashing of the connection's number: neighbours land far apart.
	return tick(uint64(c.number*2654435769) * uint64(c.loop.heartbeat/8) >> 32)
}

// A deadline gathers the earliest of what is to come.
type deadline struct {
	now  tick
	next tick
	set  bool
}

// passed reports whether t is past, and notes it if not.
func (d *deadline) passed(t tick) bool {
	if !t.after(d.now) {
		return true
	}
	if !d.set || d.next.after(t) {
		d.next, d.set = t, true
	}
	return false
}
