package agree

import "time"

// upward is a follower's side of a link.
type upward struct {
	parent   string // asked, and serving once begun
	asked    time.Time
	serial   uint64 // of the Follow; what answers an earlier one says nothing about this
	begun    bool
	live     bool      // has what the parent had when it began
	direct   bool      // asked as the owner
	owner    bool      // the parent owns the topic, it says: only then may others follow from here
	straight bool      // do not try the regional parent again until something works
	holder   string    // of the log that comes, as the parent says
	leaving  time.Time // since when it waits for the parent's leave to drop the log
	retry    time.Time
	hops     int    // redirects since the last pause
	guess    string // where the last redirect pointed
}

// fed says that the parent sends what it shows. Who has asked for leave to drop the topic is not in touch any more.
func (t *topic) fed() bool { return t.up.live && t.up.leaving.IsZero() }

// follow finds a parent and asks it, if the topic is wanted here or its log is not safe elsewhere.
func (r *Relay) follow(t *topic) {
	u := &t.up
	needed := t.wanted() || len(t.orphans) > 0 || !t.log.blank() && (!u.live || t.log.head() > t.log.visible)
	if !needed {
		return
	}
	if !u.leaving.IsZero() { // somebody wants it again
		*u = upward{}
	}
	if u.parent != "" {
		late := !u.begun && r.now.Sub(u.asked) >= r.cfg.Silence
		switch {
		case late:
			t.unlearn(u.parent)
			if t.detour == u.parent {
				t.detour = ""
			}
			*u = upward{straight: true}
		case !r.usable(u.parent):
			*u = upward{straight: true}
		case !u.begun:
			r.at(t, u.asked.Add(r.cfg.Silence))
			return
		case !r.rejoin(t):
			return
		}
	}
	if u.retry.After(r.now) {
		r.at(t, u.retry)
		return
	}
	to, direct, avoid := r.parent(t)
	if to == "" { // nobody may own
		u.retry = r.now.Add(r.cfg.Pause)
		r.at(t, u.retry)
		return
	}
	if to == r.cfg.Name {
		r.run(t)
		return
	}
	u.parent, u.asked, u.begun, u.live, u.owner, u.direct = to, r.now, false, false, false, direct
	l := t.target()
	r.ticket++
	u.serial = r.ticket
	r.send(to, Follow{Topic(t.name), l.spans, l.head(), direct, avoid, u.serial})
	r.at(t, u.asked.Add(r.cfg.Silence))
}

// rejoin ends a follower's stream once all is quiet, if trouble has left it with another parent than it should have: its
// region's, or for that one the owner. Then each event crosses between two regions once, and who follows a region's parent
// is served. Rarely, for if the new parent cannot serve, the second that this takes is lost.
func (r *Relay) rejoin(t *topic) bool {
	u := &t.up
	want, self := r.regional(t), r.cfg.Name
	switch {
	case want == "" || want == self || want == t.holder:
		want = t.holder
	case u.owner && r.view[u.parent].Region == r.view[self].Region:
		return false
	}
	if want == u.parent || want == self || !r.usable(want) {
		return false
	}
	if t.settled.IsZero() || t.coming != nil || t.staged != nil || len(t.askers)+len(t.orphans)+len(t.resumes) > 0 {
		r.in(t, r.cfg.Settle)
		return false
	}
	calm := t.settled.Add(r.cfg.Settle)
	for _, at := range []time.Time{r.since[want].Add(r.cfg.Settle), t.rejoined.Add(r.cfg.Linger)} {
		if at.After(calm) {
			calm = at
		}
	}
	if calm.After(r.now) {
		r.at(t, calm)
		return false
	}
	r.send(u.parent, Unfollow{Topic(t.name)})
	t.rejoined = r.now
	*u = upward{straight: want == t.holder}
	return true
}

