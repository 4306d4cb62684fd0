package agree

import (
	"maps"
	"slices"
	"time"
)

// candidacy is an inquiry under way.
type candidacy struct {
	epoch   uint64
	until   time.Time // decides then with the answers it has
	asked   map[string]bool
	answers map[string]Have
	best    string // whose log is being pulled
	before  fence  // what this relay had promised
}

// run begins an inquiry: this relay should own the topic, and knows of nobody who does.
func (r *Relay) run(t *topic) {
	if t.role != follower && t.role != standby {
		return
	}
	if t.role == standby {
		t.second = standing{}
	}
	t.role, t.up = candidate, upward{}
	c := &candidacy{epoch: r.draw(), until: r.now.Add(r.cfg.Inquiry), asked: map[string]bool{}, answers: map[string]Have{}}
	t.cand, c.before = c, fence{epoch: t.fence, to: t.promised}
	t.fence, t.promised = c.epoch, r.cfg.Name
	for _, m := range r.members(true) {
		if m.Name == r.cfg.Name {
			continue
		}
		c.asked[m.Name] = true // also one whose link is dead: it may come back in time, and be the owner
		r.send(m.Name, Inquire{Topic(t.name), c.epoch})
	}
	r.at(t, c.until)
	r.canvass(t)
}

// onInquire promises and tells what is held here, or names a live owner.
func (r *Relay) onInquire(t *topic, from string, m Inquire) {
	r.sight(m.Epoch)
	h := Have{Topic: Topic(t.name), Epoch: m.Epoch}
	switch {
	case t.role == owner || t.role == sealed:
		h.Holder, h.HolderEpoch = r.cfg.Name, t.own.epoch
		r.send(from, h)
		r.verify(t)
		return
	case t.role == standby && t.second.synced && t.second.owner != from && r.usable(t.second.owner):
		h.Holder, h.HolderEpoch = t.second.owner, t.second.epoch
		r.send(from, h)
		return
	case t.role == follower && t.fed() && t.up.owner && t.up.parent != from:
		h.Holder, h.HolderEpoch = t.up.parent, t.holderEpoch
		r.send(from, h)
		return
	case t.role == candidate && !r.above(t, from, r.cfg.Name):
		r.send(from, Refuse{Topic: Topic(t.name), Epoch: m.Epoch, Fence: t.fence, Holder: r.cfg.Name})
		return
	case m.Epoch <= t.fence && !(m.Epoch == t.fence && t.promised == from):
		r.send(from, Refuse{Topic: Topic(t.name), Epoch: m.Epoch, Fence: t.fence, Holder: t.promised})
		return
	}
	switch t.role {
	case standby: // its owner is dead, or asks itself and so is owner no more
		r.leaveStandby(t)
	case candidate:
		r.retire(t)
	case follower:
		if t.up.parent == from {
			t.up = upward{}
		}
	}
	t.unlearn(from)
	t.fence, t.promised = m.Epoch, from
	t.vow = fence{epoch: m.Epoch, to: from}
	l := t.target()
	h.Lineage, h.Head = l.spans, l.head()
	r.send(from, h)
}

// above says that relay a ranks before b for a topic; who may not own ranks last.
func (r *Relay) above(t *topic, a, b string) bool {
	for _, name := range r.heirs(t) {
		switch name {
		case a:
			return true
		case b:
			return false
		}
	}
	return false
}

func (r *Relay) onHave(t *topic, from string, m Have) {
	c := t.cand
	if t.role != candidate || c.epoch != m.Epoch {
		return
	}
	if m.Holder != "" && m.Holder != r.cfg.Name { // it lives: this relay follows
		t.learn(r, m.Holder, m.HolderEpoch)
		if m.HolderEpoch < t.holderEpoch && t.holder != m.Holder {
			t.holder, t.holderEpoch = m.Holder, m.HolderEpoch
		}
		if from != m.Holder {
			t.detour = from
		}
		r.retire(t)
		return
	}
	c.answers[from] = m
	r.canvass(t)
}

// retire ends a candidacy without ownership.
func (r *Relay) retire(t *topic) {
	if c := t.cand; t.fence == c.epoch && t.promised == r.cfg.Name { // what it promised itself must not fence out the owner
		t.fence, t.promised = c.before.epoch, c.before.to
	}
	t.role, t.cand, t.up = follower, nil, upward{straight: true}
	r.tell(t, t.holder, t.holderEpoch)
}

