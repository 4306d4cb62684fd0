package netloop

const (
	turnBytes = 64 << 10 // gathered on a connection in one turn
	quantum   = 16 << 10 // of one stream before the next one's turn
	leastRoom = 512      // no frame is begun with less room left than this, so that none is tiny for want of it
	frameRoom = 16       // around the bytes of one: a HTTP/2 frame header, or a chunk's size and line ends
)

// serve gathers what is due on the connection and writes it. Without more only the streams that a
// fanout marked are asked, so that live events do not wait behind replays.
func (c *conn) serve(more bool) {
	l := c.loop
	if c.phase >= closing || len(c.unsent) > 0 {
		return
	}
	out := c.appendControl(l.out[:0])
	out = c.serveMarked(out)
	if more {
		out = c.serveWaiting(out)
	}
	out = c.appendControl(out)
	l.out = out[:0]
	if len(out) > 0 {
		c.send(out)
	}
	switch {
	case c.phase == closed:
	case c.http2 == nil && c.only == nil || c.http2 != nil && c.http2.Done():
		c.finish(nil)
	case len(c.unsent) > 0: // flush comes back
	default:
		if c.marked != nil {
			l.queueServe(c)
		}
		if c.waiting != nil {
			l.queueServeMore(c)
		}
	}
}

// appendControl appends what the protocol has to say.
func (c *conn) appendControl(out []byte) []byte {
	if c.http2 == nil {
		return out
	}
	if p := c.http2.Output(); len(p) > 0 {
		out = append(out, p...)
		c.http2.Flushed(len(p))
	}
	return out
}

// serveMarked asks the streams of marked seats, as far as there is room.
func (c *conn) serveMarked(out []byte) []byte {
	for c.marked != nil {
		seat := c.marked.later
		warm := 0
		for seat.left > 0 {
			if turnBytes-len(out) < leastRoom {
				return out
			}
			seat.left--
			if seat.next >= len(seat.streams) {
				seat.next = 0
			}
			if warm--; warm < 0 {
				warm = seat.warm(c.loop)
			}
			s := seat.streams[seat.next]
			seat.next++
			if s.flags&(inWaiting|blocked) == 0 {
				out = c.pull(s, out)
			}
		}
		c.unmark(seat)
	}
	return out
}

// serveWaiting asks each waiting stream once, as far as there is room.
func (c *conn) serveWaiting(out []byte) []byte {
	for last := c.waiting; c.waiting != nil && turnBytes-len(out) >= leastRoom; {
		s := c.waiting.next
		if s == c.waiting {
			c.waiting = nil
		} else {
			c.waiting.next = s.next
		}
		s.next = nil
		s.flags &^= inWaiting
		if s.flags&gone == 0 {
			out = c.pull(s, out)
		}
		if s == last {
			break
		}
	}
	return out
}

// wait lets s be served when its turn comes.
func (c *conn) wait(s *stream) {
	if s.flags&(inWaiting|gone) != 0 {
		return
	}
	s.flags |= inWaiting
	if c.waiting == nil {
		s.next = s
	} else {
		s.next = c.waiting.next
		c.waiting.next = s
	}
	c.waiting = s
	if len(c.unsent) == 0 {
		c.loop.queueServeMore(c)
	}
}

// pull appends what s has to send, up to a quantum.
func (c *conn) pull(s *stream, out []byte) []byte {
	l := c.loop
	if s.flags&interim != 0 {
		s.flags &^= interim
		if s.head == nil {
			out = s.h2.AppendHeaders(out, 100, nil, false)
		}
	}
	if s.head != nil {
		out = s.appendHead(out)
		s.head = nil
		if s.flags&headOnly != 0 {
			c.drop(s, nil)
			return out
		}
	}
	for budget := quantum; ; {
		room := min(turnBytes-frameRoom-len(out), budget)
		if room < leastRoom {
			c.wait(s)
			return out
		}
		if s.h2 != nil {
			window := s.h2.Window()
			if window == 0 {
				c.block(s)
				return out
			}
			room = min(room, window)
		}
		p, end := s.body.Next(room)
		if len(p) == 0 && !end {
			if s.flags&beat == 0 {
				return out
			}
			s.flags &^= beat
			if p = s.body.Heartbeat(); len(p) == 0 || len(p) > room {
				return out
			}
			l.count.heartbeats++
		}
		out = s.appendData(out, p, end)
		s.since = l.tick
		l.count.frames++
		if end {
			c.drop(s, nil)
			return out
		}
		budget -= len(p)
	}
}

// block lets s wait for its window, but not for ever.
func (c *conn) block(s *stream) {
	if s.flags&blocked == 0 {
		l := c.loop
		s.flags |= blocked
		s.since = l.tick
		l.wheel.setBefore(&c.alarm, l.tick+l.stall)
	}
}
