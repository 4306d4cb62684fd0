package agree

import (
	"maps"
	"slices"
	"time"
)

type role uint8

const (
	follower  role = iota // takes the log from a parent, if anybody here wants it
	standby               // holds a synchronous copy
	candidate             // inquires
	owner
	sealed // gave the topic away and waits for the new owner's word
)

func (r role) String() string {
	return [...]string{"follower", "standby", "candidate", "owner", "sealed"}[r]
}

// topic is all that a relay knows of one topic.
type topic struct {
	name    string
	role    role
	due     time.Time // of the next reconcile
	ranking ranking

	log     *Log                  // what is shown here
	staged  *Log                  // the canonical log, while log is a branch that lost
	goal    uint64                // staged must be visible up to here before it is shown
	orphans []Entry               // what this relay holds beyond the fork and the owner may lack
	placed  map[Position]Position // where the owner put them; zero: nowhere
	// Up to this sequence the log may come to show what a subscriber saw elsewhere and crossed over from: an owner that died
	// may have shown a tail that is not committed here yet, while an epoch that was begun without it vanished.
	regrown uint64

	fence    uint64 // highest epoch promised to anybody
	promised string // to whom
	vow      fence  // the last one to another relay than this

	holder      string // owner, as far as known here
	holderEpoch uint64
	detour      string    // a relay that is in touch with a holder this one cannot reach
	rejoined    time.Time // when it last left the owner for its region's parent

	open, pinned bool      // wanted by local subscribers; by this relay itself
	opened       bool      // Opened was decided
	settled      time.Time // since when the log is whole, under one owner; zero: it is not
	idle         time.Time // since when nobody wants it
	quiet        time.Time // since when nothing new was shown

	children map[string]*child  // relays that follow from here
	waiting  map[string]Follow  // relays to serve as soon as that is possible
	askers   map[string]bool    // relays to tell when this one owns the topic
	up       upward             // as a follower
	second   standing           // as a standby
	own      *ownership         // as the owner or sealed
	cand     *candidacy         // as a candidate
	offer    offering           // orphans on their way to the owner
	coming   *arrival           // a topic that another relay moves here
	suitors  []string           // other owners that wanted to move it here lately
	outbox   outbox             // publishes accepted here
	resumes  []*resume          // subscribers that wait for an answer
	feeds    map[string]pulling // as the owner: see feed.go
	early    map[uint64]bool    // as the owner: Sum of what a merge brought before the feed's pull
	audience bool
	want     wanting         // see source.go
	wishes   map[string]Want // as the owner: what other relays, and this one, want since last told
}

// topic finds or begins a topic.
func (r *Relay) topic(name string) *topic {
	if t := r.topics[name]; t != nil {
		return t
	}
	t := &topic{
		name: name, log: newLog(), idle: r.now,
		children: map[string]*child{}, waiting: map[string]Follow{}, askers: map[string]bool{},
	}
	if f, ok := r.fences[name]; ok {
		t.fence, t.promised = f.epoch, f.to
		delete(r.fences, name)
	}
	r.topics[name] = t
	return t
}

// target is the log that is replicated into: the canonical one, as far as this relay has it.
func (t *topic) target() *Log {
	if t.staged != nil {
		return t.staged
	}
	return t.log
}

// wanted says whether anybody here or below needs the topic's events.
func (t *topic) wanted() bool {
	return t.open || t.pinned || t.want.on || len(t.children)+len(t.waiting)+len(t.resumes)+len(t.askers) > 0 || t.coming != nil
}

// Open says that there are local subscribers (or, with pin, that this relay itself wants the topic).
func (r *Relay) Open(now time.Time, name string, pin bool) {
	r.now = now
	t := r.topic(name)
	if pin {
		t.pinned = true
	} else {
		t.open = true
	}
	r.reconcile(t)
	r.flush()
}

// Close takes Open back.
func (r *Relay) Close(now time.Time, name string, pin bool) {
	r.now = now
	t := r.topics[name]
	if t == nil {
		return
	}
	if pin {
		t.pinned = false
	} else {
		t.open = false
	}
	r.reconcile(t)
	r.flush()
}

