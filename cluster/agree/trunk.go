package agree

// A relay that knows nothing of a topic, and is alone with a publisher, begins a log of its own. When it meets the others
// again it may be the one that stays owner. Its log is then a twig beside a trunk: if the trunk were merged into it, event by
// event, the ring would move on by as many and lose the newest for the sake of those that everybody has long seen. So the
// owner takes the trunk for its log instead, and merges its own twig into that.
//
//	trunk  1 2 3 ... 4000           graft          1 2 3 ... 4000 a b c
//	twig   a b c               ──────────────►     (a b c as new commits that remember where they stood)

// sprout says that a log with this lineage shares nothing with this one, and is the older.
func (l *Log) sprout(spans Lineage, head uint64) bool {
	if l.blank() || len(spans) == 0 || head == 0 || spans[0].Epoch >= l.spans[0].Epoch {
		return false
	}
	_, shared := common(l.spans, l.head(), spans, head)
	return !shared
}

// reroot asks a relay that has the trunk for it; false: it has not.
func (r *Relay) reroot(t *topic, from string, spans Lineage, head uint64) bool {
	l, o := t.target(), t.own
	if t.staged != nil || !l.sprout(spans, head) {
		return false
	}
	if o.trunk != from && r.usable(o.trunk) && r.now.Sub(o.pulled) < r.cfg.Silence || o.trunk == from && r.now.Sub(o.pulled) < r.cfg.Pause {
		return true // it is on its way
	}
	o.trunk, o.pulled = from, r.now
	r.send(from, Pull{Topic(t.name), o.epoch, l.spans, l.head()})
	return true
}

// graft takes the trunk for the log, under a new epoch, and merges what this log held.
func (r *Relay) graft(t *topic, c Copy) {
	o := t.own
	o.trunk = ""
	if t.staged != nil || !t.target().sprout(c.Lineage, c.Base+uint64(len(c.Entries))) {
		return
	}
	t.goal = 0
	r.receive(t, c)
	r.enter(t)
	r.recall(t)
	r.adoptOwn(t)
	for i := range o.pending { // what they wait for has another place now
		o.pending[i].seq = t.target().head()
	}
	if o.standby != "" {
		r.ask(t)
	}
	t.mark(r)
}
