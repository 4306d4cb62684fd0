package gzipstream

import (
	"encoding/binary"
	"slices"

	"freshet/ringbuf"
)

// A Stream is where one subscriber's gzip stream is. The zero Stream has not begun. The sum of its text is
// apart, for the caller to lay out: there are millions of both. Its methods are for
// rings on which the caller has called StartDeflated, and not yet StopDeflated.
type Stream struct {
	// The highest bit: the sum is lost. The others: of the last bytes of output, how many are the log's last before
	// the cursor; at most mostOwn.
	state uint16
}

const (
	mostOwn = ringbuf.MostWindow
	sumLost = mostOwn + 1
)

func (s *Stream) own() int     { return int(s.state &^ sumLost) }
func (s *Stream) adrift() bool { return s.state&sumLost != 0 }

func (s *Stream) setOwn(n int) { s.state = s.state&sumLost | uint16(min(n, mostOwn)) }
func (s *Stream) lose()        { s.state |= sumLost }

// header begins a member: no name, no time, unknown system (RFC 1952, section 2.3).
var header = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// Open appends the beginning of the stream, and text, which is private to the
// subscriber. It will go on from c.
func (s *Stream) Open(dst []byte, sum *ringbuf.Sum, r *ringbuf.Ring, c ringbuf.Cursor, text []byte) []byte {
	if at, ok := r.SumAt(c); ok {
		sum.Begin(at)
	} else {
		s.lose()
	}
	dst = slices.Grow(dst, len(header)+storedLen(len(text)))
	return s.Private(append(dst, header...), sum, r, c, text)
}

// Private appends text that only this subscriber gets, at c, which is where it
// is in the log and goes on.
func (s *Stream) Private(dst []byte, sum *ringbuf.Sum, r *ringbuf.Ring, c ringbuf.Cursor, text []byte) []byte {
	if !s.adrift() {
		if at, ok := r.SumAt(c); ok {
			sum.Text(at, text)
		} else {
			s.lose()
		}
	}
	s.setOwn(0)
	return appendStored(dst, text, 0, storedLen(len(text)))
}

// Lapped says that the cursor is moved without the text in between.
func (s *Stream) Lapped() {
	s.setOwn(0)
	s.lose()
}

// Next returns what comes next in the log at c, and moves c behind it: whole
// events, as many as fit in max bytes, but at least one. So only a single event
// can be longer than max. The caller then sends a part of it and the rest before
// anything else; or takes back both s and c and sends it with Part.
//
// If the event at c is no longer kept, Next returns no bytes but how many events
// are lost, and moves c to the oldest kept; Lapped is the caller's to call.
// shared says whether the bytes are the log's own.
func (s *Stream) Next(r *ringbuf.Ring, c *ringbuf.Cursor, max int) (p []byte, shared bool, events int, lost uint64) {
	room := max - storedLen(max) + max // what text of max bytes would need besides
	run, shared, events, text, lost := r.NextDeflated(c, s.own(), room)
	if events == 0 {
		return nil, false, 0, lost
	}
	s.add(text)
	if shared {
		return run, true, events, 0
	}
	n := storedLen(len(run))
	return appendStored(make([]byte, 0, n), run, 0, n), false, events, 0
}

// Part returns at most max bytes of the stored form of the event at c, from sent
// on. done says that these are the last; only then c moves behind it. lost is as
// for Next.
func (s *Stream) Part(r *ringbuf.Ring, c *ringbuf.Cursor, sent, max int) (p []byte, done bool, lost uint64) {
	next := *c
	e, lost, ok := r.Step(&next)
	if !ok {
		*c = next
		return nil, false, lost
	}
	all := storedLen(len(e.Wire))
	to := min(sent+max, all)
	p = appendStored(make([]byte, 0, to-sent), e.Wire, sent, to)
	if to < all {
		return p, false, 0
	}
	*c = next
	s.add(len(e.Wire))
	return p, true, 0
}

func (s *Stream) add(text int) { s.setOwn(s.own() + text) }

// empty is a stored block without text.
var empty = []byte{0, 0, 0, 0xff, 0xff}

// Heartbeat returns what may be sent after a silence, between any two results of
// the other methods that were sent to their end.
func Heartbeat() []byte { return empty }

// End appends private text at c, and the end of the stream.
func (s *Stream) End(dst []byte, sum *ringbuf.Sum, r *ringbuf.Ring, c ringbuf.Cursor, text []byte) []byte {
	dst = s.Private(dst, sum, r, c, text)
	if s.adrift() {
		return dst
	}
	at, ok := r.SumAt(c)
	if !ok {
		return dst
	}
	crc, size := sum.Total(at)
	dst = append(dst, 0x03, 0x00) // a final block with fixed codes and nothing in it
	dst = binary.LittleEndian.AppendUint32(dst, crc)
	return binary.LittleEndian.AppendUint32(dst, size)
}
