// Package relay is the subscribers' side of freshet: topics, the streams that
// follow them, and the HTTP contract around both.
//
//	POST ─▶ commit ─▶ topic ─▶ ring ◀─ cursor ─ subscriber ─▶ GET's stream
//	                    │                            ▲
//	                    └── audience: Wake, no data ─┘
//
// A topic is a name, a ring and an audience. Whoever commits events holds the
// topic's lock, which is what makes their order; readers take none. The audience
// is woken without being told why, and each subscriber pulls what lies between
// its cursor and the head, so that bursts become batches, replay and live are
// the same loop, and nothing is ever queued for anybody.
//
// A subscriber is a state machine without I/O: Next says which bytes come next,
// never more than asked for. Who owns it calls it: an event loop of netloop for
// the relay's own listeners, or the goroutine of the handler where it is served
// by somebody else's ResponseWriter.
//
// A client that accepts gzip gets the same stream compressed. The ring compresses
// each event once, and a subscriber keeps no more than where its gzip stream is
// (gzipstream), so that this costs no memory and saves most of the bytes.
//
// What goes wrong is told in a way that the client at hand can use: a Problem
// (RFC 9457) to who can mend the request; a stream that says no more than when to
// come back to a browser that would give up for ever on any other status.
// Everything is bounded by a setting in Limits that the answer names, and
// counted.
//
// Run owns every goroutine but the handlers': the listeners, the sweep that lets
// age do its work, one for each upstream that is followed, and one for each
// topic that is sending its subscribers away. New starts none.
//
// The relay knows no cluster and no feed. Where a topic's events come from is an
// Upstream's business, and who commits them a Committer's; without them the
// relay is on its own, and is the whole of freshet. Where relays agree on every
// topic, both are Logs: it brings the entries to where they belong, and after a
// heal another log, which each subscriber finds its way in when it is next
// asked.
package relay
