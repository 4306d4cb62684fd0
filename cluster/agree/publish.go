package agree

import (
	"slices"
	"time"
)

// outbox holds the publishes accepted at this relay until the owner has committed them. One batch is on its way at a
// time, so that no retry can reorder them.
type outbox struct {
	queue  []submission
	flight []submission
	batch  uint64
	to     string    // who has the batch; empty: to be sent (again)
	sent   time.Time // then
	retry  time.Time

	bounced time.Time // last redirect
}

type submission struct {
	ticket uint64
	entry  Entry
	until  time.Time
}

// Publish accepts an event; an Answer with the ticket ends it. Entry needs Key, Commit is set here.
func (r *Relay) Publish(now time.Time, name string, e Entry, ticket uint64) {
	r.now = now
	t := r.topic(name)
	if len(t.outbox.queue) >= r.cfg.Queue {
		r.decide(Answer{ticket, Result{Outcome: Full}})
		return
	}
	e.Sum = sum(e.ID, e.Body)
	e.Feed.Named, e.Feed.Merged = e.Feed.Name != "" && e.ID != "", false
	t.outbox.queue = append(t.outbox.queue, submission{ticket, e, now.Add(r.cfg.Patience)})
	t.mark(r)
	r.forward(t)
	r.flush()
}

// next is how many of the queue make the next batch: a part of what a log keeps, so that who reads as fast as events come
// is not lapped by one of them.
func (b *outbox) next(lim Limits) int {
	const part = 4
	events, bytes := 4096, 1<<20
	if lim.Events > 0 {
		events = min(events, max(lim.Events/part, 1))
	}
	if lim.Bytes > 0 {
		bytes = min(bytes, lim.Bytes/part)
	}
	n, size := 0, 0
	for n < min(len(b.queue), events) {
		if size += b.queue[n].entry.size(); n > 0 && size > bytes {
			break
		}
		n++
	}
	return n
}

// forward brings the next batch to the owner, or finds one.
func (r *Relay) forward(t *topic) {
	b := &t.outbox
	if len(b.flight)+len(b.queue) == 0 {
		return
	}
	late := func(s submission) bool {
		if r.now.Before(s.until) {
			return false
		}
		r.decide(Answer{s.ticket, Result{Outcome: Timeout}})
		return true
	}
	if len(b.flight) > 0 && !r.now.Before(b.flight[0].until) {
		b.flight = slices.DeleteFunc(b.flight, late)
		b.to, b.batch = "", 0
	}
	expired := 0
	for expired < len(b.queue) && late(b.queue[expired]) {
		expired++
	}
	b.queue = slices.Delete(b.queue, 0, expired)
	if len(b.flight) == 0 {
		b.to, b.batch = "", 0
		if len(b.queue) == 0 {
			return
		}
		n := b.next(r.cfg.Limits)
		b.flight = slices.Clone(b.queue[:n])
		b.queue = slices.Delete(b.queue, 0, n)
	}
	r.at(t, b.flight[0].until)
	if b.to != "" {
		if b.to == r.cfg.Name && t.role == owner {
			return // it waits for the standby
		}
		if b.to != r.cfg.Name && r.usable(b.to) && r.now.Sub(b.sent) < r.cfg.Silence {
			r.at(t, b.sent.Add(r.cfg.Silence))
			return
		}
		b.to = ""
	}
	if b.retry.After(r.now) && t.role != owner {
		r.at(t, b.retry)
		return
	}
	to := r.cfg.Name
	switch t.role {
	case owner:
	case candidate, sealed:
		r.in(t, r.cfg.Pause)
		return
	case standby:
		to = t.second.owner
	default:
		if to = t.holder; !r.usable(to) {
			to = r.first(t)
		}
	}
	switch {
	case to == "":
		r.in(t, r.cfg.Pause)
	case to == r.cfg.Name && t.role != owner:
		if t.up.parent == "" {
			r.run(t)
		}
		if t.role == owner { // at once, since nobody else is here to be asked
			r.forward(t)
			return
		}
		r.in(t, r.cfg.Pause)
	default:
		r.ticket++
		b.batch, b.to, b.sent = r.ticket, to, r.now
		entries := make([]Entry, len(b.flight))
		for i, s := range b.flight {
			entries[i] = s.entry
		}
		m := Publish{Topic(t.name), b.batch, entries}
		if to == r.cfg.Name {
			r.onPublish(t, to, m)
			return
		}
		r.send(to, m)
		r.at(t, b.sent.Add(r.cfg.Silence))
	}
}

// onPublish appends a batch at the owner. What is known by its key is not appended again.
func (r *Relay) onPublish(t *topic, from string, m Publish) {
	switch t.role {
	case owner:
	case candidate, sealed:
		t.askers[from] = true
		return
	default:
		r.point(t, from, Request{PublishRequest, m.Batch})
		return
	}
	results := make([]Result, len(m.Entries))
	for i := range m.Entries {
		results[i] = r.order(t, m.Entries[i])
	}
	r.await(t, from, Published{Topic(t.name), m.Batch, results})
}

// order gives an entry its place, or says why it has none or had one before.
func (r *Relay) order(t *topic, e Entry) Result {
	l := t.target()
	if res, known := l.published(e); known {
		return res
	}
	if last := l.entry(l.head()); last != nil && last.Kind == End {
		return Result{Outcome: Ended}
	}
	if l.head() == 0 && r.cfg.Topics > 0 && len(r.topics) > r.cfg.Topics {
		return Result{Outcome: Full}
	}
	if res, refused := r.admit(t, e); refused {
		return res
	}
	e.Position = Position{Epoch: t.own.epoch, Seq: l.head() + 1}
	e.Commit = r.now.UnixMilli()
	e.Former = nil
	if _, known := l.ids[e.ID]; known || l.claims(e.ID) { // an id names one event; all relays must agree which
		e.ID = ""
	}
	l.append(e)
	t.mark(r)
	return Result{Committed, e.Position, e.ID, e.Number}
}

// published finds out whether an event was committed before, by its key, or by its id where that is its name.
func (l *Log) published(e Entry) (Result, bool) {
	m, known := l.memos[e.publication()]
	all := l.memos[publication{Key: e.Key}]
	switch {
	case known:
	case e.Number > 0 && e.Number <= all.High: // so long ago that it is known by its number only
		return Result{Duplicate, all.Position, all.ID, all.High}, true
	case e.ID != "" && e.single():
		x := l.entry(l.ids[e.ID])
		if x == nil {
			return Result{}, false
		}
		m = Memo{Position: x.Position, ID: x.ID, Sum: sum(x.ID, x.Body)}
	default:
		return Result{}, false
	}
	res := Result{Duplicate, m.Position, m.ID, max(m.Number, all.High)}
	if m.Sum != e.Sum {
		res.Outcome = Conflict
	}
	return res, true
}

// onPublished ends a batch.
func (r *Relay) onPublished(t *topic, from string, m Published) {
	b := &t.outbox
	if b.batch != m.Batch || len(b.flight) != len(m.Results) || b.to != from {
		return
	}
	for i, s := range b.flight {
		if m.Results[i].Outcome == Stale {
			r.outdated(s.entry.Feed.Name, m.Results[i].Epoch)
		}
		r.decide(Answer{s.ticket, m.Results[i]})
	}
	b.flight, b.to, b.batch = nil, "", 0
	r.forward(t)
}
