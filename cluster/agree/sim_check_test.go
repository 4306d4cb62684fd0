package agree

import (
	"fmt"
	"slices"
	"time"
)

// checker watches every message, every decision and every transcript of a world.
type checker struct {
	w        *world
	failure  string
	places   map[string]map[Position]string // topic -> position -> key: an epoch has one appender
	first    map[string]map[string][]*node  // topic -> key -> holders when it was first shown
	event    map[string]map[string]Entry    // then
	lives    map[string]map[string][]int
	acked    map[string]map[string]bool
	gone     map[string]map[string]int          // how often all who held it were killed
	entries  map[string]map[Position]Entry      // as first shown
	born     map[string]map[Position][]Position // Former when it was first shown
	evicted  map[string]map[Position]bool
	strange  map[string]map[string]bool       // repeated by the origin after something that the topic\'s log had never held
	named    map[string]map[string][]Position // topic -> origin id -> where it was first shown
	promises map[string]Refuse                // relay/life/topic -> highest promise
	claims   map[string]uint64
	ackLife  map[string]int // topic/epoch/standby -> its life when it last acknowledged
	notices  map[string]int
	repeats  map[string]int // why a client saw an event twice
	refusals map[Outcome]int
	links    map[bool]int // at the end; true: between regions
	gaps     int
	died     time.Duration // when a relay was last killed
	losses   int           // see passedOver
	replaced int
	acks     int
}

func newChecker(w *world) *checker {
	return &checker{
		died:  -time.Minute,
		links: map[bool]int{}, strange: map[string]map[string]bool{}, named: map[string]map[string][]Position{}, event: map[string]map[string]Entry{},
		w: w, places: map[string]map[Position]string{}, first: map[string]map[string][]*node{},
		lives: map[string]map[string][]int{},
		acked: map[string]map[string]bool{}, gone: map[string]map[string]int{}, entries: map[string]map[Position]Entry{}, born: map[string]map[Position][]Position{}, evicted: map[string]map[Position]bool{}, promises: map[string]Refuse{},
		claims: map[string]uint64{}, ackLife: map[string]int{}, notices: map[string]int{}, repeats: map[string]int{}, refusals: map[Outcome]int{},
	}
}

func (c *checker) fail(format string, args ...any) {
	if c.failure == "" {
		c.failure = fmt.Sprintf("at %v: ", c.w.now) + fmt.Sprintf(format, args...)
	}
}

func sub[K comparable, V any](m map[string]map[K]V, topic string) map[K]V {
	if m[topic] == nil {
		m[topic] = map[K]V{}
	}
	return m[topic]
}

// sent checks I3: who promised e takes no ownership that does not descend from e.
func (c *checker) sent(n *node, m Envelope) {
	if c.w.trace != nil {
		switch x := m.Message.(type) {
		case Offer:
			c.w.logf("  %s -> %s offer %d: %d entries from %v", n.name, m.To, x.Serial, len(x.Entries), x.Entries[0].Position)
		case Adopted:
			c.w.logf("  %s -> %s adopted %d %v", n.name, m.To, x.Serial, x.Places)
		case Begin:
			c.w.logf("  %s -> %s begin common %d base %d %v goal %d lag %v", n.name, m.To, x.Copy.Common, x.Copy.Base, x.Copy.Lineage, x.Goal, x.Lag)
		case Follow:
			c.w.logf("  %s -> %s follow %v %d direct %v avoid %v", n.name, m.To, x.Lineage, x.Head, x.Direct, x.Avoid)
		case Entries, Ack, Publish, Published, Where:
		case Append:
			if x.First {
				c.w.logf("  %s -> %s append first common %d base %d", n.name, m.To, x.Copy.Common, x.Copy.Base)
			}
		default:
			c.w.logf("  %s -> %s %T%+v", n.name, m.To, x, x)
		}
	}
	id := fmt.Sprint(n.name, "/", n.life, "/", m.Message.About())
	switch m := m.Message.(type) {
	case Enlist:
		c.claims[fmt.Sprint(m.About(), "/", m.Epoch)] = m.Base
	case Have:
		if m.Holder == "" && m.Epoch > c.promises[id].Fence {
			c.promises[id] = Refuse{Fence: m.Epoch}
		}
	case Enlisted:
		p := c.promises[id]
		base := c.claims[fmt.Sprint(m.About(), "/", m.Epoch)]
		if p.Fence > base && p.Fence != m.Epoch && p.Fence&0xffff != m.Epoch&0xffff {
			c.fail("I3: %s promised %x of %s and enlists for %x from %x", n.name, p.Fence, m.About(), m.Epoch, base)
		}
	case Ack:
		c.ackLife[fmt.Sprint(m.About(), "/", m.Epoch, "/", n.name)] = n.life
		if c.promises[id].Fence > m.Epoch {
			c.fail("I3: %s promised %x of %s and acknowledges %x", n.name, c.promises[id].Fence, m.About(), m.Epoch)
		}
	}
}