// reconcile looks at a topic and does what is due.
func (r *Relay) reconcile(t *topic) {
	if r.topics[t.name] != t {
		return // dropped in this very call
	}
	switch t.role {
	case follower:
		r.arrive(t)
		if t.role == follower && len(t.children) > 0 && !(t.up.live && t.up.owner) {
			r.dismissChildren(t) // or a ring of followers could form
		}
		if t.role == follower {
			r.follow(t)
		}
	case standby:
		r.arrive(t)
		if t.role == standby {
			r.stand(t)
		}
	case candidate:
		r.canvass(t)
	case owner:
		r.recruit(t)
		r.move(t)
	case sealed:
		r.reopen(t)
	}
	r.offerOrphans(t)
	r.forward(t)
	r.swap(t)
	r.announce(t)
	r.resume(t)
	r.forget(t)
}

// announce tells this process what changed in the topic's standing.
func (r *Relay) announce(t *topic) {
	if !r.whole(t) {
		t.settled = time.Time{}
	} else if t.settled.IsZero() {
		t.settled = r.now
	}
	if !t.opened && r.whole(t) {
		t.opened = true
		r.decide(Opened{t.name, t.log.position(t.log.visible)})
	}
	if len(t.waiting) > 0 && r.whole(t) {
		waiting := t.waiting
		t.waiting = map[string]Follow{}
		for _, name := range slices.Sorted(maps.Keys(waiting)) {
			r.onFollow(t, name, waiting[name])
		}
	}
	if wants := t.role == owner && (t.open || len(t.children) > 0); wants != t.audience {
		t.audience = wants
		r.decide(Audience{t.name, wants})
	}
	r.pursue(t)
}

// whole says that the log here is everything that its parent or owner had: ids can be looked up in it.
func (r *Relay) whole(t *topic) bool {
	switch t.role {
	case owner, sealed:
		return t.own.live
	case standby:
		return t.second.synced
	case follower:
		return t.up.live
	}
	return false
}

// receive takes a copy into the log, staging it if this log has more than the sender's beyond what both agree on.
func (r *Relay) receive(t *topic, c Copy) {
	l := t.target()
	if l.head() > c.Common { // a fork: what is beyond it is offered, shown or not
		for _, e := range l.after(c.Common, l.head()) {
			if !slices.ContainsFunc(t.orphans, func(o Entry) bool { return o.Position == e.Position }) {
				t.orphans = append(t.orphans, e)
			}
		}
		lost := l.spans.branches(c.Common)
		next := l.prefix(c.Common, c.Lineage)
		for _, b := range lost {
			if c.Lineage.find(b.Epoch) < 0 {
				next.lose(b)
			}
		}
		t.stage(next)
		r.decide(Notice{t.name, "fork", ""})
		r.dismissChildren(t)
		l = next
	}
	if c.Base > l.head() { // a hole: the peer has forgotten what lay between
		if l == t.log && (t.opened || !l.blank()) { // readers may stand on it
			next := l.prefix(l.head(), l.spans)
			t.stage(next)
			r.dismissChildren(t)
			l = next
		}
		l.restart(c.Base, c.Lineage)
	}
	for _, m := range c.Memos {
		old, known := l.memos[m.publication()]
		if !known || m.High > old.High || m.High == old.High && !c.Lineage.has(old.Position, l.head()) && c.Lineage.has(m.Position, c.Base) {
			l.remember(m) // nothing was known of it, or where it stood on the branch that lost
		}
	}
	for _, m := range c.Marks {
		l.pull(m)
	}
	for _, e := range c.Entries {
		if e.Seq == l.head()+1 {
			l.append(e)
		}
	}
	l.spans = slices.Clone(c.Lineage.upTo(l.head()))
	r.apply(t, c.Notes)
	t.mark(r)
}

// apply takes notes into the target log.
func (r *Relay) apply(t *topic, notes []Note) {
	if l := t.target(); l.apply(notes) {
		r.merged(t, l)
	}
}

// merged tells the subscribers' side that a log learned where else its entries stood.
func (r *Relay) merged(t *topic, l *Log) {
	if l == t.log {
		r.decide(Merged{t.name, l.onward()})
	}
}

func (t *topic) stage(l *Log) {
	t.staged = l
	if t.placed == nil {
		t.placed = map[Position]Position{}
	}
}

