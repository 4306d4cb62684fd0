package relay

import (
	"context"

	"freshet/ringbuf"
)

// Logs is where the logs of topics are made when relays agree on them with one
// another, instead of each on its own. It commits, and it brings what is
// committed, wherever that was, by calling the relay's LogOpened, LogShow,
// LogReplace, LogMerged and LogForget: one call at a time, in order.
//
//	relay ── Open, Close, Resume, Trim, Commit, End ──▶ Logs
//	relay ◀── LogOpened, LogShow, LogReplace, LogMerged, LogForget ── Logs
//
// Open, Close and Trim do not block, and are called under locks of the relay.
type Logs interface {
	Committer
	// Open has a topic's log kept here: its first subscriber comes. LogOpened
	// says when it is whole, once for each time it was not kept before.
	Open(topic string)
	// Close takes Open back: the last subscriber left. The log stays for a
	// while, until LogForget.
	Close(topic string)
	// Resume asks how one goes on who comes back with an id that this relay's
	// log does not have. It waits until that is known, or cannot be. use is
	// called at most once, before Resume returns, between two calls of those
	// named above, so that its Route is about the log as it stands then.
	Resume(ctx context.Context, topic, id string, use func(Route)) error
	// Trim says that the relay has no room for a topic's events up to and
	// with a sequence, and has evicted them.
	Trim(topic string, upTo uint64)
}

// A Placed is an entry with the place that it has in the log of all relays.
type Placed struct {
	At ringbuf.Position
	ringbuf.Entry
	End bool // it is the topic's end
}

// A Route is how a subscriber goes on in a log.
type Route struct {
	Found ringbuf.Found // Known, or why there is a gap
	After uint64        // the sequence that it is just after
	Skip  []uint64      // ascending, all above After: events that it has seen already, on a branch of the log that was lost
	// Lost is the last it has seen on that branch. It goes into the ids that
	// it is sent until the last of Skip is behind it; or if Missing, until
	// another route says otherwise.
	Lost ringbuf.Position
	// Missing says that not all it has seen on the branch is in this log, yet.
	Missing bool
}

// A Replacement is a log instead of the one that was shown: the other half of
// the relays had gone on with another, which survived.
type Replacement struct {
	Base    ringbuf.Position // before the first entry
	Lineage []ringbuf.Branch // up to Base
	Entries []Placed
	// Route says how a subscriber goes on. It may be called from anywhere, for
	// as long as somebody needs it.
	Route func(ringbuf.Place) Route
}
