package agree

import (
	"maps"
	"time"
)

// forget drops a topic that nobody has wanted for a while. A follower's log is dropped only when it is up to date with an
// owner; an owner's when nothing has come for long.
func (r *Relay) forget(t *topic) {
	if t.wanted() || len(t.outbox.queue)+len(t.outbox.flight)+len(t.orphans) > 0 {
		t.idle = r.now
		return
	}
	switch t.role {
	case follower:
		r.forgetFollowed(t)
	case owner:
		r.forgetOwned(t)
	default:
		t.idle = r.now
	}
}

func (r *Relay) forgetFollowed(t *topic) {
	if !t.log.blank() && !(t.up.live && t.staged == nil && t.log.visible == t.log.head()) {
		t.idle = r.now
		return
	}
	if left := t.idle.Add(r.cfg.Linger).Sub(r.now); left > 0 {
		r.in(t, left)
		return
	}
	if !t.log.blank() { // a relay that slept may think that it is up to date: the parent must say so
		if u := &t.up; r.now.Sub(u.leaving) >= r.cfg.Silence {
			u.leaving = r.now
			r.send(u.parent, Unfollow{Topic(t.name)})
			r.in(t, r.cfg.Silence)
		}
		return
	}
	if t.up.parent != "" {
		r.send(t.up.parent, Unfollow{Topic(t.name)})
	}
	r.drop(t)
}

func (r *Relay) onReleased(t *topic, from string) {
	if t.role == follower && !t.wanted() && t.up.parent == from && !t.up.leaving.IsZero() && t.staged == nil &&
		len(t.outbox.queue)+len(t.outbox.flight) == 0 {
		r.drop(t)
	} else if t.role == follower && t.up.parent == from && !t.up.leaving.IsZero() {
		t.up = upward{} // somebody wants it again, and it is not sent here any more
	}
}

// forgetOwned forgets for everybody: a topic that nothing ever came to soon, one that has ended as long as its end is to
// be known, any other when it has been silent for long.
func (r *Relay) forgetOwned(t *topic) {
	l, o := t.log, t.own
	if t.staged != nil || l.visible < l.head() || o.moving != "" {
		t.idle = r.now
		return
	}
	last, keep := t.idle, r.cfg.Forget
	switch {
	case l.head() == 0:
		keep = r.cfg.Linger
	case t.quiet.After(last):
		last = t.quiet
	}
	if e := l.entry(l.head()); e != nil && e.Kind == End {
		last, keep = time.UnixMilli(e.Commit), r.cfg.Ended
	}
	if left := last.Add(keep).Sub(r.now); left > 0 {
		r.in(t, left)
		return
	}
	if o.standby != "" {
		r.send(o.standby, Forgotten{Topic(t.name), o.epoch})
	}
	if t.audience {
		r.decide(Audience{t.name, false})
	}
	r.decide(Charge{t.name, false, 0})
	r.drop(t)
}

// onForgotten drops a standby's copy. One that does not hear of it takes the topic over, and forgets it by itself.
func (r *Relay) onForgotten(t *topic, from string, m Forgotten) {
	if t.role == standby && t.second.owner == from && t.second.epoch == m.Epoch && !t.wanted() &&
		len(t.outbox.queue)+len(t.outbox.flight)+len(t.orphans) == 0 {
		r.drop(t)
	}
}

// drop forgets a topic, but for what it promised.
func (r *Relay) drop(t *topic) {
	if t.opened {
		r.decide(Forget{t.name})
	}
	delete(r.topics, t.name)
	if t.fence != 0 {
		r.fences[t.name] = fence{t.fence, t.promised, r.now}
		r.sweepFences()
	}
}

// manyFences is how many promises of topics that are not held here are kept for an hour.
const manyFences = 1 << 16

// sweepFences forgets old promises. Whoever slept for an hour has been forgotten by gossip too; and of many, those are
// older than any candidacy.
func (r *Relay) sweepFences() {
	if r.now.Sub(r.swept) <= time.Minute {
		return
	}
	r.swept = r.now
	keep := time.Hour
	if len(r.fences) > manyFences {
		keep = time.Minute
	}
	maps.DeleteFunc(r.fences, func(_ string, f fence) bool { return r.now.Sub(f.at) > keep })
}

// Trim says that this process has no room for a topic's events up to a sequence.
func (r *Relay) Trim(now time.Time, name string, upTo uint64) {
	r.now = now
	t := r.topics[name]
	if t == nil || t.staged != nil {
		return
	}
	for l := t.log; l.base < min(upTo, l.visible); {
		l.evict()
	}
	t.log.forget(r.cfg.Limits.Keys, now, r.cfg.KeyAge)
}
