package h2

import (
	"slices"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// AppendData appends one DATA frame and debits the windows. It panics when p is longer than Window.
// If end comes before the request has ended, RST_STREAM follows, as in AppendHeaders.
func (s *Stream) AppendData(dst, p []byte, end bool) []byte {
	c := s.conn
	if s.is(closed) {
		return dst
	}
	n := int32(len(p))
	after := min(s.send, c.send) - n
	if len(p) > int(c.sendMax) || n > 0 && after < 0 {
		panic("h2: AppendData of more than the window")
	}
	s.send -= n
	c.send -= n
	switch {
	case after > 0 || n >= crumb:
		c.earn()
	case n > 0:
		c.budget[updates]-- // the next WINDOW_UPDATE finds it overdrawn
	}
	if after <= 0 {
		s.starve()
	}
	var f http2.Flags
	if end {
		f = http2.FlagDataEndStream
	}
	dst = appendHead(dst, len(p), http2.FrameData, f, s.id)
	dst = append(dst, p...)
	if end {
		return s.finish(dst)
	}
	return dst
}

// AppendHeaders appends the header block of the response; of a status of 1xx, one that comes before it.
// Names are in lower case. If end comes before the request has ended, RST_STREAM with NO_ERROR
// follows: the rest of the request is not wanted (RFC 9113 8.1).
func (s *Stream) AppendHeaders(dst []byte, status int, fields []hpack.HeaderField, end bool) []byte {
	return s.appendFields(dst, status, fields, end)
}

// AppendTrailers appends trailer fields, which end the response.
func (s *Stream) AppendTrailers(dst []byte, fields []hpack.HeaderField) []byte {
	return s.appendFields(dst, 0, fields, true)
}

// AppendBlock is AppendHeaders with a block made by AppendFields before, once for any number of
// streams.
func (s *Stream) AppendBlock(dst, block []byte, end bool) []byte {
	if s.is(closed) {
		return dst
	}
	s.flags |= answered
	kind, f := http2.FrameHeaders, http2.Flags(0)
	if end {
		f = http2.FlagHeadersEndStream
	}
	for limit := int(s.conn.sendMax); len(block) > limit; block = block[limit:] {
		dst = appendHead(dst, limit, kind, f, s.id)
		dst = append(dst, block[:limit]...)
		kind, f = http2.FrameContinuation, 0
	}
	dst = appendHead(dst, len(block), kind, f|http2.FlagHeadersEndHeaders, s.id)
	dst = append(dst, block...)
	if end {
		return s.finish(dst)
	}
	return dst
}

func (s *Stream) appendFields(dst []byte, status int, fields []hpack.HeaderField, end bool) []byte {
	if s.is(closed) {
		return dst
	}
	before := s.flags
	start := len(dst)
	dst = AppendFields(append(dst, make([]byte, frameHead)...), status, fields)
	block := dst[start+frameHead:]
	if len(block) > int(s.conn.sendMax) {
		dst = s.AppendBlock(dst[:start], slices.Clone(block), end)
	} else {
		f := http2.FlagHeadersEndHeaders
		if end {
			f |= http2.FlagHeadersEndStream
		}
		appendHead(dst[:start], len(block), http2.FrameHeaders, f, s.id)
		s.flags |= answered
		if end {
			dst = s.finish(dst)
		}
	}
	if status >= 100 && status < 200 {
		s.flags = before
	}
	return dst
}

// finish ends the stream after the last frame of the response.
func (s *Stream) finish(dst []byte) []byte {
	all := s.is(ended)
	if !all {
		dst = appendReset(dst, s.id, http2.ErrCodeNo)
	}
	s.conn.drop(s, !all)
	return dst
}
