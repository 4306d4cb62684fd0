package agree

import (
	"time"
)

// ownership is the owner's side of a topic.
type ownership struct {
	epoch     uint64
	confirmed uint64    // the last epoch that others agreed to: what enlist descends from
	before    fence     // what this relay had promised to another
	fresh     bool      // epoch has had no standby yet
	since     time.Time // of the last change of standby
	live      bool      // has committed in this ownership: followers may be served
	alone     bool      // nobody else in view may own
	charged   uint64    // the epoch that this process was told; 0: it will be told when the epoch is confirmed

	standby string
	synced  bool      // it has enlisted and is sent appends
	asked   time.Time // enlist
	failed  map[string]time.Time

	mark    uint64 // of the last append
	acked   uint64
	sent    uint64 // entries up to here are on their way to the standby
	noted   int
	told    uint64 // committed up to here, as the standby knows
	force   bool   // send an append even if there is nothing in it
	flight  []flown
	pending []pending

	trunk  string    // relay whose log is asked for, see trunk.go
	pulled time.Time // then

	moving   string // relay that the topic goes to
	proposed time.Time
	sealedAt time.Time
}

// flown is an append that is not acknowledged yet.
type flown struct {
	mark, head uint64
	at         time.Time
}

// pending is an answer that waits for a mark, and for an entry to be visible.
type pending struct {
	mark, seq uint64
	to        string // relay
	message   Message
}

// await sends a message once everything appended so far is committed. It also makes the owner verify itself.
func (r *Relay) await(t *topic, to string, m Message) {
	o := t.own
	o.force = true
	o.pending = append(o.pending, pending{o.mark + 1, t.target().head(), to, m})
	t.mark(r)
}

// verify makes the owner ask its standby whether it is the owner still.
func (r *Relay) verify(t *topic) {
	t.own.force = true
	t.mark(r)
}

// recruit sees to it that the owner has a standby if anybody may be one.
func (r *Relay) recruit(t *topic) {
	o := t.own
	eligible := make([]string, 0, 8) // in order
	for _, name := range r.heirs(t) {
		if name != r.cfg.Name {
			eligible = append(eligible, name)
		}
	}
	if len(eligible) == 0 {
		if !o.alone || o.standby != "" {
			if o.standby != "" {
				r.send(o.standby, Dismiss{Topic(t.name), o.epoch, r.cfg.Name})
			}
			o.alone, o.standby, o.synced, o.flight = true, "", false, nil
			r.decide(Notice{t.name, "alone", ""})
		}
		t.mark(r)
		return
	}
	o.alone = false
	if o.standby != "" {
		here := false
		for _, n := range eligible {
			here = here || n == o.standby
		}
		silent := !o.synced && r.now.Sub(o.asked) >= r.cfg.Silence ||
			len(o.flight) > 0 && r.now.Sub(o.flight[0].at) >= r.cfg.Silence
		switch {
		case here && r.usable(o.standby) && !silent:
			if !o.synced {
				r.at(t, o.asked.Add(r.cfg.Silence))
			} else if len(o.flight) > 0 {
				r.at(t, o.flight[0].at.Add(r.cfg.Silence))
			}
			if !r.prefers(t, eligible[0]) {
				return
			}
		case silent || !r.usable(o.standby):
			r.send(o.standby, Dismiss{Topic(t.name), o.epoch, r.cfg.Name})
			o.fail(r)
		default: // draining, or gone
			r.send(o.standby, Dismiss{Topic(t.name), o.epoch, r.cfg.Name})
			o.standby, o.synced, o.flight = "", false, nil
		}
	}
	next := ""
	for _, n := range eligible {
		if failed, tried := o.failed[n]; r.usable(n) && !(tried && r.now.Sub(failed) < 2*r.cfg.Silence) {
			next = n
			break
		}
	}
	if next == "" { // all failed lately: the one that failed first, after a breath
		for _, n := range eligible {
			if r.usable(n) && (next == "" || o.failed[n].Before(o.failed[next])) {
				next = n
			}
		}
		if next == "" || r.now.Sub(o.asked) < r.cfg.Pause {
			r.in(t, r.cfg.Pause)
			return
		}
	}
	r.enlist(t, next)
}

// prefers says that it is time to change a working standby for the one that placement wants.
func (r *Relay) prefers(t *topic, want string) bool {
	o := t.own
	if want == o.standby || !r.usable(want) || !o.synced || len(o.flight) > 0 || o.moving != "" || t.role != owner {
		return false
	}
	settled := r.since[want]
	if settled.Before(o.since) {
		settled = o.since
	}
	if left := settled.Add(r.cfg.Settle).Sub(r.now); left > 0 {
		r.in(t, left)
		return false
	}
	if r.first(t) != r.cfg.Name { // about to move anyway
		return false
	}
	r.send(o.standby, Dismiss{Topic(t.name), o.epoch, r.cfg.Name})
	o.standby, o.synced = "", false
	return true
}

// enlist asks a relay to be the standby, under a new epoch unless this one has had none.
func (r *Relay) enlist(t *topic, to string) {
	o := t.own
	if !o.fresh {
		r.enter(t)
		r.decide(Notice{t.name, "standby", to})
	}
	o.fresh, o.standby, o.since = false, to, r.now
	r.ask(t)
}

