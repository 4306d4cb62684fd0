package h2

import (
	"errors"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// headersFrame begins a header block, or is all of one.
func (c *Conn) headersFrame(h head, payload []byte) error {
	if h.flags.Has(http2.FlagHeadersEndHeaders) {
		return c.block(h, payload)
	}
	// What follows is gathered behind this frame's part, without its padding: for the
	// Framer it will have been one frame.
	if h.flags.Has(http2.FlagHeadersPadded) {
		part, ok := unpad(payload)
		if !ok {
			return c.fail(http2.ErrCodeProtocol, "padding is longer than the frame")
		}
		payload = part
	}
	c.carry = append(c.carry[:0], payload...)
	c.base = uint32(len(c.carry))
	c.continuing = h.id
	c.blockFlags = h.flags &^ http2.FlagHeadersPadded
	return nil
}

// continuationFrame goes on with a header block; carry has its payload already.
func (c *Conn) continuationFrame(h head) error {
	c.base = uint32(len(c.carry))
	if !h.flags.Has(http2.FlagContinuationEndHeaders) {
		return nil
	}
	h.kind = http2.FrameHeaders
	h.flags = c.blockFlags | http2.FlagHeadersEndHeaders
	h.length = c.base
	c.continuing = 0
	appendHead(c.head[:0], int(h.length), h.kind, h.flags, h.id)
	return c.block(h, c.carry)
}

// block acts on a whole header block, with c.head as the header of the one frame it is.
func (c *Conn) block(h head, payload []byte) error {
	dec, fresh := c.scratch.plain, c.decoder == nil
	if !c.tableless {
		if c.decoder == nil {
			c.decoder = hpack.NewDecoder(firstTable, func(hpack.HeaderField) {})
		}
		dec = c.decoder
	}
	f, err := c.scratch.read(&c.head, payload, dec)
	malformed := false
	if err != nil {
		// The Framer has decoded a malformed list to its end, so the decoder is good for the next.
		var se http2.StreamError
		if malformed = errors.As(err, &se) && se.Cause != nil; !malformed {
			return c.failReading(err)
		}
	}
	if err := c.useTable(findTableUse(payload, h.flags), fresh); err != nil {
		return err
	}

	list := headerList{end: h.flags.Has(http2.FlagHeadersEndStream), malformed: malformed}
	if !malformed {
		mf := f.(*http2.MetaHeadersFrame)
		list.fields = mf.Fields
		list.tooLong = mf.Truncated || listSize(mf.Fields) > c.scratch.limits.headerList
		// RFC 7540 5.3.1
		list.malformed = mf.HasPriority() && mf.Priority.StreamDep == h.id
	}
	if s := c.streams.find(h.id); s != nil {
		return c.trailers(s, list)
	}
	if h.id <= c.lastID {
		return c.lateHeaders(h.id)
	}
	c.lastID = h.id
	return c.request(h.id, list)
}

// A headerList is a decoded header block.
type headerList struct {
	fields    []hpack.HeaderField
	end       bool // the request ends with it
	malformed bool
	tooLong   bool
}

// listSize is the size of a list as SETTINGS_MAX_HEADER_LIST_SIZE counts it.
func listSize(fields []hpack.HeaderField) (n uint32) {
	for _, f := range fields {
		n += f.Size()
	}
	return n
}

// request opens a stream.
func (c *Conn) request(id uint32, list headerList) error {
	var length int64
	ok := !list.malformed
	if ok && !list.tooLong {
		length, ok = validRequest(list.fields)
	}
	switch {
	case c.leaving == refusing:
		return c.spend(resets, 1) // RFC 9113 6.8: ignored
	case !ok, list.end && length > 0:
		return c.refuse(id, http2.ErrCodeProtocol)
	case len(c.streams) >= c.scratch.limits.streams:
		return c.refuse(id, http2.ErrCodeRefusedStream)
	}
	c.taken = id
	c.earn()
	s := &Stream{conn: c, id: id, send: c.sendNew, recv: c.recvNew, length: length}
	if list.end {
		s.flags = ended
	}
	c.streams.add(s)
	if list.tooLong {
		answer := s.AppendHeaders(nil, 431, nil, true)
		c.out = append(c.out, answer...)
		return c.spend(resets, 1)
	}
	c.handler.Request(s, list.fields, list.end)
	return nil
}

// trailers ends a request's body.
func (c *Conn) trailers(s *Stream, list headerList) error {
	switch {
	case s.is(ended):
		return c.fault(s, http2.ErrCodeStreamClosed)
	case list.tooLong:
		return c.fault(s, http2.ErrCodeEnhanceYourCalm)
	case list.malformed, !list.end, s.length > 0, !validTrailers(list.fields):
		return c.fault(s, http2.ErrCodeProtocol)
	}
	s.flags |= ended
	c.handler.Trailers(s, list.fields)
	return nil
}

// lateHeaders is a header block of a stream that is gone, or was passed over.
func (c *Conn) lateHeaders(id uint32) error {
	ours, known := c.recent.find(id)
	switch {
	case ours: // sent before the peer knew
		return c.spend(resets, 1)
	case known:
		return c.fail(http2.ErrCodeStreamClosed, "HEADERS on a closed stream")
	case c.leaving == refusing:
		return c.spend(resets, 1)
	}
	return c.fail(http2.ErrCodeProtocol, "stream's id is not above the last")
}
