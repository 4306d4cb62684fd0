package h2

import "golang.org/x/net/http2"

// padUnread is Conn.padding when the frame is padded and the first octet is to tell by how much.
const padUnread = -1

// beginData takes the header of a DATA frame. The windows are debited at once and for
// padding too (RFC 9113 6.1).
func (c *Conn) beginData(h head) error {
	n := int32(h.length)
	switch {
	case h.id == 0:
		return c.fail(http2.ErrCodeProtocol, "DATA on stream 0")
	case c.idle(h.id):
		return c.fail(http2.ErrCodeProtocol, "DATA on an idle stream")
	case n > c.recv:
		return c.fail(http2.ErrCodeFlowControl, "DATA beyond the connection's window")
	}
	c.padding = 0
	if h.flags.Has(http2.FlagDataPadded) {
		if n == 0 {
			return c.fail(http2.ErrCodeFrameSize, "padded DATA without a pad length")
		}
		c.padding = padUnread
	}
	c.recv -= n

	s := c.streams.find(h.id)
	switch {
	case s == nil:
		c.skip(n)
		return c.lateData(h)
	case s.is(ended):
		c.skip(n)
		return c.fault(s, http2.ErrCodeStreamClosed)
	case n > s.recv:
		c.skip(n)
		return c.fault(s, http2.ErrCodeFlowControl)
	}
	s.recv -= n
	if n == 0 && !h.flags.Has(http2.FlagDataEndStream) {
		return c.spend(control, 1)
	}
	return nil
}

// lateData is DATA for a stream that is gone. If we ended it, the peer may not have known.
func (c *Conn) lateData(h head) error {
	if ours, _ := c.recent.find(h.id); ours || c.leaving == refusing && h.id > c.taken {
		if h.length == 0 {
			return c.spend(resets, 1)
		}
		return nil
	}
	return c.refuse(h.id, http2.ErrCodeStreamClosed)
}

// skip drops the payload of a DATA frame that the connection's window has been debited for.
func (c *Conn) skip(n int32) {
	c.phase = inSkip
	c.giveBack(n)
}

// data hands on what is here of a DATA frame's payload, and returns how much that is.
func (c *Conn) data(p []byte) int {
	h := parseHead(&c.head)
	n := int(min(c.left, uint32(len(p))))
	part := p[:n]
	if n > 0 && c.padding == padUnread {
		if c.padding = int16(part[0]); uint32(c.padding) >= c.left {
			_ = c.fail(http2.ErrCodeProtocol, "padding is longer than the frame")
			return n
		}
		c.left--
		part = part[1:]
		if s := c.streams.find(h.id); s != nil {
			s.Consume(1 + int(c.padding))
		}
		if c.left == uint32(c.padding) && !h.flags.Has(http2.FlagDataEndStream) && c.spend(control, 1) != nil {
			return n
		}
	}
	body := part[:min(len(part), max(0, int(c.left)-int(c.padding)))]
	c.left -= uint32(len(part))
	end := c.left == 0 && h.flags.Has(http2.FlagDataEndStream)
	if len(body) > 0 || end {
		_ = c.body(h.id, body, end)
	}
	return n
}

// body hands on octets of a request's body, unless the stream has ended since the frame began.
func (c *Conn) body(id uint32, p []byte, end bool) error {
	s := c.streams.find(id)
	if s == nil {
		return nil
	}
	if s.length >= 0 {
		// RFC 9113 8.1.1: content-length is the sum of the DATA frames.
		if s.length -= int64(len(p)); s.length < 0 || end && s.length > 0 {
			return c.fault(s, http2.ErrCodeProtocol)
		}
	}
	if end {
		s.flags |= ended
	}
	c.handler.Data(s, p, end)
	return nil
}
