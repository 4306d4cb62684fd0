package h3

import (
	"fmt"

	"freshet/relay/netloop"
)

// Causes that Body.Close is given. Each wraps the one of netloop, so that a Body need not ask which of
// the two it is served by.
var (
	// ErrStalled: the peer took no byte for Server.Stall.
	ErrStalled = fmt.Errorf("over HTTP/3: %w", netloop.ErrStalled)
	// ErrShutdown: the server's drain time is over.
	ErrShutdown = fmt.Errorf("over HTTP/3: %w", netloop.ErrShutdown)
	// ErrGone: the peer closed the connection or reset the stream.
	ErrGone = fmt.Errorf("over HTTP/3: %w", netloop.ErrGone)
)

// A Body is an endless response body that a loop pulls from. There is one call at a time, and none
// may block.
type Body interface {
	// Start comes first, always, and tells which loop it is, from 0 up.
	Start(loop int)
	// Next returns the bytes to send next, at most max >= 1 of them, all of which are
	// taken. They must not change until the next call. None means that there is nothing now; a
	// Body that has more then waits for its Fanout. end: the body ends after p.
	Next(max int) (p []byte, end bool)
	// Heartbeat is asked for after Server.Heartbeat of silence, when Next has nothing. It
	// returns none when the stream is not between events.
	Heartbeat() []byte
	// Close comes last, exactly once: with nil after end, otherwise with the reason why the
	// stream is no more, which wraps one of the errors above.
	Close(cause error)
}
