package agree

import (
	"slices"
	"time"
)

// arrival is a topic that its owner wants to move here.
type arrival struct {
	from     string
	epoch    uint64
	until    time.Time
	prepared bool
	seal     *Seal
}

// move gives the topic to the relay that should own it, a few topics at a time.
func (r *Relay) move(t *topic) {
	o := t.own
	to := r.first(t)
	if o.moving != "" && (to != o.moving || !r.usable(o.moving) || r.now.Sub(o.proposed) >= 2*r.cfg.Silence) {
		o.moving = ""
		r.moving--
		o.since = r.now
	}
	if to == "" || to == r.cfg.Name || !o.live {
		return
	}
	if o.moving != "" {
		r.at(t, o.proposed.Add(2*r.cfg.Silence))
		return
	}
	if self := r.view[r.cfg.Name]; self.State == Ready { // a relay that drains does not wait for others to settle
		settled := r.since[to]
		if settled.Before(o.since) {
			settled = o.since
		}
		if left := settled.Add(r.cfg.Settle).Sub(r.now); left > 0 {
			r.in(t, left)
			return
		}
	}
	if r.moving >= r.cfg.Moves {
		r.in(t, r.cfg.Pause)
		return
	}
	r.moving++
	o.moving, o.proposed = to, r.now
	r.send(to, Move{Topic(t.name), o.epoch})
	r.at(t, o.proposed.Add(2*r.cfg.Silence))
}

// onMove brings the topic up to date here; an owner says that it is one, once it has made sure.
func (r *Relay) onMove(t *topic, from string, m Move) {
	r.sight(m.Epoch)
	if self := r.view[r.cfg.Name]; self.State != Ready || self.Role == Edge {
		return
	}
	switch t.role {
	case owner:
		r.await(t, from, Owned{Topic(t.name), t.own.epoch, 0})
		return
	case candidate, sealed:
		return
	case standby:
		if t.second.owner != from {
			return
		}
	case follower:
		t.learn(r, from, m.Epoch)
		if t.holder != from { // an older owner: it hears of the newer one when this relay is that
			t.suit(from)
			return
		}
		if p := t.up.parent; p != "" && p != from {
			r.send(p, Unfollow{Topic(t.name)})
			t.up = upward{}
		}
		t.up.retry = time.Time{}
	}
	if a := t.coming; a != nil && a.from != from {
		t.suit(a.from)
	}
	t.coming = &arrival{from: from, epoch: m.Epoch, until: r.now.Add(2 * r.cfg.Silence)}
	r.at(t, t.coming.until)
}

// suit notes an owner whose topic this relay does not take, because another owner is the one that it takes it from.
func (t *topic) suit(owner string) {
	if !slices.Contains(t.suitors, owner) {
		t.suitors = append(t.suitors, owner)
	}
}

// arrive tells the owner when this relay is up to date, and takes the topic when the rest has come.
func (r *Relay) arrive(t *topic) {
	a := t.coming
	if a == nil {
		return
	}
	following := t.role == follower && t.up.live && t.up.parent == a.from || t.role == standby && t.second.synced && t.second.owner == a.from
	switch {
	case a.seal != nil && (following || t.role == follower && t.target().head() >= a.seal.Copy.Common):
		c := a.seal.Copy
		l := t.target()
		if l.head() < c.Common {
			return
		}
		c.Common, _ = common(l.spans, l.head(), c.Lineage, c.Common+uint64(len(c.Entries)))
		c.Base = 0
		p := t.up.parent
		r.receive(t, c)
		epoch := r.draw()
		r.send(a.from, Owned{Topic(t.name), epoch, a.epoch})
		r.take(t, epoch, "move")
		if p != "" {
			r.send(p, Unfollow{Topic(t.name)})
		}
	case !r.now.Before(a.until):
		t.coming = nil
	case following && !a.prepared:
		a.prepared = true
		r.send(a.from, Prepared{Topic(t.name), a.epoch})
	}
}

// onPrepared seals the topic: nothing is appended any more, and the tail goes with the seal.
func (r *Relay) onPrepared(t *topic, from string, m Prepared) {
	o := t.own
	if t.role != owner || o.moving != from || o.epoch != m.Epoch {
		return
	}
	l := t.target()
	t.role, o.sealedAt = sealed, r.now
	r.send(from, Seal{Topic(t.name), o.epoch, Copy{
		Common: l.visible, Base: l.visible, Lineage: l.spans, Memos: l.forgotten(), Marks: l.pulls(), Notes: l.allNotes(l.head()),
		Entries: l.after(l.visible, l.head()),
	}})
	r.at(t, r.now.Add(r.cfg.Silence))
}

func (r *Relay) onSeal(t *topic, from string, m Seal) {
	r.sight(m.Epoch)
	if a := t.coming; a != nil && a.from == from && a.epoch == m.Epoch {
		a.seal = &m
		r.arrive(t)
	}
}

// onOwned ends the move, or a meeting of two owners of which the other is the one that should own.
func (r *Relay) onOwned(t *topic, from string, m Owned) {
	r.sight(m.Epoch)
	switch {
	case t.role == sealed && m.Seal == t.own.epoch:
		r.stepDown(t, from, m.Epoch, "moved")
	case t.role == owner && m.Seal == 0 && t.own.moving == from:
		t.holder, t.holderEpoch = from, m.Epoch // whichever epoch is the later: this one yields
		r.stepDown(t, from, m.Epoch, "met")
	}
}

// reopen goes on as the owner when the new one does not answer, under an epoch above the sealed one.
func (r *Relay) reopen(t *topic) {
	o := t.own
	if left := o.sealedAt.Add(r.cfg.Silence).Sub(r.now); left > 0 {
		r.in(t, left)
		return
	}
	t.role = owner
	o.moving, o.since = "", r.now
	r.moving--
	if o.standby != "" {
		r.enlist(t, o.standby)
	} else {
		r.enter(t)
	}
	r.recruit(t)
}
