package h2

import "golang.org/x/net/http2"

// windowUpdate opens a window of ours: that of a stream, or with id 0 the connection's.
func (c *Conn) windowUpdate(id uint32, n int32) error {
	if id == 0 {
		switch {
		case n == 0:
			return c.fail(http2.ErrCodeProtocol, "WINDOW_UPDATE by 0")
		case int64(c.send)+int64(n) > maxWindow:
			return c.fail(http2.ErrCodeFlowControl, "connection's window is above 2^31-1")
		}
		if err := c.spend(updates, 1); err != nil {
			return err
		}
		c.send += n
		c.feed()
		return nil
	}

	s := c.streams.find(id)
	if s == nil {
		if c.idle(id) {
			return c.fail(http2.ErrCodeProtocol, "WINDOW_UPDATE on an idle stream")
		}
		if n == 0 {
			return c.refuse(id, http2.ErrCodeProtocol)
		}
		return c.spend(updates, 1)
	}
	switch {
	case n == 0:
		return c.fault(s, http2.ErrCodeProtocol)
	case int64(s.send)+int64(n) > maxWindow:
		return c.fault(s, http2.ErrCodeFlowControl)
	}
	if err := c.spend(updates, 1); err != nil {
		return err
	}
	s.send += n
	if s.is(starved) && min(s.send, c.send) > 0 {
		c.tell(s)
	}
	return nil
}

// resizeWindows puts the peer's SETTINGS_INITIAL_WINDOW_SIZE in force, for streams that are open
// too; their windows may become negative (RFC 9113 6.9.2). Of several values in a frame
// only the last one comes here: it alone matters, and each would cost a walk over all streams.
func (c *Conn) resizeWindows(n int32) error {
	delta := int64(n) - int64(c.sendNew)
	if delta == 0 {
		return nil
	}
	c.sendNew = n
	for _, s := range c.streams {
		v := int64(s.send) + delta
		if v > maxWindow {
			return c.fail(http2.ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE opens a window above 2^31-1")
		}
		s.send = int32(v)
	}
	if delta > 0 {
		c.feed()
	}
	return nil
}

// feed tells every starved stream whose window is open, in turn, while the connection's is.
func (c *Conn) feed() {
	if c.starved == 0 || c.send <= 0 {
		return
	}
	// From the one after the last that was told to the end, then from the first up to it: a small
	// window is not always the same streams'.
	start := c.turn + 1
	c.feedRange(start, maxID+1)
	c.feedRange(0, start)
}

// feedRange is feed for the streams with ids from first to below end. Any stream may end meanwhile.
func (c *Conn) feedRange(first, end uint32) {
	for i := c.streams.from(first); c.starved > 0 && c.send > 0 && c.err == nil; i++ {
		if i >= len(c.streams) || c.streams[i].id >= end {
			return
		}
		s := c.streams[i]
		if !s.is(starved) || s.send <= 0 {
			continue
		}
		c.turn = s.id
		c.tell(s)
		// Streams that the handler ended are gone from the table.
		i = c.streams.from(s.id+1) - 1
	}
}

func (c *Conn) tell(s *Stream) {
	s.flags &^= starved
	c.starved--
	c.handler.Writable(s)
}

// giveBack returns octets that were consumed to the connection's window, half a window at a time.
func (c *Conn) giveBack(n int32) {
	c.credit += n
	if c.credit >= c.scratch.limits.connWindow/2 {
		c.out = appendUpdate(c.out, 0, c.credit)
		c.recv += c.credit
		c.credit = 0
	}
}
