package agree

// A feed is a unit of its own: a topic whose entries are its cursors at the origin. Whoever owns it pulls, and commits a
// cursor once the events up to it are committed, each by the owner of its topic. What follows is the other half: how the
// owner of a topic tells what comes from a feed's former owner, and what an origin repeats.
//
// A cursor is an entry with a FeedMark and without an id: after a heal it is not merged, because the cursors of the side
// that stays say what has been passed on that side.

// pulling is the newest pull of a feed that the owner has seen.
type pulling struct {
	mark      FeedMark
	repeating bool // all events of this pull so far were known: the origin repeats what came before its cursor
}

// recall finds out what the log says about feeds; a new owner begins with it.
func (r *Relay) recall(t *topic) {
	t.feeds, t.early = map[string]pulling{}, map[uint64]bool{}
	l := t.target()
	for name, m := range l.marks {
		t.feeds[name] = pulling{mark: m}
		r.overtaken(t, m)
	}
	for i := range l.entries {
		if e := &l.entries[i]; e.Feed.Merged {
			t.early[e.Sum] = true
		}
	}
}

// admit refuses what comes from a feed that another relay pulls by now, or on a connection that has been replaced; what
// the origin repeats after a reconnect, in an unbroken run of events that are known; and what a merge, or a former owner of
// the feed that was further on, brought before this pull. Anything else that is known by its id is a new event.
func (r *Relay) admit(t *topic, e Entry) (Result, bool) {
	if e.Feed.Name == "" {
		return Result{}, false
	}
	p := t.feeds[e.Feed.Name]
	if e.Feed.before(p.mark) {
		return Result{Outcome: Stale, Position: Position{Epoch: p.mark.Epoch}}, true
	}
	l := t.target()
	if p.mark.before(e.Feed) {
		if p.mark.Epoch != e.Feed.Epoch {
			r.overtaken(t, e.Feed)
		}
		p = pulling{e.Feed, true}
	}
	m, known := l.memos[e.item()]
	known = known && e.Feed.Named
	p.repeating = p.repeating && known
	t.feeds[e.Feed.Name] = p
	if !p.repeating && !(known && t.early[e.Sum]) {
		return Result{}, false
	}
	delete(t.early, e.Sum)
	// Whoever asks again, because the answer was lost, is told the same.
	l.remember(Memo{Key: e.Key, Position: m.Position, ID: m.ID, Sum: e.Sum, At: r.now.UnixMilli()})
	return Result{Outcome: Duplicate, Position: m.Position, ID: m.ID}, true
}

// overtaken notes what a former owner of the feed brought lately. After a heal it may have been further on than the one that
// stays, which then brings the same events in the middle of others that are new here.
func (r *Relay) overtaken(t *topic, by FeedMark) {
	l, since := t.target(), r.now.Add(-2*r.cfg.Patience).UnixMilli()
	for i := len(l.entries) - 1; i >= 0 && l.entries[i].Commit >= since; i-- {
		if e := &l.entries[i]; e.Feed.Named && e.Feed.Name == by.Name && e.Feed.Epoch != by.Epoch {
			t.early[e.Sum] = true
		}
	}
}

// outdated hears that the owner of a topic has seen a later pull of a feed than the one from here. If this relay owns the
// feed still, then the other was charged on a branch that lost: a new epoch ends the matter. A standby that knows better
// refuses it.
func (r *Relay) outdated(feed string, seen uint64) {
	t := r.topics[feed]
	if t == nil || t.role != owner || seen <= t.own.charged || t.own.charged == 0 {
		return
	}
	r.sight(seen)
	o := t.own
	o.charged = 0
	switch {
	case o.epoch > seen: // it has changed its standby since
		r.charge(t)
	case o.standby != "":
		since := o.since // two owners that outdo each other must meet all the same
		o.fresh = false
		r.enlist(t, o.standby)
		o.since = since
	case o.alone:
		r.enter(t)
		t.mark(r)
	default:
		o.fresh = false // the next standby comes with a new one
	}
	r.recruit(t)
}

// charge tells this process under which epoch it owns the topic, when that had to be raised.
func (r *Relay) charge(t *topic) {
	if o := t.own; o.charged == 0 && (o.confirmed == o.epoch || o.alone) {
		o.charged = o.epoch
		r.decide(Charge{t.name, false, 0})
		r.decide(Charge{t.name, true, o.epoch})
	}
}