// gap is told where an id is unknown. That is right only if the ring has moved on, or if nobody within reach knows the id:
// not the owner, and no relay that has been in touch with it and with the client's relay for a while.
func (c *checker) gap(s *subscriber, rt Route, came bool) {
	c.gaps++
	t := s.node.r.topics[s.topic]
	if rt.Found == Evicted || rt.Found == Known || came && s.origin && c.outlived(t.log, s.topic, s.id) {
		if !c.w.plan.small {
			c.fail("%s was told at %s that %q of %s is gone, and the ring has no end", s.name, s.node.name, s.id, s.topic)
		}
		return
	}
	knows := func(l *Log) bool {
		found := l.chart().route(s.place).Found
		if came {
			found = l.routeID(s.id).Found
		}
		return found == Known || found == Evicted
	}
	if knows(t.log) {
		c.fail("%s was told at %s that %q of %s is unknown, and it is there", s.name, s.node.name, s.id, s.topic)
	}
	const settled = 6 * time.Second // two owners of one topic have met by then
	healed, owners := c.w.now-c.died > settled, 0
	for _, o := range c.w.nodes {
		if x := o.topicOf(s.topic); x != nil && (x.role == owner || x.role == sealed) {
			owners++
		}
	}
	for _, o := range c.w.nodes {
		if x := o.topicOf(s.topic); x == nil || x.role != owner && x.role != sealed {
			continue
		} else if lately := 3 * time.Second; owners == 1 && knows(x.target()) && !slices.ContainsFunc(c.w.nodes, func(other *node) bool {
			return other.alive && (c.w.touch(o, other) < lately || c.w.touch(s.node, other) < lately) // who may have brought it
		}) {
			c.fail("%s was told at %s that %q of %s is unknown, and its owner %s knows it", s.name, s.node.name, s.id, s.topic, o.name)
		}
		for _, other := range c.w.nodes {
			healed = healed && (!other.alive || c.w.touch(o, other) > settled)
		}
	}
	for _, o := range c.w.nodes {
		if x := o.topicOf(s.topic); healed && x != nil && knows(x.log) && c.w.touch(s.node, o) > settled {
			c.fail("%s was told at %s that %q of %s is unknown, and %s knows it", s.name, s.node.name, s.id, s.topic, o.name)
		}
	}
}

// outlived says that the event with an origin's id was in a log, and has left it.
func (c *checker) outlived(l *Log, topic, id string) bool {
	for p, e := range sub(c.entries, topic) {
		if e.ID == id && p.Seq <= l.base && l.has(p) {
			return true
		}
	}
	return false
}

// bases notes what a relay's rings forget in one step.
func (c *checker) bases(n *node, do func()) {
	if !c.w.plan.small {
		do()
		return
	}
	type mark struct {
		l    *Log
		base uint64
	}
	var before []mark
	var names []string
	for _, topic := range c.w.plan.topics {
		if t := n.r.topics[topic]; t != nil {
			for _, l := range []*Log{t.log, t.staged} {
				if l != nil {
					before, names = append(before, mark{l, l.base}), append(names, topic)
				}
			}
		}
	}
	do()
	for _, topic := range c.w.plan.topics {
		if t := n.r.topics[topic]; t != nil {
			for _, l := range []*Log{t.log, t.staged} {
				if l != nil && !slices.ContainsFunc(before, func(m mark) bool { return m.l == l }) { // new, or a peer's
					before, names = append(before, mark{l, 0}), append(names, topic)
				}
			}
		}
	}
	for i, m := range before {
		for seq := m.base + 1; seq <= m.l.base; seq++ {
			sub(c.evicted, names[i])[m.l.position(seq)] = true
		}
	}
}

// called is what an event is known by to the checker, wherever it stands and whoever sent it.
func called(e Entry) string {
	if e.Feed.Name != "" {
		return string(e.Body)
	}
	return e.Key
}

// holds says whether a relay has an event, wherever, or had it until its ring moved on.
func (n *node) holds(topic string, e Entry) bool {
	if n.r == nil {
		return false
	}
	t := n.r.topics[topic]
	if t == nil {
		return false
	}
	for _, l := range []*Log{t.log, t.staged} {
		if l == nil {
			continue
		}
		if l.has(e.Position) && l.entry(e.Seq) != nil {
			return true
		}
		if e.Feed.Name != "" {
			if m, ok := l.memos[e.item()]; ok && e.Feed.Named && (l.entry(m.Seq) != nil || m.Seq <= l.base) {
				return true
			}
		} else if m, ok := l.memos[e.publication()]; ok && (l.entry(m.Seq) != nil || m.Seq <= l.base) {
			return true
		}
	}
	return slices.ContainsFunc(t.orphans, func(o Entry) bool { return called(o) == called(e) })
}

