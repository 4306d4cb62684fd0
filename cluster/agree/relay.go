package agree

import (
	"container/heap"
	"maps"
	"slices"
	"time"
)

// Config of one relay's part. Zero durations take the defaults in New.
type Config struct {
	Name   string
	Nonce  uint16 // drawn once per process, see nextEpoch
	Limits Limits // of every topic

	Silence  time.Duration // a peer that owes an answer this long is replaced; 1 s
	Inquiry  time.Duration // a takeover waits this long for the last answer; 500 ms
	Patience time.Duration // a publish that found no owner fails after this; 5 s
	Reach    time.Duration // a resume waits this long for the ring to reach its id; 2 s
	Linger   time.Duration // a topic that nobody wants is followed on for this long; 30 s
	Settle   time.Duration // a relay that joined is given nothing before this; 2 s
	KeyAge   time.Duration // publish keys are remembered at least this long; 2 min
	Pause    time.Duration // between two attempts of anything; 100 ms
	Moves    int           // topics that may be on the move from here at once; 8
	Queue    int           // publishes that may wait here per topic; 65536
	Topics   int           // topics held here, above which no event is taken for a new one; 0: no bound
	Forget   time.Duration // a topic that nobody wants and nothing comes to is forgotten after this; 24 h
	Ended    time.Duration // an ended topic is known as such for this long; 1 h
}

// Relay is one relay's part of the protocol. Its methods are called by one goroutine; after each call, Take says what
// to send and to do.
type Relay struct {
	cfg    Config
	now    time.Time
	seen   uint64 // highest epoch in sight
	ticket uint64
	moving int // topics between Move and Owned

	view  map[string]Member    // by gossip, this relay included
	since map[string]time.Time // when a member came into view ready
	views uint64               // counts changes of what is above and below
	links map[string]bool      // true: linked; false: its link is dead, whatever gossip says; absent: never tried

	rosters [2]roster // see members

	topics map[string]*topic
	fences map[string]fence // of topics that are not held here
	swept  time.Time        // when old fences were last dropped

	timers   timers
	batching bool
	dirty    []*topic // have something to flush at the end of the call
	out      Output
}

// fence is a promise that outlives its topic.
type fence struct {
	epoch uint64
	to    string
	at    time.Time
}

// Output of the calls since the last Take, in order.
type Output struct {
	Messages  []Envelope
	Decisions []Decision
}

// Envelope is a message and the relay it goes to.
type Envelope struct {
	To      string
	Message Message
}

func New(cfg Config) *Relay {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Silence, time.Second)
	def(&cfg.Inquiry, 500*time.Millisecond)
	def(&cfg.Patience, 5*time.Second)
	def(&cfg.Reach, 2*time.Second)
	def(&cfg.Linger, 30*time.Second)
	def(&cfg.Settle, 2*time.Second)
	def(&cfg.KeyAge, 2*time.Minute)
	def(&cfg.Pause, 100*time.Millisecond)
	def(&cfg.Forget, 24*time.Hour)
	def(&cfg.Ended, time.Hour)
	if cfg.Moves == 0 {
		cfg.Moves = 8
	}
	if cfg.Queue == 0 {
		cfg.Queue = 1 << 16
	}
	return &Relay{
		cfg:    cfg,
		view:   map[string]Member{},
		since:  map[string]time.Time{},
		links:  map[string]bool{},
		topics: map[string]*topic{},
		fences: map[string]fence{},
	}
}

// View tells who is here by gossip, this relay included.
func (r *Relay) View(now time.Time, members []Member) {
	r.now = now
	next := make(map[string]Member, len(members))
	for _, m := range members {
		next[m.Name] = m
		if old, known := r.view[m.Name]; m.State == Ready && (!known || old.State != Ready) {
			r.since[m.Name] = now
		}
	}
	for name := range r.view {
		if _, here := next[name]; !here {
			if !r.links[name] {
				delete(r.links, name)
			}
			delete(r.since, name)
		}
	}
	r.view = next
	r.views++
	r.everything()
}

