package agree

import (
	"slices"
	"time"
)

// final checks the guarantees once everything has healed and fallen quiet.
func (c *checker) final() {
	c.feed()
	for _, topic := range c.w.plan.topics {
		c.finalTopic(topic)
	}
	if !c.w.plan.roll {
		return
	}
	if c.gaps+c.losses+len(c.repeats)+c.refusals[Timeout] > 0 {
		c.fail("a rolling restart was noticed: %d gaps, %d lost, repeats %v, %d publishes timed out", c.gaps, c.losses, c.repeats, c.refusals[Timeout])
	}
	trip := time.Duration(0)
	for _, n := range c.w.nodes {
		for _, e := range n.links {
			trip = max(trip, e.delay)
		}
	}
	for _, s := range c.w.subs {
		if s.away > time.Second+4*trip { // a relay that has just come asks who asks another
			c.fail("%s came back and waited for %v in a rolling restart", s.name, s.away)
		}
	}
}

func (c *checker) finalTopic(topic string) {
	w := c.w
	for _, n := range w.nodes {
		if t := n.topicOf(topic); t != nil && w.trace != nil {
			w.logf("%s %v: up %+v holder %s/%d askers %v children %v waiting %v orphans %d fence %d/%s own %+v second %+v", n.name, t.role, t.up, t.holder, t.holderEpoch, t.askers, t.children, t.waiting, len(t.orphans), t.fence, t.promised, t.own, t.second)
		}
	}
	var own *node
	for _, n := range w.nodes {
		if !n.alive {
			continue
		}
		if t := n.r.topics[topic]; t != nil && (t.role == owner || t.role == sealed) {
			if own != nil {
				c.fail("two owners of %s at the end: %s and %s", topic, own.name, n.name)
				return
			}
			own = n
		}
	}
	c.tree(topic, own)
	if own == nil {
		if len(sub(c.first, topic)) > len(sub(c.gone, topic)) {
			c.fail("nobody owns %s at the end", topic)
		}
		return
	}
	t := own.r.topics[topic]
	l := t.target()
	if order := Order(topic, own.r.members(true)); len(order) > 0 && order[0].Name != own.name {
		c.fail("%s owns %s at the end, and %s should", own.name, topic, order[0].Name)
	} else if len(order) > 1 && t.own.standby != order[1].Name {
		c.fail("%s is the standby of %s at the end, and %s should be", t.own.standby, topic, order[1].Name)
	}
	if t.staged != nil || l.visible != l.head() {
		c.fail("%s of %s is not settled at the end: staged %v, visible %d of %d", topic, own.name, t.staged != nil, l.visible, l.head())
	}
	if !t.own.alone && (!t.own.synced || len(t.own.flight) > 0) {
		c.fail("%s of %s has no standby at the end", topic, own.name)
	}
	places := sub(c.places, topic)
	at := map[string]uint64{}
	for seq := uint64(1); seq <= l.head(); seq++ {
		key, known := places[l.position(seq)]
		if !known {
			if seq > l.base || l.spans[0].First <= seq && !w.plan.small {
				c.fail("%v of %s was never shown", l.position(seq), topic)
			}
			continue
		}
		if other, twice := at[key]; twice && sub(c.gone, topic)[key] == 0 && !sub(c.strange, topic)[key] && !c.outran(topic, key, l.position(other)) {
			c.fail("%s stands twice in %s: %v and %v", key, topic, l.position(other), l.position(seq))
		}
		at[key] = seq
	}
	for key := range sub(c.first, topic) {
		if _, here := at[key]; !here && sub(c.gone, topic)[key] == 0 && !c.forgotten(topic, key) {
			c.fail("%s was shown of %s (acknowledged: %v), was not killed with all who held it, and is gone", key, topic, sub(c.acked, topic)[key])
		}
	}
	for key := range sub(c.acked, topic) {
		if _, shown := sub(c.first, topic)[key]; !shown && !c.forgotten(topic, key) {
			c.fail("%s of %s was acknowledged and never shown", key, topic)
		}
	}
	for _, e := range l.entries {
		for _, p := range e.Former {
			c.formerly(topic, e.Position, p)
		}
	}
	for _, s := range w.subs {
		if s.topic == topic {
			c.transcript(s, l)
		}
	}
}

