package agree

// Message is what relays send one another. Between two relays messages arrive in the order they were sent, for as long
// as one connection lasts; LinkUp says that a new one began.
type Message interface{ About() string }

// Topic is embedded in every message: which topic it is about.
type Topic string

func (t Topic) About() string { return string(t) }

// Copy is how a log goes on after the point up to which sender and receiver agree.
type Copy struct {
	Common  uint64
	Base    uint64 // if above Common: what lay between is gone at the sender
	Lineage Lineage
	Memos   []Memo // publish keys whose entries the sender no longer has
	Marks   []FeedMark
	Notes   []Note // about everything up to Common
	Entries []Entry
}

// Following.
type (
	// Follow asks to be sent a topic from where the sender's log ends.
	Follow struct {
		Topic
		Lineage Lineage
		Head    uint64
		Direct  bool   // wants the owner, not just somebody who follows it
		Avoid   string // a holder that the sender cannot reach: serve it even though you only follow
		Serial  uint64
	}
	// Begin answers Follow.
	Begin struct {
		Topic
		Copy   Copy
		Holder string // owner, as far as the parent knows
		Epoch  uint64
		Goal   uint64 // the parent's newest visible entry now
		Tail   uint64 // its newest, visible or not
		Lag    bool   // the parent is behind the follower in the same epoch: nothing forked
		Serial uint64 // of the Follow that it answers
	}
	// Entries go on from the last ones. All are visible at the parent up to Visible.
	Entries struct {
		Topic
		Entries []Entry
		Notes   []Note
		Visible uint64
	}
	// Unfollow ends it from below, Reset from above: the parent's log changed its branch, or it no longer serves.
	// Released answers Unfollow: the sender has the topic, so its follower may drop it.
	Unfollow struct{ Topic }
	Released struct{ Topic }
	Reset    struct{ Topic }
	// Redirect answers any request that only the owner can serve, and announces a new owner.
	Redirect struct {
		Topic
		Holder  string // empty: not known here
		Epoch   uint64 // of the holder; zero: a guess
		Request Request
	}
)

// Request says which message a Redirect answers; zero: none, it announces.
type Request struct {
	Kind   RequestKind
	Serial uint64
}

type RequestKind uint8

const (
	Announcement RequestKind = iota
	FollowRequest
	PublishRequest
	OfferRequest
)

// Publishing.
type (
	// Publish forwards a batch to the owner.
	Publish struct {
		Topic
		Batch   uint64
		Entries []Entry // without position
	}
	// Published answers once all of the batch is committed.
	Published struct {
		Topic
		Batch   uint64
		Results []Result
	}
)

// Committing: owner and standby.
type (
	// Enlist asks a relay to be the standby in Epoch, which descends from Base.
	Enlist struct {
		Topic
		Epoch, Base uint64
		Lineage     Lineage
		Head        uint64
	}
	Enlisted struct {
		Topic
		Epoch   uint64
		Lineage Lineage
		Head    uint64
	}
	// Append replicates the log's next entries. The first of an epoch is a whole Copy; later ones use its Notes and Entries.
	Append struct {
		Topic
		Epoch   uint64
		Mark    uint64 // zero: wants no ack
		First   bool
		Copy    Copy
		Visible uint64 // committed up to here
	}
	Ack struct {
		Topic
		Epoch, Mark uint64
	}
	// Refuse answers Enlist, Append and Inquire of an epoch that the sender has promised not to take.
	Refuse struct {
		Topic
		Epoch  uint64 // refused
		Fence  uint64
		Holder string // to whom the fence was promised
	}
	// Dismiss tells a standby that it is one no more.
	Dismiss struct {
		Topic
		Epoch  uint64
		Holder string
	}
)

// Taking over.
type (
	// Inquire asks everybody what they hold, and to refuse lower epochs from now on.
	Inquire struct {
		Topic
		Epoch uint64
	}
	// Have answers it. With a Holder, nothing is promised: that relay owns the topic and the sender is in touch with it.
	Have struct {
		Topic
		Epoch       uint64 // of the inquiry
		Lineage     Lineage
		Head        uint64
		Holder      string
		HolderEpoch uint64
	}
	// Pull fetches the log of the relay that has the highest head.
	Pull struct {
		Topic
		Epoch   uint64
		Lineage Lineage
		Head    uint64
	}
	Pulled struct {
		Topic
		Epoch uint64
		Copy  Copy
	}
)

// Moving and healing.
type (
	// Move proposes to the relay that should own a topic to take it.
	Move struct {
		Topic
		Epoch uint64
	}
	// Prepared answers Move: the sender follows and is up to date.
	Prepared struct {
		Topic
		Epoch uint64
	}
	// Seal hands the topic over: nothing is appended in Epoch any more.
	Seal struct {
		Topic
		Epoch uint64
		Copy  Copy // Common: where the tail begins; the receiver follows and has what comes before
	}
	// Owned answers Seal, or Move if the sender owns the topic already.
	Owned struct {
		Topic
		Epoch uint64
		Seal  uint64 // the sealed epoch, zero if it answers Move
	}
	// Offer gives the owner what the sender's log has beyond the fork.
	Offer struct {
		Topic
		Serial  uint64
		Lost    []Branch
		Entries []Entry
	}
	// Adopted answers once all of it is committed; Places says where each entry stands now.
	Adopted struct {
		Topic
		Serial uint64
		Places []Adoption
	}
	// Forgotten tells a standby that its owner has forgotten the topic: nobody wants it, and nothing came for long.
	Forgotten struct {
		Topic
		Epoch uint64
	}
	// Where asks the owner how a subscriber goes on.
	Where struct {
		Topic
		Ticket uint64
		ID     string
	}
	There struct {
		Topic
		Ticket uint64
		Route  Route
		At     Position // of Route.After in the sender's log: without it, the route is about another log
	}
)

// Outcome of one publish.
type Outcome uint8

const (
	Committed Outcome = iota
	Duplicate         // it was there under that key already
	Conflict          // other bytes were there under that key
	Ended             // the topic has ended
	Stale             // from a feed that another relay pulls by now
	Full              // a limit of the topic's owner
	Timeout           // no owner answered in time; it may still be committed
)

// Result of one publish.
type Result struct {
	Outcome
	Position
	ID    string // what subscribers see, if the origin set it
	Count uint64 // highest number committed under the key
}
