package h2

import (
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A Scratch holds what reading needs only for the length of a call of Receive. One is
// shared by all connections of a loop.
type Scratch struct{}

// NewScratch returns a Scratch for connections of cfg.
func NewScratch(cfg *Config) *Scratch { return nil }

// A Conn is one connection.
type Conn struct{}

// New returns a connection whose client preface is still to come. Our SETTINGS are in Output.
func New(cfg *Config, scratch *Scratch, h Handler) *Conn { return nil }

// Receive takes what the peer sent, cut anywhere. An error is final: GOAWAY is in
// Output; write that, call Close, and close the transport.
func (c *Conn) Receive(now time.Time, p []byte) error { return nil }

// Output is what is to be sent next. It is valid until the next call of a method of the Conn or its streams.
func (c *Conn) Output() []byte { return nil }

// Flushed drops the first n bytes of Output.
func (c *Conn) Flushed(n int) {}

// Ready reports whether the client preface, with its SETTINGS, is here.
func (c *Conn) Ready() bool { return false }

// Partial reports whether a frame or a header block has begun and not ended.
func (c *Conn) Partial() bool { return false }

// Shutdown begins a graceful end (RFC 9113 6.8), or hurries it when called again: GOAWAY that refuses
// nothing and a PING; when that comes back (or at the second call), GOAWAY with the last stream that counts.
// Streams go on. Done says when the connection may be closed.
func (c *Conn) Shutdown() {}

// Done reports whether either side said GOAWAY for good and no stream is left.
func (c *Conn) Done() bool { return false }

// GoAway tells the peer that the connection ends now, for the reason given. Receive fails from then on.
func (c *Conn) GoAway(code http2.ErrCode, reason string) {}

// Close ends every stream, with a call of Handler.Reset for each, and sends nothing.
func (c *Conn) Close(code http2.ErrCode) {}

// Streams is the number of open streams.
func (c *Conn) Streams() int { return 0 }

// Each calls f for every open stream in order of their ids. f may end any stream.
func (c *Conn) Each(f func(*Stream)) {}

// A Stream is one request and its response.
type Stream struct {
	// Owner is the loop's own.
	Owner any
}

// ID is the stream's number on its connection.
func (s *Stream) ID() uint32 { return 0 }

// Conn is the stream's connection.
func (s *Stream) Conn() *Conn { return nil }

// Closed reports whether the stream is gone. All its methods may still be called and do nothing.
func (s *Stream) Closed() bool { return false }

// Ended reports whether the peer has ended the request.
func (s *Stream) Ended() bool { return false }

// Consume gives n bytes of the request's body back to the peer's windows.
func (s *Stream) Consume(n int) {}

// Reset ends the stream with RST_STREAM in Output.
func (s *Stream) Reset(code http2.ErrCode) {}

// Window is how many octets AppendData takes at once now. When it is 0, Handler.Writable will tell when it no longer is.
func (s *Stream) Window() int { return 0 }

// AppendHeaders appends the response's header block. A status of 1xx may be sent before. If end ends a stream whose request has not ended, RST_STREAM with NO_ERROR follows (RFC 9113 8.1).
func (s *Stream) AppendHeaders(dst []byte, status int, fields []hpack.HeaderField, end bool) []byte {
	return dst
}

// AppendBlock is AppendHeaders with a block that AppendFields has encoded, which may be shared by any number of streams and connections.
func (s *Stream) AppendBlock(dst, block []byte, end bool) []byte { return dst }

// AppendData appends one DATA frame. It panics when p is longer than Window.
func (s *Stream) AppendData(dst, p []byte, end bool) []byte { return dst }

// AppendTrailers appends the trailer fields, which end the stream.
func (s *Stream) AppendTrailers(dst []byte, fields []hpack.HeaderField) []byte { return dst }

// AppendFields appends a header block (no frame around it) that needs no state to decode. status 0: none, as in trailers.
func AppendFields(dst []byte, status int, fields []hpack.HeaderField) []byte { return dst }

// An Error ended a connection.
type Error struct {
	Code   http2.ErrCode // as sent in GOAWAY
	Reason string        // what the peer did, and the limit
}

func (e *Error) Error() string { return "h2: " + e.Code.String() + ": " + e.Reason }