// shown checks I1 and I2 at the moment when entries become visible anywhere.
func (c *checker) shown(n *node, topic string, entries []Entry, held string) {
	places := sub(c.places, topic)
	first := sub(c.first, topic)
	for _, e := range entries {
		if key, known := places[e.Position]; known && key != called(e) {
			c.fail("I2: %s of %s is %s at %s and was %s", e.Position, topic, called(e), n.name, key)
		}
		for _, p := range e.Former {
			c.formerly(topic, e.Position, p)
		}
		if _, known := places[e.Position]; known {
			continue
		}
		places[e.Position] = called(e)
		sub(c.entries, topic)[e.Position] = e
		sub(c.born, topic)[e.Position] = e.Former
		if e.ID != "" {
			sub(c.named, topic)[e.ID] = append(sub(c.named, topic)[e.ID], e.Position)
		}
		shower, n, t := n.name, n, n.r.topics[topic]
		for _, o := range c.w.nodes { // an owner that shows its own lost branch still commits without showing
			if ot := o.topicOf(topic); t.role != owner && t.role != sealed && ot != nil && (ot.role == owner || ot.role == sealed) &&
				ot.target().has(e.Position) && ot.target().visible >= e.Seq {
				n, t = o, ot
			}
		}
		if t.role != owner && t.role != sealed {
			c.fail("I1: %s, a %v, is the first to show %v of %s", n.name, t.role, e.Position, topic)
			return
		}
		holders := []*node{}
		for _, o := range c.w.nodes {
			if o.alive && o.holds(topic, e) {
				holders = append(holders, o)
			}
		}
		if t.own.alone {
			if others := Order(topic, n.r.members(true)); len(others) > 1 {
				c.fail("I1: %s shows %v of %s alone and has %v in view", n.name, e.Position, topic, others)
			}
		} else {
			if n.name != shower {
				held = t.own.standby
			}
			s := c.w.byName(held)             // which may have died, and come back, since it acknowledged
			if s != nil && topic == theFeed { // cursors are not merged: one that has gone over to another owner may have dropped it
				if st := s.topicOf(topic); st != nil && (st.role != standby || st.second.owner != n.name) {
					s = &node{}
				}
			}
			if s == nil || s.alive && s.life == c.ackLife[fmt.Sprint(topic, "/", t.own.epoch, "/", held)] && !s.holds(topic, e) {
				c.fail("I1: %s shows %v (%s) of %s and its standby %q lacks it", n.name, e.Position, called(e), topic, held)
			}
		}
		if _, known := first[called(e)]; !known {
			first[called(e)] = holders
			sub(c.event, topic)[called(e)] = e
			lives := make([]int, len(holders))
			for i, h := range holders {
				lives[i] = h.life
			}
			sub(c.lives, topic)[called(e)] = lives
		}
	}
}

// formerly notes that what stands at a place also stood at another.
func (c *checker) formerly(topic string, at, former Position) {
	e, known := sub(c.entries, topic)[at]
	if known && !slices.Contains(e.Former, former) {
		e.Former = append(slices.Clip(e.Former), former)
		sub(c.entries, topic)[at] = e
	}
}

func (c *checker) answered(n *node, topic string, e Entry, res Result) {
	key := called(e)
	switch res.Outcome {
	case Committed, Duplicate:
		c.acks++
		sub(c.acked, topic)[key] = true
		if _, shown := sub(c.first, topic)[key]; shown {
			return
		}
		for _, o := range c.w.nodes { // an owner that shows its own lost branch still commits without showing
			if t := o.topicOf(topic); t != nil && t.own != nil {
				l := t.target()
				if m, ok := l.memos[e.publication()]; ok && m.Seq <= l.visible {
					return
				}
				e.Sum = sum(e.ID, e.Body)
				if m, ok := l.memos[e.item()]; ok && e.Feed.Name != "" && m.Seq <= l.visible {
					return
				}
			}
		}
		c.fail("I1: %s acknowledges %s of %s, which nobody has committed", n.name, key, topic)
	case Timeout, Full:
	case Stale:
		if e.Feed.Name == "" {
			c.fail("%s answers %s of %s as if a feed had brought it", n.name, key, topic)
		}
	default:
		c.fail("%s answers %s of %s with %d", n.name, key, topic, res.Outcome)
	}
}

// killed is called before a relay dies: what it alone holds is lost, which only a chain of kills may bring about.
func (c *checker) killed(n *node) {
	c.died = c.w.now
	for topic, first := range c.first {
		if topic == theFeed { // cursors are not merged
			continue
		}
		for key, holders := range first {
			e := sub(c.event, topic)[key]
			if !n.holds(topic, e) {
				continue
			}
			elsewhere := false
			for _, o := range c.w.nodes {
				elsewhere = elsewhere || o != n && o.alive && o.holds(topic, e)
			}
			if elsewhere {
				continue
			}
			sub(c.gone, topic)[key]++
			if t := n.topicOf(topic); t.own != nil && t.own.alone {
				continue
			}
			for i, h := range holders {
				if h != n && h.alive && h.life == sub(c.lives, topic)[key][i] && !h.forgot[topic] && !c.forgotten(topic, key) {
					c.fail("%s held %s of %s when it was shown, lives, and dropped it; %s was the last to hold it", h.name, key, topic, n.name)
				}
			}
		}
	}
}