// tree checks that whoever follows the topic gets it from the owner, over two others at most.
func (c *checker) tree(topic string, own *node) {
	crossing := map[string][]string{}
	defer func() {
		for region, over := range crossing {
			if len(over) > 1 {
				c.fail("%v of %s all follow %s from other regions", over, region, topic)
			}
		}
	}()
	for _, n := range c.w.nodes {
		t := n.topicOf(topic)
		if t == nil || t.role != follower || !t.up.begun {
			continue
		}
		if up := c.w.byName(t.up.parent); up != nil && up.member.Region != n.member.Region {
			crossing[n.member.Region] = append(crossing[n.member.Region], n.name)
		}
		hops, at := 0, n
		for at != own && hops <= len(c.w.nodes) {
			up := c.w.byName(at.r.topics[topic].up.parent)
			if up == nil || up.topicOf(topic) == nil {
				c.fail("%s follows %s, whose parent is %v", n.name, topic, at.r.topics[topic].up.parent)
				return
			}
			child := up.r.topics[topic].children[at.name]
			if at.r.topics[topic].role == standby {
				break
			}
			if child == nil {
				c.fail("%s thinks that it follows %s from %s, which does not know", at.name, topic, up.name)
				return
			}
			c.links[at.member.Region != up.member.Region]++
			hops, at = hops+1, up
			if x := at.r.topics[topic]; x.role == standby {
				break
			}
		}
		if hops > 3 {
			c.fail("%s follows %s over %d relays", n.name, topic, hops)
		}
	}
}

// forgotten says that a ring smaller than the run had to let an event go: as a relay saw, or as the books of one say, that
// let it go before it was shown there.
func (c *checker) forgotten(topic, key string) bool {
	if !c.w.plan.small {
		return false
	}
	for p := range sub(c.evicted, topic) {
		if sub(c.places, topic)[p] == key {
			return true
		}
	}
	e, known := sub(c.event, topic)[key]
	if !known {
		e = Entry{Key: key}
	}
	name := e.publication()
	if e.Feed.Name != "" {
		name = e.item()
	}
	return slices.ContainsFunc(c.w.nodes, func(n *node) bool {
		t := n.topicOf(topic)
		if t == nil {
			return false
		}
		m, known := t.target().memos[name]
		return known && m.Seq <= t.target().base
	})
}

