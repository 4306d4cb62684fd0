package agree

import "hash/fnv"

// Kind says what an entry is to the subscribers' side.
type Kind uint8

const (
	Event Kind = iota
	Gap        // the origin could not go on where its feed had stopped
	End        // the topic has ended
)

// Entry is one committed event, or one on its way to be. Body never changes and is shared.
type Entry struct {
	Position
	Former []Position // where the same event stood in logs that did not survive
	Key    string     // publish key: the publisher's or one that the accepting relay gave; never empty
	ID     string     // the origin's id; empty: the position is the id
	Sum    uint64     // of Body, to tell a repeat from another event under the same key
	Commit int64      // Unix milliseconds
	Kind   Kind
	Feed   FeedMark
	Body   []byte
}

// FeedMark says which pull of which feed an entry came from; zero for published ones.
type FeedMark struct {
	Name  string
	Epoch uint64 // of the relay that pulls
	Pull  uint64 // counts its connections to the origin
}

func (m FeedMark) before(o FeedMark) bool {
	return m.Epoch < o.Epoch || m.Epoch == o.Epoch && m.Pull < o.Pull
}

// sum is of the bytes alone: it is compared only under one key.
func sum(body []byte) uint64 {
	h := fnv.New64a()
	h.Write(body)
	return h.Sum64()
}

func (e *Entry) size() int { return len(e.Body) + len(e.ID) + len(e.Key) }

// Adoption says where the owner has put an event that stood at Former; zero: nowhere, see Relay.merge.
type Adoption struct{ Former, At Position }

// Alias says that the entry at Seq of the log also stood at Former.
type Alias struct {
	Former Position
	Seq    uint64
}

// Memo remembers a publish key longer than the ring remembers its entry.
type Memo struct {
	Key string
	Position
	Sum uint64
	At  int64 // Unix milliseconds
}
