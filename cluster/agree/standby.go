package agree

import "time"

// standing is a standby's side of a topic.
type standing struct {
	owner  string
	epoch  uint64
	synced bool      // the copy is whole
	doubt  time.Time // leaves then, unless the owner has sent its copy
}

// onEnlist makes this relay the standby, unless it has promised otherwise.
func (r *Relay) onEnlist(t *topic, from string, m Enlist) {
	r.sight(m.Epoch)
	promise := fence{epoch: t.fence, to: t.promised}
	if v := t.vow; v.epoch > m.Base && v.to != from && promise.to == from {
		promise = v // an earlier one, to somebody else, which this claim does not descend from either
	}
	if promise.epoch > m.Base && promise.to != from || m.Epoch < t.fence {
		r.send(from, Refuse{Topic: Topic(t.name), Epoch: m.Epoch, Fence: promise.epoch, Holder: promise.to})
		if t.role == owner {
			r.verify(t)
		}
		return
	}
	switch t.role {
	case owner, sealed: // of two owners that meet so, the later claim stays; placement moves the topic afterwards
		r.stepDown(t, from, m.Epoch, "met")
	case candidate:
		r.retire(t)
	case standby:
		if t.second.owner != from {
			r.leaveStandby(t)
		}
	}
	r.accept(t, from, m)
}

func (r *Relay) accept(t *topic, from string, m Enlist) {
	t.fence, t.promised = m.Epoch, from
	t.vow = fence{epoch: m.Epoch, to: from}
	if p := t.up.parent; p != "" && p != from {
		r.send(p, Unfollow{Topic(t.name)})
	}
	if t.role == follower && t.up.holder != from {
		r.dismissChildren(t)
	}
	t.role, t.up, t.coming = standby, upward{}, nil
	t.second = standing{owner: from, epoch: m.Epoch, doubt: r.now.Add(2 * r.cfg.Silence)}
	r.at(t, t.second.doubt)
	t.learn(r, from, m.Epoch)
	r.tell(t, from, m.Epoch)
	l := t.target()
	r.send(from, Enlisted{Topic(t.name), m.Epoch, l.spans, l.head()})
}

func (r *Relay) onAppend(t *topic, from string, m Append) {
	r.sight(m.Epoch)
	s := &t.second
	if t.role != standby || s.owner != from || s.epoch != m.Epoch || !s.synced && !m.First {
		r.send(from, Refuse{Topic: Topic(t.name), Epoch: m.Epoch, Fence: t.fence, Holder: t.promised})
		return
	}
	if m.First {
		t.goal = m.Visible
		r.receive(t, m.Copy)
		t.regrown = max(t.regrown, t.target().head())
		s.synced, s.doubt = true, time.Time{}
	} else {
		l := t.target()
		for _, e := range m.Copy.Entries {
			if e.Seq != l.head()+1 {
				s.synced = false
				r.send(from, Refuse{Topic: Topic(t.name), Epoch: m.Epoch, Fence: t.fence, Holder: from})
				return
			}
			l.append(e)
		}
		r.apply(t, m.Copy.Notes)
		t.mark(r)
	}
	r.reveal(t, m.Visible)
	if m.Mark != 0 {
		r.send(from, Ack{Topic(t.name), m.Epoch, m.Mark})
	}
}

// stand is what a standby does by itself: when its owner is dead it looks for who should own.
func (r *Relay) stand(t *topic) {
	s := &t.second
	if late := !s.doubt.IsZero() && !r.now.Before(s.doubt); late || !r.usable(s.owner) {
		r.leaveStandby(t)
		r.follow(t)
	} else if !s.doubt.IsZero() {
		r.at(t, s.doubt)
	}
}

// leaveStandby makes a standby a follower without a parent. What it holds stays, tail and all.
func (r *Relay) leaveStandby(t *topic) {
	t.unlearn(t.second.owner)
	t.role, t.second, t.up = follower, standing{}, upward{straight: true}
	r.dismissChildren(t)
}

func (r *Relay) onDismiss(t *topic, from string, m Dismiss) {
	if t.role != standby || t.second.owner != from || t.second.epoch > m.Epoch {
		return
	}
	r.leaveStandby(t)
	if m.Holder == from {
		t.learn(r, from, m.Epoch)
		t.holder = from
	} else {
		t.up.guess = m.Holder
	}
}