// reveal commits the target log up to a sequence, and shows it unless another branch is shown still.
func (r *Relay) reveal(t *topic, upTo uint64) {
	l := t.target()
	upTo = min(upTo, l.head())
	if upTo <= l.visible {
		return
	}
	if l == t.log {
		show := Show{Topic: t.name, Entries: l.after(l.visible, upTo), Hop: t.hop()}
		if begun := l.visible; begun < t.regrown || slices.ContainsFunc(show.Entries, func(e Entry) bool { return len(e.Former) > 0 }) {
			l.visible = upTo
			r.merged(t, l)
		}
		if t.own != nil && !t.own.alone {
			show.Standby = t.own.standby
		}
		r.decide(show)
	}
	l.visible, t.quiet = upTo, r.now
	if l.full(r.cfg.Limits) { // followers first: what goes now they could not be sent any more
		r.feedChildren(t)
	}
	l.trim(r.cfg.Limits, r.now, r.cfg.KeyAge)
	t.mark(r)
}

// hop says how many links an event has crossed from the owner to here.
func (t *topic) hop() int {
	switch {
	case t.role == owner || t.role == sealed:
		return 0
	case t.role == follower && !t.up.owner:
		return 2
	}
	return 1
}

// swap shows the canonical log once it holds everything that this relay's own branch had beyond the fork.
func (r *Relay) swap(t *topic) {
	l := t.staged
	if l == nil || l.visible < t.goal || t.role == follower && !t.up.live || t.role == candidate {
		return
	}
	for _, o := range t.orphans {
		at, known := t.placed[o.Position]
		if known && at != (Position{}) && !l.has(at) {
			return // not here yet, or the word of another log's owner
		}
		if seq, here := l.former[o.Position]; !known && here {
			at, known = l.position(seq), true
		}
		if !known && l.has(o.Position) {
			at, known = o.Position, true
		}
		if !known || at.Seq > l.visible {
			return
		}
	}
	for _, o := range t.orphans { // in the order of the branch, so that a resume finds them
		if at := t.placed[o.Position]; at.Seq != 0 {
			l.alias(at.Seq, o.Position)
		}
	}
	t.log, t.staged, t.orphans, t.placed, t.offer = l, nil, nil, nil, offering{}
	r.decide(Replace{
		Topic: t.name, Base: l.position(l.base), Lineage: l.spans.upTo(l.base), Entries: l.after(l.base, l.visible),
		Route: l.onward(),
	})
	t.mark(r)
}

// mark asks for flush at the end of this call.
func (t *topic) mark(r *Relay) {
	if !slices.Contains(r.dirty, t) {
		r.dirty = append(r.dirty, t)
	}
}

// flush sends what the call appended or committed, once for each peer.
func (r *Relay) flush() {
	for len(r.dirty) > 0 && !r.batching {
		t := r.dirty[0]
		r.dirty = r.dirty[1:]
		if t.role == owner || t.role == sealed {
			r.replicate(t)
		}
		r.feedChildren(t)
		r.swap(t)
		r.announce(t)
		r.resume(t)
	}
}

// relinked ends what was under way with a relay whose connection ended.
func (r *Relay) relinked(t *topic, name string) {
	delete(t.children, name)
	delete(t.waiting, name)
	delete(t.askers, name)
	if t.up.parent == name {
		t.up = upward{}
	}
	if t.offer.to == name {
		t.offer.to = ""
	}
	if t.want.to == name {
		t.want.to = ""
	}
	if t.outbox.to == name {
		t.outbox.to = ""
	}
	if t.coming != nil && t.coming.from == name {
		t.coming = nil
	}
	for _, s := range t.resumes {
		s.asked = false
	}
	if t.role == standby && t.second.owner == name {
		if !r.links[name] {
			r.leaveStandby(t)
		} else { // the owner enlists it again, if it is its standby still
			t.second.synced, t.second.doubt = false, r.now.Add(2*r.cfg.Silence)
			r.at(t, t.second.doubt)
		}
	}
	if c := t.cand; c != nil && r.links[name] && c.best == "" && c.asked[name] {
		r.send(name, Inquire{Topic(t.name), c.epoch})
	}
	if o := t.own; o != nil && o.standby == name && r.links[name] {
		r.ask(t) // which also tells an owner that slept whether it is one still
	}
}

// learn takes word of who owns the topic.
func (t *topic) learn(r *Relay, holder string, epoch uint64) {
	r.sight(epoch)
	if holder == "" || holder == r.cfg.Name || epoch == 0 || epoch < t.holderEpoch && r.usable(t.holder) {
		return
	}
	if epoch > t.holderEpoch || holder != t.holder {
		t.holder, t.holderEpoch, t.detour = holder, epoch, ""
		t.offer.to = ""
	}
}

// unlearn forgets a holder that says it is none.
func (t *topic) unlearn(holder string) {
	if t.holder == holder {
		t.holder, t.holderEpoch, t.detour = "", 0, ""
	}
}
