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
// tried again for ever, so that a partition of any length heals. Links are one HTTP/2 connection per pair of relays with
// one duplex stream of frames on it: all messages between two relays keep their order, one detector of silence covers
// them all, and an event's bytes travel as they are shown. A cluster with a key needs no certificates: both sides derive
// the same authority from it. One with neither key nor certificates is confined to loopback addresses.
//
// Goroutines: Node.Run owns the loop, Members.Run and Links.Run; each link has a reader and a writer, owned by Links.
// Delegates of memberlist never block: they leave a mark and wake.
package cluster
