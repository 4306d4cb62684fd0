package agree

import (
	"maps"
	"slices"
)

// child is a relay that follows a topic from here.
type child struct {
	sent    uint64 // entries up to here are on their way
	noted   int
	visible uint64 // what it was told
}

// serves says whether others may follow from here. Only who owns, stands by, or follows the owner itself serves, so a
// tree is at most three deep and cannot close into a ring, whatever views differ.
func (r *Relay) serves(t *topic, f Follow) bool {
	if t.role != owner && t.target().sprout(f.Lineage, f.Head) {
		return false // that is for the owner
	}
	switch t.role {
	case owner:
		return t.own.live
	case standby:
		return t.second.synced && (!f.Direct || f.Avoid == t.second.owner)
	case follower:
		return t.fed() && t.up.owner && (!f.Direct || f.Avoid == t.up.parent)
	}
	return false
}

func (r *Relay) onFollow(t *topic, from string, m Follow) {
	delete(t.children, from)
	delete(t.waiting, from)
	if t.role == owner && r.reroot(t, from, m.Lineage, m.Head) {
		t.waiting[from] = m
		return
	}
	if r.serves(t, m) {
		r.serve(t, from, m)
		return
	}
	switch t.role {
	case owner: // its first standby is still copying
		t.waiting[from] = m
		return
	case candidate, sealed:
		t.askers[from] = true
		return
	case standby:
		if !t.second.synced && !m.Direct {
			r.point(t, from, Request{FollowRequest, m.Serial})
			return
		}
	case follower:
		if !m.Direct && t.up.parent != from && r.regional(t) == r.cfg.Name {
			t.waiting[from] = m                               // this relay is its region's parent and is about to follow
			if t.fed() && !t.up.owner && r.usable(t.holder) { // somebody else than the owner, so far
				r.send(t.up.parent, Unfollow{Topic(t.name)})
				t.up = upward{straight: true}
			}
			return
		}
	}
	r.point(t, from, Request{FollowRequest, m.Serial})
}

// regional is the topic's parent in this relay's region.
func (r *Relay) regional(t *topic) string {
	if list := Regional(t.name, r.view[r.cfg.Name].Region, r.members(false)); len(list) > 0 {
		return list[0].Name
	}
	return ""
}

// point tells a relay who owns the topic, or becomes a candidate if that should be this one.
func (r *Relay) point(t *topic, from string, req Request) {
	switch {
	case t.role == standby:
		r.send(from, Redirect{Topic(t.name), t.second.owner, t.second.epoch, req})
	case t.fed() && t.holder != "" && t.holder != from:
		r.send(from, Redirect{Topic(t.name), t.holder, t.holderEpoch, req})
	case r.first(t) == r.cfg.Name && t.role == follower:
		// What this relay believes is not enough here: it finds the owner, or becomes it, and then tells.
		t.unlearn(from)
		t.askers[from] = true
		r.follow(t)
	case t.holder != "" && t.holder != from && r.usable(t.holder):
		r.send(from, Redirect{Topic(t.name), t.holder, t.holderEpoch, req})
	default:
		to := r.first(t)
		if to == from {
			to = ""
		}
		r.send(from, Redirect{Topic(t.name), to, 0, req})
	}
}

// serve begins to send the log to a follower, from where the two agree.
func (r *Relay) serve(t *topic, to string, f Follow) {
	l := t.target()
	c, sent := l.copyFor(f.Lineage, f.Head)
	b := Begin{Topic: Topic(t.name), Copy: c, Goal: l.visible, Tail: l.head(), Holder: t.holder, Epoch: t.holderEpoch, Serial: f.Serial}
	switch t.role {
	case owner:
		b.Holder, b.Epoch = r.cfg.Name, t.own.epoch
	case standby:
		b.Holder, b.Epoch = t.second.owner, t.second.epoch
	}
	if t.role != owner && c.Common == l.head() && f.Head > l.head() && f.Lineage.newest() == l.spans.newest() {
		b.Lag, sent = true, f.Head
	}
	b.Copy.Entries = nil // they follow, as far as they are visible
	t.children[to] = &child{sent: sent, noted: l.noted(), visible: max(c.Base, 0)}
	r.send(to, b)
	t.mark(r)
}

// copyFor is how this log goes on for a peer that has another: entries beyond Common are included, tail and all.
func (l *Log) copyFor(spans Lineage, head uint64) (c Copy, sent uint64) {
	c.Common, _ = common(l.spans, l.head(), spans, head)
	c.Base = max(c.Common, l.base)
	c.Lineage = l.spans
	c.Memos = l.forgotten()
	c.Marks = l.pulls()
	c.Notes = l.allNotes(c.Common)
	c.Entries = l.after(c.Base, l.head())
	return c, c.Base
}

func (r *Relay) onUnfollow(t *topic, from string) {
	delete(t.children, from)
	delete(t.waiting, from)
	if r.whole(t) {
		r.send(from, Released{Topic(t.name)})
	} else {
		r.send(from, Reset{Topic(t.name)})
	}
}

// feedChildren sends each follower what became visible.
func (r *Relay) feedChildren(t *topic) {
	if len(t.children) == 0 {
		return
	}
	l := t.target()
	for _, name := range slices.Sorted(maps.Keys(t.children)) {
		c := t.children[name]
		if c.sent < l.base { // it was too slow: it begins again, with a hole
			delete(t.children, name)
			r.send(name, Reset{Topic(t.name)})
			continue
		}
		if l.visible <= c.sent && l.noted() == c.noted && l.visible <= c.visible {
			continue
		}
		m := Entries{Topic: Topic(t.name), Entries: l.after(c.sent, l.visible), Notes: l.notesAfter(c.noted), Visible: l.visible}
		c.sent, c.noted, c.visible = max(c.sent, l.visible), l.noted(), l.visible
		r.send(name, m)
	}
}

// dismissChildren ends all followers' streams: they ask again, with what they have.
func (r *Relay) dismissChildren(t *topic) {
	for _, name := range slices.Sorted(maps.Keys(t.children)) {
		delete(t.children, name)
		r.send(name, Reset{Topic(t.name)})
	}
}

// tell announces the owner to everybody who asked here for it.
func (r *Relay) tell(t *topic, holder string, epoch uint64) {
	for _, name := range slices.Sorted(maps.Keys(t.askers)) {
		delete(t.askers, name)
		m := Redirect{Topic: Topic(t.name), Holder: holder, Epoch: epoch}
		if name == holder {
			m.Holder, m.Epoch = "", 0
		}
		r.send(name, m)
	}
}
