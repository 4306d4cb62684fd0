// Package cluster makes many relays one: who is here, who owns a topic, and how events come from its owner to everybody.
//
//	gossip (memberlist)                      links (HTTP/2, mutual TLS)
//	     │ who is here                             │ messages
//	 Members ──────────────► Node ◄─────────────► Links
//	                          │ one goroutine
//	                     agree.Relay    the protocol, without I/O
//	                          │ decisions
//	Rings (show, replace) ◄───┴───► Commit, Open, Resume, End (relay)
//	                                Charge (feeds that this relay pulls)
//
// Node joins the parts: everything that happens (a view, a link, a message, a wish of this process, a time) is handed to
// the one goroutine that calls the protocol's state machine, in batches, and what the machine decides is carried out in
// order: entries go to Rings, messages to Links, answers to whoever waits. Package agree says what the protocol promises.
//
// Members is memberlist for membership only, on a profile of our own; every address ever joined or met in the last day is
// tried again for ever, so that a partition of any length heals. A cluster with a key needs no certificates: both sides of
// a link derive the same authority from it. One with neither key nor certificates is confined to loopback addresses.
//
// Links are one HTTP/2 connection for each pair of relays, with one duplex stream of frames on it for everything: following,
// publishing, replication, takeovers. A stream of Server-Sent Events for each topic would be closer to what subscribers
// get, and worse: on one stream all that two relays tell one another keeps its order, so that "I own this now" cannot
// overtake the events before it; one detector of silence covers all topics; one compressor learns from all of them;
// events are grouped across topics into one write; and an event's bytes travel as they will be shown, beside a head of
// numbers that nobody has to parse from text.
//
// A Network is what all of this runs on: package faultnet has one that a test can cut, delay, pause and kill.
//
// Goroutines: Node.Run owns the loop, Members.Run and Links.Run; each link has a reader, a writer and one that listens
// for silence, owned by Links.
// Delegates of memberlist never block: they leave a mark and wake.
package cluster
