package netloop

import (
	"strconv"
	"unsafe"

	"freshet/relay/h2"
)

// A stream is one request's answer in a loop: an ordinary one, whose body is an exchange, or one that
// Take gave to the loop. There may be millions, so it is small. Owned by the loop.
type stream struct {
	conn  *conn
	h2    *h2.Stream // nil = HTTP/1.1
	body  Body       // nil = gone
	head  []byte     // to be sent first: a header block, of HTTP/1.1 the header; nil once sent
	next  *stream    // in conn.waiting
	seat  *seat      // nil = no fanout
	place uint32     // in seat
	since tick       // when it last sent something, or was blocked
	flags streamFlags
}

type streamFlags uint8

const (
	inWaiting streamFlags = 1 << iota
	blocked               // its window is closed; the peer opens it, or it stalls
	gone
	held     // given by Take
	beat     // a heartbeat is due
	headOnly // head is all of the answer
	interim  // 100 (Continue) is to be sent
	chunked  // HTTP/1.1 with chunks; otherwise the body lasts until the connection is closed
)

// appendHead appends s.head, framed.
func (s *stream) appendHead(out []byte) []byte {
	if s.h2 == nil {
		return append(out, s.head...)
	}
	return s.h2.AppendBlock(out, s.head, s.flags&headOnly != 0)
}

// appendData appends p, framed.
func (s *stream) appendData(out, p []byte, end bool) []byte {
	switch {
	case s.h2 != nil:
		return s.h2.AppendData(out, p, end)
	case s.flags&chunked == 0:
		return append(out, p...)
	}
	if len(p) > 0 {
		out = strconv.AppendUint(out, uint64(len(p)), 16)
		out = append(out, "\r\n"...)
		out = append(out, p...)
		out = append(out, "\r\n"...)
	}
	if end {
		out = append(out, "0\r\n\r\n"...)
	}
	return out
}

// join makes s a stream of body from now on, which f wakes.
func (c *conn) join(s *stream, body Body, head []byte, f *Fanout) {
	l := c.loop
	body.Start(l.id)
	if s.flags&gone != 0 || c.phase >= closing {
		cause := c.cause
		if cause == nil {
			cause = ErrGone
		}
		body.Close(cause)
		return
	}
	s.body, s.head = body, head
	s.flags |= held
	s.since = l.tick
	if f != nil {
		c.sit(s, &f.parts[l.id])
	}
	l.stats.subscribers.Add(1)
	if l.heartbeat > 0 {
		l.wheel.setBefore(&c.alarm, l.tick+l.heartbeat+c.spread())
	}
	c.wait(s)
}

// drop ends s, of which the peer has been or need not be told, and tells its body why.
func (c *conn) drop(s *stream, cause error) {
	if s.flags&gone != 0 {
		return
	}
	l := c.loop
	s.flags |= gone
	c.streams--
	if c.streams == 0 {
		c.since = l.tick
		if c.phase == open && c.http2 != nil {
			l.wheel.setBefore(&c.alarm, l.tick+l.idle)
		}
	}
	if s.seat != nil {
		c.unsit(s)
	}
	if c.only == s {
		c.only = nil
	}
	if s.flags&held != 0 {
		l.stats.subscribers.Add(-1)
	}
	body := s.body
	s.body, s.head = nil, nil
	if body != nil {
		body.Close(cause)
	}
}

// bodyOf is where s's body is.
func bodyOf(s *stream) *byte {
	if b := (*[2]*byte)(unsafe.Pointer(&s.body))[1]; b != nil {
		return b
	}
	return &nothing
}

var nothing byte
