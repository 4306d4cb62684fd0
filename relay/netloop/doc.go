// Package netloop serves HTTP to very many connections from a few event loops.
//
// A goroutine for each connection costs more than what most subscribers of an
// event stream are ever sent. Here a connection belongs to one loop, a loop is one
// goroutine, and there is one loop per core:
//
//	listener ─▶ accept ─▶ handshake (TLS, or a look at the first bytes)
//	                         │                        │
//	                   HTTP/2│                HTTP/1.1│
//	                         ▼                        ▼
//	  Fanout.Wake ─▶ ┌────────────┐   requests   net/http.Server
//	    no data      │    loop    │ ─────────▶  Handler in a goroutine
//	                 │ epoll      │ ◀─────────        │
//	                 │ timers     │   answers         │ Take
//	                 │ conns      │ ◀─────────────────┘
//	                 └────────────┘   the stream, for good
//	                       │ Body.Next
//	                       ▼
//	                one buffer, one write
//
// Who owns what: a loop owns its connections, their streams and the Body of every
// stream that was handed to it by [Take], alone and without locks. Others reach a loop
// through its inbox only. The accept loops and the handshakes run in goroutines of
// their own, bounded in number. Ordinary requests run as http.Handler in goroutines;
// what they write goes out through the loop, under flow control.
//
// A loop works in bounded turns: some reads, some part of a fan-out, some writes, and
// around again, so that half a million streams of one topic delay nobody for longer
// than a turn. All that is due on a connection is gathered in one buffer and
// written once. What a socket does not take waits in that connection, which asks no
// Body for more until it is writable again.
//
// It ends in steps: [Engine.Leave] tells HTTP/2 peers to open nothing new, while streams go on and whoever
// connects is answered once; then Run's context ends, listeners are closed, and what is left has [Engine.Drain].
//
// What it promises: no call of a loop blocks; a stalled peer costs at most one turn's
// bytes of memory and is closed after [Engine.Stall]; everything has a limit, see
// [Engine]; nothing is allocated between Body.Next and the socket.
//
// What it does not do: it knows no topics and no events, offers no server push, no
// upgrades out of HTTP/1.1 but [Take], and no response trailers.
package netloop
