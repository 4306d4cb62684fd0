// Package origin is the origin's side of freshet: what brings events from where
// they happen to a relay.
//
//	                  pulled                        pushed
//	origin's SSE  <----------  Source --> Sink
//	                                               Publisher --> POST to a relay
//	Feed (http.Handler)  <---  Source, browsers
//
// A Source pulls an origin's stream of Server-Sent Events into a relay, which it
// knows as a Sink: the stream of one topic, one stream whose events name their
// topics, or a stream for each topic that somebody wants. It comes back after
// every failure and resumes where it was; it recognises what the origin then
// repeats; and what is lost it reports as a gap.
//
// Publisher and Feed are for origin services. A Publisher posts events to a
// relay: one at a time, or thousands a second over a request that stays open. A
// Feed lets a service serve its events itself, for relays to pull or for
// browsers, while there is no relay.
//
// # Who owns what
//
// Source.Run, Source.Follow and Publisher.Publish use the caller's goroutine. A
// Stream owns one goroutine from its beginning until Close returns. A Feed has
// none. Each pull of a Source is alone with its connection and its state, so a
// feed that is slow or broken touches no other.
//
// # What is promised
//
// What a Source hands on is what the origin sent, in its order, each event once,
// or there is a gap where it is not. An event counts as handed on when the Sink
// has committed it: then only does the place to resume from move. What a
// Publisher acknowledges is committed, once, however often the connection broke
// on the way. All memory is bounded: by MaxEvent and 8,192 remembered digests
// for each connection of a Source, by Window for a Stream, by its log's bounds
// for a Feed.
//
// Not promised: that an origin whose events have no ids can be resumed. Each
// reconnect to such an origin makes a gap.
package origin