// LinkUp says that a new connection to a relay stands: what was sent on an earlier one may be lost.
func (r *Relay) LinkUp(now time.Time, name string) {
	r.now = now
	r.links[name] = true
	r.views++
	for _, t := range r.sorted() {
		r.relinked(t, name)
	}
	r.everything()
}

// LinkDown says that a relay does not answer: it is dead in this relay's view until LinkUp, whatever gossip says.
func (r *Relay) LinkDown(now time.Time, name string) {
	r.now = now
	r.links[name] = false
	r.views++
	for _, t := range r.sorted() {
		r.relinked(t, name)
	}
	r.everything()
}

// Receive takes a message of a relay that is linked.
func (r *Relay) Receive(now time.Time, from string, m Message) {
	r.now = now
	t := r.topic(m.About())
	switch m := m.(type) {
	case Follow:
		r.onFollow(t, from, m)
	case Begin:
		r.onBegin(t, from, m)
	case Entries:
		r.onEntries(t, from, m)
	case Unfollow:
		r.onUnfollow(t, from)
	case Released:
		r.onReleased(t, from)
	case Reset:
		r.onReset(t, from)
	case Redirect:
		r.onRedirect(t, from, m)
	case Publish:
		r.onPublish(t, from, m)
	case Published:
		r.onPublished(t, from, m)
	case Enlist:
		r.onEnlist(t, from, m)
	case Enlisted:
		r.onEnlisted(t, from, m)
	case Append:
		r.onAppend(t, from, m)
	case Ack:
		r.onAck(t, from, m)
	case Refuse:
		r.onRefuse(t, from, m)
	case Dismiss:
		r.onDismiss(t, from, m)
	case Inquire:
		r.onInquire(t, from, m)
	case Have:
		r.onHave(t, from, m)
	case Pull:
		r.onPull(t, from, m)
	case Pulled:
		r.onPulled(t, from, m)
	case Move:
		r.onMove(t, from, m)
	case Prepared:
		r.onPrepared(t, from, m)
	case Seal:
		r.onSeal(t, from, m)
	case Owned:
		r.onOwned(t, from, m)
	case Offer:
		r.onOffer(t, from, m)
	case Adopted:
		r.onAdopted(t, from, m)
	case Forgotten:
		r.onForgotten(t, from, m)
	case Where:
		r.onWhere(t, from, m)
	case There:
		r.onThere(t, from, m)
	case Want:
		r.onWant(t, from, m)
	case Sourced:
		r.onSourced(t, from, m)
	}
	r.reconcile(t)
	r.flush()
}

// Tick does what has become due. Next says when to call it.
func (r *Relay) Tick(now time.Time) {
	r.now = now
	for len(r.timers) > 0 && !r.timers[0].at.After(now) {
		t := heap.Pop(&r.timers).(timer)
		if t.topic.due.Equal(t.at) {
			t.topic.due = time.Time{}
			if r.topics[t.topic.name] == t.topic {
				r.reconcile(t.topic)
			}
		}
	}
	r.flush()
}

// Next is when Tick has something to do; zero: never.
func (r *Relay) Next() time.Time {
	if len(r.timers) == 0 {
		return time.Time{}
	}
	return r.timers[0].at
}

// Batch makes several calls one: what they append and commit goes out in one group.
func (r *Relay) Batch(calls func()) {
	r.batching = true
	calls()
	r.batching = false
	r.flush()
}

// Take returns what was decided since the last call.
func (r *Relay) Take() Output {
	out := r.out
	r.out = Output{}
	return out
}

// Busy is how many topics this relay owns or stands by for: none means that it can leave.
func (r *Relay) Busy() int {
	n := 0
	for _, t := range r.topics {
		if t.role != follower || len(t.orphans) > 0 {
			n++
		}
	}
	return n
}

