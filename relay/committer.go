package relay

import "context"

// A Committer decides when a publication is committed, and brings it to every
// relay that follows the topic, this one too. It is asked instead of the
// relay's own log when the topic's order is made elsewhere.
type Committer interface {
	// End ends the topic, for everybody.
	End(ctx context.Context, topic string) error
}
