package agree

import "time"

// offering is the orphans' way to the owner: one chunk at a time.
type offering struct {
	to     string // who has the chunk; empty: to be sent (again)
	serial uint64
	sent   time.Time
	retry  time.Time
}

const (
	offerEntries = 512
	offerBytes   = 256 << 10
)

// offerOrphans sends the owner what this relay holds beyond the fork.
func (r *Relay) offerOrphans(t *topic) {
	if len(t.orphans) == 0 || t.role != follower && t.role != standby {
		return
	}
	o := &t.offer
	to := t.source()
	if !r.usable(to) || to == r.cfg.Name {
		return
	}
	if o.to == to && r.now.Sub(o.sent) < r.cfg.Silence {
		r.at(t, o.sent.Add(r.cfg.Silence))
		return
	}
	if o.retry.After(r.now) {
		r.at(t, o.retry)
		return
	}
	m := Offer{Topic: Topic(t.name), Lost: t.target().lost}
	size := 0
	for _, e := range t.orphans {
		l := t.target()
		if at, placed := t.placed[e.Position]; placed && (at == (Position{}) || at.Seq > l.head() || l.has(at)) {
			continue
		}
		if size += len(e.Body); len(m.Entries) == offerEntries || len(m.Entries) > 0 && size > offerBytes {
			break
		}
		m.Entries = append(m.Entries, e)
	}
	if len(m.Entries) == 0 {
		return
	}
	r.ticket++
	m.Serial = r.ticket
	o.to, o.serial, o.sent = to, m.Serial, r.now
	r.send(to, m)
	r.at(t, r.now.Add(r.cfg.Silence))
}

// source is the owner of the log that is copied here: who places what this relay holds beyond the fork, and who knows how
// a subscriber goes on. Another owner, of another branch, would answer for its own log.
func (t *topic) source() string {
	switch {
	case t.role == standby:
		return t.second.owner
	case t.up.begun:
		return t.up.holder
	}
	return ""
}

// onOffer merges a branch that lost; the answer waits until all of it is committed.
func (r *Relay) onOffer(t *topic, from string, m Offer) {
	switch t.role {
	case owner:
		places := r.merge(t, m.Entries, m.Lost)
		r.await(t, from, Adopted{Topic(t.name), m.Serial, places})
	case candidate, sealed:
		t.askers[from] = true
	default:
		r.point(t, from, Request{OfferRequest, m.Serial})
	}
}

// adoptOwn merges what this relay itself held beyond the fork, when it becomes the owner.
func (r *Relay) adoptOwn(t *topic) {
	for _, p := range r.merge(t, t.orphans, nil) {
		t.placed[p.Former] = p.At
	}
}

// merge appends what the log lacks of a branch, as new commits that remember where they stood. What it has already, by
// publish key or by the origin's id and bytes, learns the other position as an alias. Events that a feed brought without an
// origin id are not merged: this side pulled them itself.
func (r *Relay) merge(t *topic, entries []Entry, lost []Branch) []Adoption {
	l := t.target()
	for _, b := range lost {
		l.lose(b)
	}
	places := make([]Adoption, 0, len(entries))
	aliased := false
	for _, e := range entries {
		seq, known := l.find(e)
		switch {
		case known:
			for _, p := range append([]Position{e.Position}, e.Former...) {
				aliased = l.alias(seq, p) || aliased
			}
		case e.Feed.Name != "" && !e.Feed.Named:
		default:
			former := append([]Position{e.Position}, e.Former...)
			e.Position, e.Former = Position{Epoch: t.own.epoch, Seq: l.head() + 1}, former
			e.Commit = r.now.UnixMilli()
			if _, taken := l.ids[e.ID]; taken || l.claims(e.ID) { // by another event
				e.ID = ""
			}
			if e.Feed.Name != "" {
				e.Feed.Merged, t.early[e.Sum] = true, true
			}
			l.append(e)
			places = append(places, Adoption{former[0], e.Position})
			continue
		}
		at := Position{}
		if known {
			at = l.position(seq)
		}
		places = append(places, Adoption{e.Position, at})
	}
	if aliased {
		r.merged(t, l)
	}
	t.mark(r)
	return places
}

// find is the place in this log of an event that stood elsewhere.
func (l *Log) find(e Entry) (seq uint64, known bool) {
	if seq, known = l.locate(e.Position); known {
		return seq, true
	}
	for _, p := range e.Former {
		if seq, known = l.locate(p); known {
			return seq, true
		}
	}
	if m, known := l.memos[e.publication()]; known && m.High == 0 {
		if seq, known = l.locate(m.Position); known {
			return seq, true
		}
	}
	if e.Feed.Name != "" {
		if m, known := l.memos[e.item()]; known && e.Feed.Named {
			return l.locate(m.Position)
		}
		return 0, false
	}
	if x := l.entry(l.ids[e.ID]); e.ID != "" && e.single() && x != nil && x.Sum == e.Sum {
		return x.Seq, true
	}
	return 0, false
}

// locate is where in this log the event stands that a memo is about. Memos outlive the branch that they are from: an event
// that its ring let go before the fork was found is remembered here, and is not in this log.
func (l *Log) locate(p Position) (seq uint64, here bool) {
	if l.has(p) {
		return p.Seq, true
	}
	seq, here = l.former[p]
	return seq, here
}

func (r *Relay) onAdopted(t *topic, from string, m Adopted) {
	if t.offer.to != from || t.offer.serial != m.Serial {
		return
	}
	for _, p := range m.Places {
		if t.placed != nil {
			t.placed[p.Former] = p.At
		}
	}
	t.offer = offering{}
}