// parent picks whom to follow: the region's parent, or the owner, or somebody in touch with an owner out of reach. It
// names this relay itself when this relay should own the topic and knows of nobody who does.
func (r *Relay) parent(t *topic) (to string, direct bool, avoid string) {
	self := r.cfg.Name
	if t.holder != "" && !r.usable(t.holder) {
		if t.detour != "" && r.usable(t.detour) {
			return t.detour, true, t.holder
		}
		t.detour = ""
	}
	holder := t.holder
	if !r.usable(holder) {
		holder = ""
	}
	if holder == "" {
		if g := t.up.guess; g != self && r.usable(g) {
			holder, t.up.guess = g, ""
		} else if holder = r.first(t); holder == self || holder == "" {
			return holder, true, ""
		}
	}
	if t.up.straight || t.coming != nil || len(t.askers) > 0 {
		return holder, true, ""
	}
	if list := Regional(t.name, r.view[self].Region, r.members(false)); len(list) > 0 {
		if p := list[0].Name; p != self && p != holder {
			return p, false, ""
		}
	}
	return holder, true, ""
}

func (r *Relay) onBegin(t *topic, from string, m Begin) {
	u := &t.up
	if t.role != follower || u.parent != from || u.begun || u.serial != m.Serial {
		return
	}
	if m.Holder == from { // it says so itself, whatever was heard before
		t.unlearn(t.holder)
	}
	t.learn(r, m.Holder, m.Epoch)
	u.holder = m.Holder
	u.begun, u.owner, u.straight, u.hops = true, m.Holder == from, false, 0
	t.goal, t.regrown = m.Goal, max(t.regrown, m.Tail)
	if !m.Lag {
		r.receive(t, m.Copy)
	}
	r.tell(t, t.holder, t.holderEpoch)
	r.onVisible(t, min(m.Copy.Base, m.Goal))
}

func (r *Relay) onEntries(t *topic, from string, m Entries) {
	if t.role != follower || t.up.parent != from || !t.up.begun {
		return
	}
	l := t.target()
	for _, e := range m.Entries {
		switch {
		case e.Seq == l.head()+1:
			l.append(e)
		case e.Seq > l.head() || l.spans.at(e.Seq) != e.Epoch: // not what was agreed on: begin again
			t.up = upward{}
			return
		}
	}
	r.apply(t, m.Notes)
	t.mark(r)
	r.onVisible(t, m.Visible)
}

// onVisible shows what the parent shows.
func (r *Relay) onVisible(t *topic, upTo uint64) {
	r.reveal(t, upTo)
	if t.target().visible >= t.goal {
		t.up.live = true
	}
}

func (r *Relay) onReset(t *topic, from string) {
	if t.up.parent == from {
		t.up = upward{retry: t.up.retry}
	}
}

func (r *Relay) onRedirect(t *topic, from string, m Redirect) {
	if m.Holder != from {
		t.unlearn(from)
		if t.role == standby && t.second.owner == from { // it owns the topic no more, and its word of that was lost
			r.leaveStandby(t)
		}
	}
	bent := t.detour == from
	if bent { // it has lost touch with that holder too
		t.detour = ""
	}
	t.learn(r, m.Holder, m.Epoch)
	if !bent && t.holder == m.Holder && !r.usable(t.holder) { // out of reach from here: maybe not for who names it
		t.detour = from
	}
	q := m.Request
	if t.up.parent == from && !t.up.begun && (q.Kind == Announcement || q == Request{FollowRequest, t.up.serial}) {
		u := &t.up
		hops := u.hops + 1
		*u = upward{straight: true, hops: hops}
		if m.Holder != r.cfg.Name && m.Holder != from {
			u.guess = m.Holder
		}
		if hops > 2 || m.Holder == "" {
			u.hops, u.retry = 0, r.now.Add(r.cfg.Pause)
		}
	}
	if b := &t.outbox; b.to == from && (q.Kind == Announcement || q == Request{PublishRequest, b.batch}) {
		b.to = ""
		if q.Kind != Announcement && (m.Epoch == 0 || r.now.Sub(b.bounced) < r.cfg.Pause) {
			b.retry = r.now.Add(r.cfg.Pause)
		}
		b.bounced = r.now
	}
	if o := &t.offer; o.to == from && (q.Kind == Announcement || q == Request{OfferRequest, o.serial}) {
		o.to = ""
		if q.Kind != Announcement {
			o.retry = r.now.Add(r.cfg.Pause)
		}
	}
}
