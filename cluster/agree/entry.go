package agree

import (
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

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
	Number uint64     // of the event under Key, counted from 1; 0: it is all that is published under Key
	ID     string     // the origin's id; empty: the position is the id
	Sum    uint64     // of ID and Body as published, to tell a repeat from another event under the same key
	Commit int64      // Unix milliseconds
	Kind   Kind
	Feed   FeedMark
	Body   []byte
}

// FeedMark says which pull of which feed an entry came from; zero for published ones.
type FeedMark struct {
	Name  string // of the feed's own topic: its owner pulls
	Epoch uint64 // of the relay that pulls, from Charge
	Pull  uint64 // counts its connections to the origin

	// Set here.
	Named  bool // the origin gave the event an id, used or not: with its bytes that tells what the origin repeats
	Merged bool // it came with a branch that lost: this log's own pull may bring it yet
}

func (m FeedMark) before(o FeedMark) bool {
	return m.Epoch < o.Epoch || m.Epoch == o.Epoch && m.Pull < o.Pull
}

// GivenKey begins the keys that relays give. No publisher's begins so: it is no byte of a header.
const GivenKey = "\r"

// sum is compared only under one key.
func sum(id string, body []byte) uint64 {
	var h xxhash.Digest
	h.Reset()
	h.WriteString(id)
	h.Write([]byte{'\n'}) // no id has one
	h.Write(body)
	return h.Sum64()
}

func (e *Entry) size() int { return len(e.Body) + len(e.ID) + len(e.Key) }

// single says that a publisher meant this one event under its key or id.
func (e *Entry) single() bool { return e.Number == 0 && !strings.HasPrefix(e.Key, GivenKey) }

// publication names an event by how it was published.
type publication struct {
	Key    string
	Number uint64
}

func (e *Entry) publication() publication { return publication{e.Key, e.Number} }

// item names an event of a feed by what the origin said, whoever pulled it.
func (e *Entry) item() publication {
	return publication{Key: GivenKey + e.Feed.Name + GivenKey + strconv.FormatUint(e.Sum, 36)}
}

// Adoption says where the owner has put an event that stood at Former; zero: nowhere, see Relay.merge.
type Adoption struct{ Former, At Position }

// Alias says that the entry at Seq of the log also stood at Former.
type Alias struct {
	Former Position
	Seq    uint64
}

// Memo remembers what was published under a key longer than the ring remembers its entry.
//
// Of events that are counted under a key there is one for each, and one for the key (Number 0) that knows the highest.
type Memo struct {
	Key    string
	Number uint64
	High   uint64 // of the key's own memo: the highest number committed under it; else 0
	Position
	ID  string
	Sum uint64
	At  int64 // Unix milliseconds
}

func (m *Memo) publication() publication { return publication{m.Key, m.Number} }