func (r *Relay) send(to string, m Message) {
	r.out.Messages = append(r.out.Messages, Envelope{to, m})
}

func (r *Relay) decide(d Decision) { r.out.Decisions = append(r.out.Decisions, d) }

func (r *Relay) everything() {
	for _, t := range r.sorted() {
		r.reconcile(t)
	}
	r.flush()
}

// sorted keeps every run of the same inputs alike.
func (r *Relay) sorted() []*topic {
	names := slices.Sorted(maps.Keys(r.topics))
	list := make([]*topic, len(names))
	for i, n := range names {
		list[i] = r.topics[n]
	}
	return list
}

// usable says that a relay can be talked to: it is linked, or in view and its link is not known to be dead.
func (r *Relay) usable(name string) bool {
	if name == "" || name == r.cfg.Name {
		return name != ""
	}
	up, tried := r.links[name]
	_, here := r.view[name]
	return up || here && !tried
}

// members in view whose links are not dead, by name; all of them if dead is true. The list is shared.
func (r *Relay) members(dead bool) []Member {
	seen := &r.rosters[0]
	if dead {
		seen = &r.rosters[1]
	}
	if seen.list == nil || seen.at != r.views {
		list := make([]Member, 0, len(r.view))
		for _, n := range slices.Sorted(maps.Keys(r.view)) {
			if dead || r.usable(n) {
				list = append(list, r.view[n])
			}
		}
		*seen = roster{r.views, list}
	}
	return seen.list
}

// roster is a list of members, kept until the view changes.
type roster struct {
	at   uint64 // r.views when it was made
	list []Member
}

// ranking is what a topic's order of relays says, kept until the view changes.
type ranking struct {
	at    uint64   // r.views when it was made
	first string   // who should own, as far as this relay can see; empty: nobody may
	all   []string // who may own, dead links included; nil: nobody has asked
}

func (r *Relay) rank(t *topic) *ranking {
	k := &t.ranking
	if k.at != r.views || r.views == 0 {
		*k = ranking{at: r.views, first: First(t.name, r.members(false))}
	}
	return k
}

// first is the relay that should own a topic as far as this one can see; empty: nobody may.
func (r *Relay) first(t *topic) string { return r.rank(t).first }

// heirs lists who may own a topic, in order, whether they can be reached or not. It is long where relays are many: those who only
// follow do without.
func (r *Relay) heirs(t *topic) []string {
	k := r.rank(t)
	if k.all == nil {
		members := Order(t.name, r.members(true))
		k.all = make([]string, len(members))
		for i, m := range members {
			k.all[i] = m.Name
		}
	}
	return k.all
}

func (r *Relay) draw() uint64 {
	r.seen = nextEpoch(r.seen, r.now.Unix(), r.cfg.Nonce)
	return r.seen
}

func (r *Relay) sight(epoch uint64) { r.seen = max(r.seen, epoch) }

// at asks for reconcile(t) at a time.
func (r *Relay) at(t *topic, when time.Time) {
	if t.due.IsZero() || when.Before(t.due) {
		t.due = when
		heap.Push(&r.timers, timer{when, t})
		if len(r.timers) > 4*len(r.topics)+64 { // most are void, and hold topics that are gone
			r.timers = slices.DeleteFunc(r.timers, func(x timer) bool { return r.topics[x.topic.name] != x.topic || !x.topic.due.Equal(x.at) })
			heap.Init(&r.timers)
		}
	}
}

func (r *Relay) in(t *topic, d time.Duration) { r.at(t, r.now.Add(d)) }

type timer struct {
	at    time.Time
	topic *topic
}

// timers is a heap; an entry whose time is not its topic's due any more is void.
type timers []timer

func (h timers) Len() int { return len(h) }
func (h timers) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].topic.name < h[j].topic.name
}
func (h timers) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timers) Push(x any)   { *h = append(*h, x.(timer)) }
func (h *timers) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]
	return t
}
