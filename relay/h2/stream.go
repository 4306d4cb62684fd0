package h2

import "golang.org/x/net/http2"

// A Stream is one request and its response. Of a stream that is gone all methods may be
// called; they do nothing.
type Stream struct {
	// Owner is the loop's, and not touched here.
	Owner any

	conn   *Conn
	length int64  // octets of the request's body that content-length has left; -1: it said nothing
	id     uint32 // odd
	send   int32  // our window for DATA; SETTINGS may make it negative
	recv   int32  // the peer's; our SETTINGS may make it negative
	credit int32  // consumed and not yet given back to recv
	flags  flags
}

type flags uint8

const (
	ended    flags = 1 << iota // the peer has sent all of the request
	answered                   // the response's header block was made
	starved                    // Window was found to be 0; the handler waits to be told
	closed                     // gone, not in the table
)

func (s *Stream) is(f flags) bool { return s.flags&f != 0 }

// ID is the stream's number on its connection.
func (s *Stream) ID() uint32 { return s.id }

// Conn is the stream's connection.
func (s *Stream) Conn() *Conn { return s.conn }

// Closed reports whether the stream is gone.
func (s *Stream) Closed() bool { return s.is(closed) }

// Ended reports whether all of the request is here.
func (s *Stream) Ended() bool { return s.is(ended) }

// Reset ends the stream with RST_STREAM in Output.
func (s *Stream) Reset(code http2.ErrCode) {
	c := s.conn
	if s.is(closed) {
		return
	}
	if c.err == nil {
		c.out = appendReset(c.out, s.id, code)
	}
	c.drop(s, true)
}

// Consume gives n octets of the request's body back to the peer's windows, half a window at
// a time. It panics when the handler has not been given so many.
func (s *Stream) Consume(n int) {
	c := s.conn
	if s.is(closed) || c.err != nil {
		return
	}
	if n < 0 || n > int(s.held()) {
		panic("h2: Consume of more than was received")
	}
	c.giveBack(int32(n))
	s.giveBack(int32(n))
}

// giveBack returns octets that were consumed to the stream's window, half a window at a time.
func (s *Stream) giveBack(n int32) {
	c := s.conn
	s.credit += n
	if s.credit >= max(1, c.recvNew/2) && !s.is(ended) {
		c.out = appendUpdate(c.out, s.id, s.credit)
		s.recv += s.credit
		s.credit = 0
	}
}

// held is what was received and not consumed, in octets.
func (s *Stream) held() int32 { return s.conn.recvNew - s.recv - s.credit }

// Window is how many octets AppendData takes now: no more than the windows of the stream
// and the connection and the peer's largest frame. Once it was found to be 0, here or at the end
// of AppendData, Handler.Writable tells when it is not.
func (s *Stream) Window() int {
	n := min(s.send, s.conn.send)
	if n <= 0 {
		s.starve()
		return 0
	}
	if s.is(closed) {
		return 0
	}
	return min(int(n), int(s.conn.sendMax))
}

func (s *Stream) starve() {
	if s.flags&(starved|closed) == 0 {
		s.flags |= starved
		s.conn.starved++
	}
}