// transcript checks what one subscriber saw since its last gap, or ever, against the canonical log: everything, once, in
// order. An event may be seen twice only if all who held it were killed and it was published again, or
//   - the client went on by an origin's id of an event that stood on two branches (guarantee 5's last sentence), or
//   - it went on by any origin's id while it carried what it had seen on the other side, which such an id cannot, or
//   - both sides of a partition committed it on their own, and the client went from one side to the other meanwhile, or
//   - the ring of the branch that the client came from had let the event go before that branch was merged, or
//   - the client came back to a branch that it had seen merged, at a relay that had not heard of the merge, or
//   - the client had seen three sides of two partitions, of which a Place names two.
func (c *checker) transcript(s *subscriber, l *Log) {
	if s.state != reading {
		c.fail("%s of %s is not attached at the end: state %d at %v", s.name, s.topic, s.state, s.node)
		return
	}
	seen := map[string]int{}
	last := map[uint64]uint64{}
	canon := uint64(0)
	for i := s.gap; i < len(s.seen); i++ {
		if s.between(s.gap-1, i, byOriginID) && s.between(i-1, i, turned) { // an order begins that may go back
			canon = 0
			clear(last)
		}
		e := s.seen[i]
		j, twice := seen[called(e)]
		seen[called(e)] = i
		if twice {
			switch {
			case sub(c.gone, s.topic)[called(e)] > 0 || sub(c.strange, s.topic)[called(e)]:
				c.repeats["died"]++
			case s.between(j, i, byOriginID):
				c.repeats["origin id"]++
			case s.between(j, i, forgot):
				c.repeats["origin id after crossing"]++
			case c.outran(s.topic, called(e), s.seen[j].Position):
				c.repeats["evicted"]++
			case s.between(j, i, crossed) && c.apart(s.topic, s.seen[j].Position, e.Position):
				c.repeats["both sides"]++
			case s.between(j, i, crossed) && sub(c.evicted, s.topic)[s.seen[j].Position]:
				c.repeats["evicted"]++
			case s.revisited(j, i, e.Position):
				c.repeats["revisited"]++
			case s.between(j, i, dropped):
				c.repeats["three sides"]++
			default:
				c.fail("%s saw %s of %s twice: %v as number %d and %v as %d", s.name, called(e), s.topic, s.seen[j].Position, j, e.Position, i)
			}
			continue
		}
		if last[e.Epoch] >= e.Seq {
			c.fail("%s saw %v of %s after %d of that epoch", s.name, e.Position, s.topic, last[e.Epoch])
		}
		last[e.Epoch] = e.Seq
		if l.has(e.Position) {
			if e.Seq < canon {
				c.fail("%s saw %v of %s after %v", s.name, e.Position, s.topic, l.position(canon))
			}
			canon = e.Seq
		}
	}
	at, pieces, found := l.chart().path(s.start)
	if found != Known {
		c.fail("%s began at %v of %s, which nobody knows any more", s.name, s.start, s.topic)
		return
	}
	for seq := at + 1; seq <= l.head(); seq++ {
		e := sub(c.entries, s.topic)[l.position(seq)]
		if _, here := seen[called(e)]; here || slices.ContainsFunc(e.Former, func(p Position) bool {
			return slices.ContainsFunc(pieces, func(q piece) bool { return q.epoch == p.Epoch && q.from <= p.Seq && p.Seq <= q.to })
		}) {
			continue
		}
		if c.passedOver(s, e) {
			c.losses++
			continue
		}
		c.fail("%s never saw %s (%v, formerly %v) of %s; it began at %v and stands at %v on %s", s.name, called(e), e.Position, e.Former, s.topic, s.start, s.place, s.node.name)
		return
	}
}

// outran says that the feed's events of two sides were merged by a ring too small to remember them until its own pull came.
func (c *checker) outran(topic, key string, at Position) bool {
	return sub(c.event, topic)[key].Feed.Name != "" && sub(c.evicted, topic)[at]
}

// twofold says that the event with an origin's id stood at more than one place.
func (c *checker) twofold(topic, id string) bool {
	n := 0
	for _, p := range sub(c.named, topic)[id] {
		n += 1 + len(sub(c.entries, topic)[p].Former)
	}
	return n > 1
}

// passedOver says that a client came by an origin's id of an event that both sides of a partition had committed, and that
// the other event stood before it: nothing tells that the client had it from the other side.
func (c *checker) passedOver(s *subscriber, e Entry) bool {
	return slices.ContainsFunc(s.edges, func(x edge) bool {
		if x.kind != byOriginID || x.at < s.gap {
			return false
		}
		twofold, highest := false, uint64(0)
		var first Position
		for _, p := range sub(c.named, s.topic)[x.id] {
			twofold = twofold || highest > 0 && c.apart(s.topic, p, first)
			first, highest = p, max(highest, p.Seq)
		}
		before := func(p Position) bool { return p.Seq <= highest }
		return twofold && (before(e.Position) || slices.ContainsFunc(e.Former, before))
	})
}

// apart says that an event was committed at two places neither of which knew of the other.
func (c *checker) apart(topic string, a, b Position) bool {
	born := sub(c.born, topic)
	return a != b && !slices.Contains(born[a], b) && !slices.Contains(born[b], a)
}