// canvass decides once all have answered or the time is up: the highest log wins, and is fetched if it is elsewhere.
func (r *Relay) canvass(t *topic) {
	c := t.cand
	if c.best != "" {
		if !r.usable(c.best) || !r.now.Before(c.until) {
			r.retire(t) // begin again, with whoever is left
			t.up.retry = r.now.Add(r.cfg.Pause)
			r.at(t, t.up.retry)
			return
		}
		r.at(t, c.until)
		return
	}
	for name := range c.asked {
		if _, answered := c.answers[name]; !answered && r.view[name].Name != "" && r.now.Before(c.until) {
			r.at(t, c.until)
			return
		}
	}
	top := t.target().rank()
	for _, name := range slices.Sorted(maps.Keys(c.answers)) {
		a := c.answers[name]
		rank := Position{Epoch: a.Lineage.newest(), Seq: a.Head}
		if rank.Epoch > top.Epoch || rank.Epoch == top.Epoch && rank.Seq > top.Seq {
			top, c.best = rank, name
		}
	}
	if c.best == "" {
		r.take(t, c.epoch, "takeover")
		return
	}
	l := t.target()
	r.send(c.best, Pull{Topic(t.name), c.epoch, l.spans, l.head()})
	c.until = r.now.Add(r.cfg.Silence)
	r.at(t, c.until)
}

func (r *Relay) onPull(t *topic, from string, m Pull) {
	candidate := t.fence == m.Epoch && t.promised == from && t.role == follower
	rooting := t.role == follower && t.up.parent == from || t.role == standby && t.second.owner == from
	if !candidate && !rooting {
		return
	}
	c, _ := t.target().copyFor(m.Lineage, m.Head)
	r.send(from, Pulled{Topic(t.name), m.Epoch, c})
}

func (r *Relay) onPulled(t *topic, from string, m Pulled) {
	if t.role == owner && t.own.trunk == from {
		r.graft(t, m.Copy)
		return
	}
	if t.role != candidate || t.cand.epoch != m.Epoch || t.cand.best != from {
		return
	}
	r.receive(t, m.Copy)
	r.take(t, m.Epoch, "takeover")
}

// take makes this relay the owner in an epoch that is its own.
func (r *Relay) take(t *topic, epoch uint64, reason string) {
	from := t.holder // as far as known
	if c := t.cand; from == "" && c != nil && c.before.to != r.cfg.Name {
		from = c.before.to
	}
	t.role, t.cand, t.coming, t.up, t.second = owner, nil, nil, upward{}, standing{}
	t.holder, t.holderEpoch, t.detour, t.goal = "", 0, "", 0
	t.own = &ownership{epoch: epoch, confirmed: epoch, fresh: true, charged: epoch, since: r.now, before: t.vow}
	t.fence, t.promised = epoch, r.cfg.Name
	l := t.target()
	t.regrown = max(t.regrown, l.head())
	l.begin(epoch)
	r.recall(t)
	r.dismissChildren(t) // they were told of another owner, and would offer that one what they hold
	r.adoptOwn(t)
	for _, name := range t.suitors { // two owners need not wait for their next attempt to meet
		r.await(t, name, Owned{Topic(t.name), epoch, 0})
	}
	t.suitors = nil
	r.decide(Notice{t.name, reason, from})
	r.decide(Charge{t.name, true, epoch})
	r.tell(t, r.cfg.Name, epoch)
	t.mark(r)
	r.recruit(t)
}

// stepDown gives a topic up for an owner with a higher claim. What that one lacks is offered, shown or not.
func (r *Relay) stepDown(t *topic, holder string, epoch uint64, reason string) {
	if t.own.moving != "" {
		r.moving--
	}
	if t.own.standby != "" && t.own.standby != holder {
		r.send(t.own.standby, Dismiss{Topic(t.name), t.own.epoch, holder})
	}
	for _, p := range t.own.pending {
		if p.to != "" {
			t.askers[p.to] = true
		}
	}
	t.role, t.up, t.feeds, t.early = follower, upward{straight: true}, nil, nil
	t.outbox.to = ""
	if epoch != 0 { // what it promised itself ends here; the epochs that nobody confirmed must not fence the other out
		t.fence, t.promised = epoch, holder
		if before := t.own.before; before.epoch > epoch { // what it promised others stays
			t.fence, t.promised = before.epoch, before.to
		}
	}
	t.own = nil
	r.dismissChildren(t)
	t.learn(r, holder, epoch)
	r.tell(t, t.holder, t.holderEpoch)
	r.decide(Notice{t.name, reason, holder})
	r.decide(Charge{t.name, false, 0})
}
