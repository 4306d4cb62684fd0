package netloop

// A Body is an endless response body that a loop pulls from. All calls come from the one loop that
// owns the stream, and must not block.
type Body interface {
	// Start comes first, always, and tells which loop it is, from 0 up.
	Start(loop int)
	// Next returns the bytes to send next, at most max >= 1 of them, all of which the loop
	// takes. They must not change until the next call. None means that there is nothing now; a
	// Body that has more then waits for its Fanout. end: the body ends after p.
	Next(max int) (p []byte, end bool)
	// Heartbeat is asked for after Engine.Heartbeat of silence, when Next has nothing. It
	// returns none when the stream is not between events.
	Heartbeat() []byte
	// Close comes last, exactly once: with nil after end, otherwise with the reason why the
	// stream is no more, which wraps ErrGone, ErrStalled or ErrShutdown if it is none of the peer's mistakes.
	Close(cause error)
}
