// Package cluster makes many relays one: who is here, who owns a topic, and how events come from its owner to everybody.
//
//	gossip (memberlist)                      links (HTTP/2, mutual TLS)
//	     │ who is here                             │ messages
//	 Members ──────────────► Node ◄─────────────► Links
//	                          │ one goroutine
//	                     agree.Relay    the protocol, without I/O
//	                          │ decisions
//	Rings (show, replace) ◄───┴───► Commit, Open, Resume, End (relay)
//	                                Charges, Sources (feeds and origins that this relay pulls)
//
// Node joins the parts: everything that happens (a view, a link, a message, a wish of this process, a time) is handed to
// the one goroutine that calls the protocol's state machine, in batches, and what the machine decides is carried out in
// order: entries go to Rings, messages to Links, answers to whoever waits. Package agree says what the protocol promises.
//
// Members is memberlist for membership only, on a profile of our own; every address of Join, and every one at which a relay
// was met in the last day, is tried again for ever, so that a partition of any length heals. A relay that is back at another
// address, while others still take its former self for alive, exchanges lists with them until none does. A cluster with a
// key needs no certificates: both sides of a link derive the same authority from it. One with neither key nor certificates
// is confined to loopback addresses.
//
// Links are one HTTP/2 connection for each pair of relays, with one duplex stream of frames on it for everything: following,
// publishing, replication, takeovers. A stream of Server-Sent Events for each topic would be closer to what subscribers
// get, and worse: on one stream all that two relays tell one another keeps its order, so that "I own this now" cannot
// overtake the events before it; one detector of silence covers all topics; one compressor learns from all of them;
// events are grouped across topics into one write; and an event's bytes travel as they will be shown, beside a head of
// numbers that nobody has to parse from text. What an operator asks about a topic goes from relay to relay as a request of its
// own, on the same listener.
//
// An operator is told of events, not of topics: roster says who joined, drains, left, was lost and is back; changes, how many
// topics changed hands in one event, and that topics have no standby because nobody else may own them; solitude, why a relay
// that was to join others is alone. What memberlist says itself is mostly Debug. Node.Status is the same for programs, and
// Node.Owners says whether anybody in view may own topics at all.
//
// A Network is what all of this runs on: package faultnet has one that a test can cut, delay, pause and kill.
//
// Goroutines: Node.Run owns the loop, the parts of Members (joining) and Links (the listener, and a dialer for each relay that
// this one dials), one that watches who is here, and one that says when this relay is ready. Each link has a reader, a writer
// and one that listens for silence, owned by Links.
// Delegates of memberlist never block: they leave a mark and wake.
package cluster
