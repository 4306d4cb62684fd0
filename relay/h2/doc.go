// Package h2 is the server's side of an HTTP/2 connection (RFC 9113) as a state
// machine without I/O: bytes and a time go in, calls of a [Handler] and bytes
// come out. It reads header blocks and control frames with http2.Framer and
// hpack of golang.org/x/net, and writes frames by appending to the caller's buffer.
//
//	socket ──bytes──▶ Conn.Receive ──▶ Handler.Request, Data, Trailers, Reset, Writable
//	                      │
//	                      ▼ answers that the protocol asks for
//	socket ◀─────── Conn.Output   (SETTINGS, acks, WINDOW_UPDATE, RST_STREAM, GOAWAY)
//	socket ◀─────── Stream.AppendHeaders, AppendData, AppendTrailers   (responses)
//
// A Conn, its streams and its Scratch belong to one goroutine, an event loop. Nothing
// here locks, starts a goroutine, reads a clock or keeps a buffer that is not needed.
// DATA is handed on as it arrives; only a header block is gathered (bounded), since
// only a whole one can be decoded.
//
// # Order of bytes
//
// What Append* and Output give must reach the socket in the order in which it was
// made. A loop with one buffer per connection gets that by doing, whenever it is about
// to append to the buffer or to write it:
//
//	buf = append(buf, c.Output()...)
//	c.Flushed(len(c.Output()))
//
// It should do so only while the socket takes bytes: what a peer asks for and does not
// read then stays in Output, whose length is limited.
//
// # The end
//
// When Receive fails or Done reports true, the loop writes Output, shuts its side of the
// transport, and reads and drops what still comes, for a second or so, before it closes.
// A socket closed with octets unread resets the connection, and the peer may never see
// GOAWAY.
//
// # What it promises
//
//   - All of h2spec passes.
//   - Memory is bounded by [Config] whatever the peer sends. A Conn without streams keeps
//     no buffer and, once the peer has given up its HPACK table as our SETTINGS ask, no
//     decoder: 256 octets. A stream takes 72 with its place in the table.
//   - Work is bounded: frames that cost us more than the peer (resets, pings, settings,
//     empty frames, window crumbs) are paid for from budgets, see [Budget]; a peer that
//     overdraws one gets GOAWAY ENHANCE_YOUR_CALM.
//   - AppendData allocates nothing.
//
// # What it does not do
//
// It has no timers: the loop closes a connection that is not [Conn.Ready] in time, that
// stays [Conn.Partial], or whose streams stall. It does not push, knows no priorities
// (RFC 9113 5.3.2) and no extended CONNECT. It counts streams, not the handlers that a
// loop may still run for streams that are gone: that count is the loop's own
// (CVE-2023-44487).
package h2
