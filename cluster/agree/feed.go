package agree

// A feed is a unit of its own: a topic whose entries are its cursors at the origin. Whoever owns it pulls. What follows
// is the other half: how the owner of a topic tells what a feed repeats.

// pulling is the newest pull of a feed that the owner has seen.
type pulling struct {
	mark      FeedMark
	repeating bool // all events of this pull so far were known: the origin repeats what came before its cursor
}

// recall finds out what the log says about feeds; a new owner begins with it.
func (t *topic) recall() {
	t.feeds = map[string]pulling{}
	for i := range t.target().entries {
		if m := t.target().entries[i].Feed; m.Name != "" {
			if p := t.feeds[m.Name]; p.mark.before(m) {
				t.feeds[m.Name] = pulling{mark: m}
			}
		}
	}
}

// admit refuses what comes from a feed that another relay pulls by now, and what the origin repeats after a reconnect, in
// an unbroken run of ids that are known. An id that comes again at any other time is a new event.
func (t *topic) admit(e Entry) (Result, bool) {
	if e.Feed.Name == "" {
		return Result{}, false
	}
	p := t.feeds[e.Feed.Name]
	if e.Feed.Epoch < p.mark.Epoch {
		return Result{Outcome: Stale}, true
	}
	if p.mark.before(e.Feed) {
		p = pulling{e.Feed, true}
	}
	l := t.target()
	seq, known := l.ids[e.ID]
	p.repeating = p.repeating && e.ID != "" && known
	t.feeds[e.Feed.Name] = p
	if p.repeating {
		return Result{Outcome: Duplicate, Position: l.position(seq), ID: e.ID}, true
	}
	return Result{}, false
}
