package h2

import (
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A Handler is told what the peer does on one connection. Conn.Receive calls it
// synchronously (Conn.Close calls Reset). It may call any method of any Stream and of
// the Conn, except Receive of a Conn that shares the Scratch.
type Handler interface {
	// Request begins a stream. The fields are a valid request (RFC 9113 8.3): pseudo-header
	// fields first, no connection-specific fields, content-length a number if any. The slice
	// is valid during the call, its strings for ever. end: there is no body.
	Request(s *Stream, fields []hpack.HeaderField, end bool)

	// Data is the next part of the request's body; p is valid during the call and empty
	// only when end is set. Every byte must be given back with Stream.Consume.
	Data(s *Stream, p []byte, end bool)

	// Trailers ends the request's body. The slice is valid during the call.
	Trailers(s *Stream, fields []hpack.HeaderField)

	// Reset says that the stream is gone: the peer reset it, broke its rules, or the
	// connection was closed. It is not called for an end that the loop caused itself.
	Reset(s *Stream, code http2.ErrCode)

	// Writable says that Stream.Window, which was last found to be 0, no longer is.
	Writable(s *Stream)
}
