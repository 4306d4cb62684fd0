// Package h3 serves HTTP/3 to very many subscribers, on quic-go.
//
// net/http3 answers each request in a goroutine, which an event stream would keep
// for hours. Here an ordinary request runs like that, but [Take] ends the handler
// of a subscriber and gives its stream to a loop, of which there is one per core:
//
//	UDP socket ─▶ quic.Transport ─▶ admission ─▶ http3 ─▶ Handler in a goroutine
//	                   ▲                                       │ Take
//	                   │ packets                               ▼
//	              one goroutine              ┌──────────────────────────┐
//	             per connection   ◀───────── │ loop: dirty connections, │ ◀─ Fanout.Wake
//	                  ▲          TryWriteAll │ heartbeats, Body.Next    │     no data
//	                  │                      └──────────────────────────┘
//	                  │ Write, which blocks        │          ▲
//	                  └───── a goroutine of its own, for as long as the
//	                         stream lags behind ───┘          caught up
//
// Who owns what: a stream and its Body belong to the loop of their connection, except
// while the stream is apart: then to the goroutine that writes it. Nothing is locked
// between loops. A loop never blocks: TryWriteAll takes a whole frame or nothing.
//
// quic-go does not tell when a stream became writable, nor what it still holds. What
// TryWriteAll took is bounded by the peer's window only, which may be megabytes. So a
// loop counts what it gave since it last knew the stream to be empty, and from
// [Server.UnsentBytes] on, or when the window is closed, the stream goes apart: a
// blocking Write returns once what was before it has been packed. A healthy
// subscriber goes apart once in some hundred events and comes back at once; a replay
// is written at the pace of the network; a stalled one costs a goroutine and a chunk
// until [Server.Stall] is over, and nobody else waits for it.
//
// The floor of CPU, from profiles of a thousand connections with one stream each: a delivery costs 0.6
// to 0.95 of what net/http3 with a goroutine and a channel does in the same run (16 to 30 us here, as
// busy as the machine is). Two hundredths of it are spent in this package,
// a tenth in TryWriteAll, which wakes the connection's goroutine; a fifth is the kernel's
// sendmsg; the rest is quic-go's: packing and sealing, the goroutine that sends, the
// acknowledgement that answers every packet, received, opened and handed over again.
// With a hundred streams a connection packets are shared, and it is 0.37 to 0.4 (below
// 4 us).
//
// The floor of memory: such a connection at rest keeps 62 KiB alive. 22 are quic-go's heap and 2 that
// of http3, 14 are keys and what the handshake has left in crypto/tls (which netloop drops; here quic-go's
// goroutine may be using it), 1 is this package's, and 20 are the stacks of the five goroutines that
// quic-go and http3 have for each connection. Windows are limits, not buffers.
// Go's allocator makes 80 to 88 KiB resident of it, and 99 under load, when
// stacks have grown and packets are on their way: 0.9 and 0.7 of net/http3's.
// BenchmarkDelivery measures all of this.
//
// What it promises: the limits of [Server], also against peers that only begin things;
// idle connections that stay open while something is subscribed, whatever idle timeout the
// peer asks for; a shutdown that ends, tells the peers first ([Server.Leave]), and closes the socket last.
// A process that died says nothing over UDP, where over TCP the kernel tells its peers at once.
// They find out when they next ask for something on the connection and a process with the
// same [Server.Secret] answers with a stateless reset, one round trip; who only listens
// finds out after [Server.Idle]. quic-go answers no packet as small as a keep-alive.
//
// What it does not do: no server push, no datagrams, no WebTransport.
package h3
