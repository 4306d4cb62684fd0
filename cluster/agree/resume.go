package agree

import (
	"slices"
	"time"

	"freshet/ringbuf"
)

// resume is a subscriber that came with an id.
type resume struct {
	ticket uint64
	id     string
	until  time.Time // answers by then
	reach  time.Time // and by then once the log here is whole; zero: it is not
	asked  bool
	retry  time.Time
	mark   uint64 // as the owner: it has made sure that it is one when this is acknowledged
	epoch  uint64 // the owner's, of the mark
	there  *Route // the owner's word, until the log here has come so far
	at     Position
}

// Resume asks how a subscriber goes on that comes with an id: an origin's, or a Place as text. Resumed answers, at the
// latest after Config.Patience; the topic must be open.
func (r *Relay) Resume(now time.Time, name, id string, ticket uint64) {
	r.now = now
	t := r.topic(name)
	s := &resume{ticket: ticket, id: id, until: now.Add(r.cfg.Patience)}
	if len(t.resumes) > 0 { // those who wait are looked at when something has changed, and every Pause
		if route, done := r.settleResume(t, s); done {
			r.decide(Resumed{ticket, route})
		} else {
			t.resumes = append(t.resumes, s)
		}
		r.flush()
		return
	}
	t.resumes = append(t.resumes, s)
	r.reconcile(t)
	r.flush()
}

// resume answers those that can be answered now.
func (r *Relay) resume(t *topic) {
	if len(t.resumes) == 0 {
		return
	}
	waiting := t.resumes[:0]
	for _, s := range t.resumes {
		if route, done := r.settleResume(t, s); done {
			r.decide(Resumed{s.ticket, route})
		} else {
			waiting = append(waiting, s)
			r.in(t, r.cfg.Pause)
		}
	}
	clear(t.resumes[len(waiting):])
	t.resumes = waiting
}

func (r *Relay) settleResume(t *topic, s *resume) (Route, bool) {
	switch whole := r.whole(t); {
	case !whole:
		s.reach = time.Time{}
	case s.reach.IsZero():
		if s.reach = r.calm(); s.reach.Before(r.now) {
			s.reach = r.now
		}
		s.reach = s.reach.Add(r.cfg.Reach)
	}
	route, late := t.routeID(s.id), !r.now.Before(s.until) || !s.reach.IsZero() && !r.now.Before(s.reach)
	switch {
	case route.Found == Known && (t.opened || late): // whichever log may replace this one: Replace goes on from here
		return route, true
	case late && route.Found == Evicted:
		return route, true
	case late:
		return Route{Found: Unknown}, true
	case !r.whole(t):
		return Route{}, false
	}
	if s.there != nil && route.Found != Known {
		if s.there.Found == Known && s.there.After <= t.log.visible && !t.log.has(s.at) && t.staged == nil {
			s.there = nil // the word of an owner whose log did not survive
		} else {
			route = *s.there
		}
	}
	switch {
	case route.Found == Known:
		if route.After > t.log.visible || t.staged != nil && s.there != nil {
			return Route{}, false
		}
		if route.After < t.log.base {
			route = Route{Found: Evicted}
		}
		return route, true
	case route.Found == Evicted:
		return route, true
	}
	if t.role == owner || t.role == sealed {
		if t.staged != nil {
			route = t.staged.routeID(s.id)
		}
		return route, route.Found == Unknown && r.certain(t, s) && r.settled(t)
	}
	if s.there != nil && s.there.Found == Unknown && t.staged == nil && r.settled(t) {
		return route, true
	}
	to := t.source()
	if !s.asked && r.usable(to) && !s.retry.After(r.now) {
		s.asked, s.retry = true, r.now.Add(r.cfg.Silence)
		r.send(to, Where{Topic(t.name), s.ticket, s.id})
	} else if s.asked && !s.retry.After(r.now) {
		s.asked = false
	}
	return Route{}, false
}

// settled says that the log has been whole for as long as a resume waits, and nobody came into view meanwhile: right after
// a heal, what is unknown may be about to be merged.
func (r *Relay) settled(t *topic) bool {
	return !r.now.Before(t.settled.Add(r.cfg.Reach)) && !r.now.Before(r.calm().Add(r.cfg.Reach))
}

// calm is when the last relay that came into view has settled. Two sides of a partition see one another before their
// owners meet, and until then each knows nothing of the other's events.
func (r *Relay) calm() (at time.Time) {
	for name, since := range r.since {
		if settled := since.Add(r.cfg.Settle); name != r.cfg.Name && settled.After(at) {
			at = settled
		}
	}
	return at
}

// routeID finds the way in the log that is shown. While that is a branch that lost, a client may come from the canonical
// log: it has seen there what was merged of this branch.
func (t *topic) routeID(id string) Route {
	rt := t.log.routeID(id)
	p, err := ringbuf.ParsePlace(id)
	if t.staged == nil || rt.Found != Known || rt.Lost == (Position{}) || err != nil {
		return rt
	}
	at, _, found := t.staged.chart().path(p.At)
	if found != Known {
		return rt
	}
	for _, e := range t.log.after(rt.After, t.log.head()) {
		if seq, merged := t.staged.former[e.Position]; merged && seq <= at && !slices.Contains(rt.Skip, e.Seq) {
			rt.Skip = append(rt.Skip, e.Seq)
		}
	}
	slices.Sort(rt.Skip)
	return rt
}

// certain says that this relay has made sure that it is the owner still, since it was asked.
func (r *Relay) certain(t *topic, s *resume) bool {
	o := t.own
	if s.epoch == o.epoch {
		return o.acked >= s.mark
	}
	if t.role == owner {
		r.verify(t)
		s.epoch, s.mark = o.epoch, o.mark+1
	}
	return false
}

func (r *Relay) onWhere(t *topic, from string, m Where) {
	there := There{Topic: Topic(t.name), Ticket: m.Ticket, Route: Route{Found: Ahead}}
	if t.role == owner {
		if there.Route = t.target().routeID(m.ID); there.Route.Found == Unknown { // it may have slept through a takeover
			r.await(t, from, there)
			return
		}
		there.At = t.target().position(there.Route.After)
	}
	if (t.role == follower || t.role == standby) && t.holder != from { // whoever takes this relay for the owner
		r.send(from, Redirect{Topic(t.name), t.holder, t.holderEpoch, Request{}})
	}
	r.send(from, there)
}

func (r *Relay) onThere(t *topic, from string, m There) {
	for _, s := range t.resumes {
		if s.ticket != m.Ticket {
			continue
		}
		s.asked, s.retry = false, r.now.Add(r.cfg.Pause)
		if m.Route.Found != Ahead {
			s.there, s.at = &m.Route, m.At
		}
	}
}