// enter draws a new epoch for an owner.
func (r *Relay) enter(t *topic) {
	o := t.own
	o.epoch = r.draw()
	t.fence, t.promised = o.epoch, r.cfg.Name
	t.target().begin(o.epoch)
}

// ask enlists the standby in the epoch that the owner is in: at first, and again when the connection was a new one.
func (r *Relay) ask(t *topic) {
	o := t.own
	o.synced, o.asked, o.flight = false, r.now, nil
	l := t.target()
	r.send(o.standby, Enlist{Topic(t.name), o.epoch, o.confirmed, l.spans, l.head()})
	r.at(t, r.now.Add(r.cfg.Silence))
}

// fail remembers that a standby did not answer.
func (o *ownership) fail(r *Relay) {
	if o.failed == nil {
		o.failed = map[string]time.Time{}
	}
	o.failed[o.standby] = r.now
	o.standby, o.synced, o.flight = "", false, nil
}

func (r *Relay) onEnlisted(t *topic, from string, m Enlisted) {
	o := t.own
	if o == nil || o.standby != from || o.epoch != m.Epoch || o.synced {
		return
	}
	if t.role == owner && r.reroot(t, from, m.Lineage, m.Head) {
		return
	}
	o.synced = true
	delete(t.children, from)
	delete(t.waiting, from)
	l := t.target()
	c, _ := l.copyFor(m.Lineage, m.Head)
	o.mark++
	r.send(from, Append{Topic: Topic(t.name), Epoch: o.epoch, Mark: o.mark, First: true, Copy: c, Visible: l.visible})
	o.sent, o.noted, o.told, o.force = l.head(), l.noted(), l.visible, false
	o.flight = append(o.flight, flown{o.mark, l.head(), r.now})
	r.at(t, r.now.Add(r.cfg.Silence))
}

// replicate sends the standby what was appended since the last time, as one group; alone, it commits at once.
func (r *Relay) replicate(t *topic) {
	o, l := t.own, t.target()
	if o.alone {
		o.mark++
		o.acked, o.force, o.live = o.mark, false, true
		r.charge(t)
		r.commit(t, l.head())
		return
	}
	if !o.synced {
		return
	}
	if l.head() == o.sent && l.noted() == o.noted && !o.force {
		if l.visible > o.told {
			r.send(o.standby, Append{Topic: Topic(t.name), Epoch: o.epoch, Visible: l.visible})
			o.told = l.visible
		}
		return
	}
	o.mark++
	r.send(o.standby, Append{
		Topic: Topic(t.name), Epoch: o.epoch, Mark: o.mark, Visible: l.visible,
		Copy: Copy{Entries: l.after(o.sent, l.head()), Notes: l.notesAfter(o.noted)},
	})
	o.sent, o.noted, o.told, o.force = l.head(), l.noted(), l.visible, false
	o.flight = append(o.flight, flown{o.mark, l.head(), r.now})
	if len(o.flight) == 1 {
		r.at(t, r.now.Add(r.cfg.Silence))
	}
}

func (r *Relay) onAck(t *topic, from string, m Ack) {
	o := t.own
	if o == nil || o.standby != from || o.epoch != m.Epoch || m.Mark <= o.acked {
		return
	}
	head := uint64(0)
	for len(o.flight) > 0 && o.flight[0].mark <= m.Mark {
		head = o.flight[0].head
		o.flight = o.flight[1:]
	}
	o.acked, o.confirmed, o.live = m.Mark, o.epoch, true
	r.charge(t)
	r.commit(t, head)
}

// commit makes everything up to seq visible and sends the answers that waited for it.
func (r *Relay) commit(t *topic, seq uint64) {
	o := t.own
	r.reveal(t, seq)
	for len(o.pending) > 0 && o.pending[0].mark <= o.acked && o.pending[0].seq <= t.target().visible {
		p := o.pending[0]
		o.pending = o.pending[1:]
		if p.to != r.cfg.Name {
			r.send(p.to, p.message)
		} else if m, ok := p.message.(Published); ok {
			r.onPublished(t, r.cfg.Name, m)
		}
	}
}

func (r *Relay) onRefuse(t *topic, from string, m Refuse) {
	r.sight(max(m.Fence, m.Epoch))
	if t.role == candidate && t.cand.epoch == m.Epoch {
		r.retire(t)
		t.up.retry = r.now.Add(r.cfg.Pause)
		if r.usable(m.Holder) && m.Holder != r.cfg.Name {
			t.up.guess = m.Holder
		}
		return
	}
	o := t.own
	if o == nil || o.epoch != m.Epoch {
		return
	}
	switch {
	case m.Fence > o.confirmed && m.Holder != r.cfg.Name:
		r.stepDown(t, m.Holder, m.Fence, "fenced")
	case o.standby == from: // it is not the standby any more, for it began anew
		r.send(from, Dismiss{Topic(t.name), o.epoch, r.cfg.Name})
		o.fail(r)
	}
}
