package agree

import (
	"fmt"
	"slices"
	"time"
)

// ring is what a relay shows of one topic, and who reads it.
type ring struct {
	base    uint64
	entries []Entry
	whole   bool
	readers []*subscriber
	held    bool
}

func (g *ring) head() uint64 { return g.base + uint64(len(g.entries)) }

func (n *node) ring(topic string) *ring {
	g := n.rings[topic]
	if g == nil {
		g = &ring{}
		n.rings[topic] = g
	}
	return g
}

func (n *node) decide(d Decision) {
	switch d := d.(type) {
	case Show:
		g := n.ring(d.Topic)
		n.w.check.shown(n, d.Topic, d.Entries, d.Standby)
		if len(g.entries) == 0 && !g.held {
			g.base = d.Entries[0].Seq - 1
		}
		g.held = true
		for _, e := range d.Entries {
			if e.Seq != g.head()+1 {
				n.w.check.fail("%s shows %s %v after %d", n.name, d.Topic, e.Position, g.head())
			}
			g.entries = append(g.entries, e)
		}
	case Replace:
		g := n.ring(d.Topic)
		n.w.check.replaced++
		n.w.check.shown(n, d.Topic, d.Entries, n.r.topics[d.Topic].standbyName())
		g.base, g.entries, g.held = d.Base.Seq, d.Entries, true
		for _, s := range g.readers {
			if s.fresh {
				s.restart(g)
				continue
			}
			s.follow(d.Route(s.place), false)
		}
	case Merged:
		for _, s := range n.ring(d.Topic).readers {
			if s.lost != (Position{}) {
				s.follow(d.Route(s.place), false)
			}
		}
	case Charge:
		if d.Owner && n.member.Role == Edge {
			n.w.check.fail("%s owns %s and is an edge", n.name, d.Topic)
		}
		if d.Topic == theFeed {
			n.charged(d)
		}
	case Opened:
		g := n.ring(d.Topic)
		g.whole = true
		if !g.held {
			g.base, g.held = d.Head.Seq, true
		}
		for _, s := range n.w.subs {
			if s.node == n && s.topic == d.Topic && s.state == opening {
				s.opened()
			}
		}
	case Answer:
		if f := n.acks[d.Ticket]; f != nil {
			delete(n.acks, d.Ticket)
			f(d.Result)
		}
	case Resumed:
		if f := n.routes[d.Ticket]; f != nil {
			delete(n.routes, d.Ticket)
			f(d.Route)
		}
	case Forget:
		delete(n.rings, d.Topic)
		n.forgot[d.Topic] = true
		for _, s := range n.w.subs {
			if s.node == n && s.topic == d.Topic && s.state != idle {
				n.w.check.fail("%s forgot %s under a subscriber", n.name, d.Topic)
			}
		}
	case Notice:
		n.w.check.notices[d.Name]++
		n.w.logf("%s %s: %s %s", n.name, d.Topic, d.Name, d.Detail)
	}
}

// pump lets every subscriber read what its ring has.
func (n *node) pump() {
	for _, topic := range n.w.plan.topics { // in order: whoever reads may draw
		if g := n.rings[topic]; g != nil {
			for _, s := range g.readers {
				s.read(g)
			}
		}
	}
}

type clientState uint8

const (
	idle     clientState = iota
	opening              // the topic is not whole here yet
	resuming             // waits for a route
	reading
)

// subscriber is one client that goes on somewhere else when its stream ends. All that it remembers is the last id that it
// was sent; the rest is what the relay knows that serves it.
type subscriber struct {
	w     *world
	name  string
	topic string
	id    string // the client's Last-Event-ID

	node    *node
	state   clientState
	fresh   bool // has seen nothing: from=oldest
	place   Place
	cursor  uint64
	skip    []uint64
	lost    Position
	missing bool

	came time.Duration // when a relay last took it
	away time.Duration // the longest that it then waited for its stream to go on

	seen   []Entry  // transcript
	start  Position // just before the first event that it was promised
	gap    int      // index into seen where the last gap was told
	edges  []edge
	origin bool // id is one that the origin set
	// What was seen on another branch went with the event that id is of; an id that the origin set cannot tell.
	carried bool
}

// edge is an index into a transcript where a client went on without knowing all that it had seen.
type edge struct {
	at   int
	kind edgeKind
	id   string // that it came with
	was  Place
}

type edgeKind uint8

const (
	byOriginID edgeKind = iota // came with an id that the origin set
	forgot                     // came with such an id, and had crossed before: the id names one branch only
	crossed                    // came from a branch that this relay has not heard of
	turned                     // was routed, for whatever reason
	dropped                    // had seen three branches: a Place has room for two
)

func (s *subscriber) edge(kind edgeKind) {
	s.edges = append(s.edges, edge{len(s.seen), kind, s.id, s.place})
}

// between says whether a client passed an edge between two of its sightings.
func (s *subscriber) between(i, j int, kind edgeKind) bool {
	return slices.ContainsFunc(s.edges, func(e edge) bool {
		return e.kind == kind && i < e.at && e.at <= j && (kind != byOriginID || s.w.check.twofold(s.topic, e.id))
	})
}

// revisited says that a client came to a relay which showed a branch that it had seen merged into another, but had not heard
// of that: of the branch itself the client's place says nothing any more.
func (s *subscriber) revisited(i, j int, at Position) bool {
	return slices.ContainsFunc(s.edges, func(e edge) bool {
		return e.kind == crossed && i < e.at && e.at <= j && e.was.At.Epoch != at.Epoch && e.was.Lost.Epoch != at.Epoch
	})
}

func (s *subscriber) connect(n *node) {
	if !n.alive || n.paused || n.member.State == Draining {
		return
	}
	s.node, s.state, s.came = n, opening, s.w.now
	n.input(func() { n.r.Open(s.w.time(), s.topic, false) })
	if s.state == opening && s.node == n && n.ring(s.topic).whole {
		s.opened()
		n.drain()
	}
}

func (s *subscriber) opened() {
	n := s.node
	g := n.ring(s.topic)
	if s.fresh {
		s.restart(g)
		s.state = reading
		g.readers = append(g.readers, s)
		return
	}
	s.state = resuming
	n.ticket++
	life := n.life
	n.routes[n.ticket] = func(rt Route) {
		if s.node != n || n.life != life || s.state != resuming {
			return
		}
		s.state = reading
		s.away = max(s.away, s.w.now-s.came)
		g := n.ring(s.topic)
		g.readers = append(g.readers, s)
		s.follow(rt, true)
	}
	n.r.Resume(s.w.time(), s.topic, s.id, n.ticket)
}

// restart goes on from the oldest kept.
func (s *subscriber) restart(g *ring) {
	s.cursor, s.skip, s.lost, s.missing = g.base, nil, Position{}, false
	s.start = s.node.r.topics[s.topic].log.position(g.base)
	s.place, s.id, s.origin, s.carried = Place{At: s.start}, s.start.String(), false, false
}

// follow goes on as the relay says.
func (s *subscriber) follow(rt Route, came bool) {
	g := s.node.ring(s.topic)
	s.w.logf("%s at %s goes on from %q %v (%d seen): %+v", s.name, s.node.name, s.id, s.place, len(s.seen), rt)
	if l := s.node.r.topics[s.topic].log; s.w.trace != nil {
		s.w.logf("  log %v from %d to %d of %d, lost %v", l.spans, l.base, l.visible, l.head(), l.lost)
	}
	if rt.Found != Known || rt.After < g.base {
		s.w.check.gap(s, rt, came)
		s.w.logf("%s gap at %s", s.name, s.node.name)
		s.gap = len(s.seen)
		s.restart(g)
		return
	}
	l := s.node.r.topics[s.topic].log
	s.edge(turned)
	switch {
	case came && s.origin: // what it crossed before is forgotten, as is on which branch it saw the event
		s.edge(byOriginID)
		if s.carried {
			s.edge(forgot)
		}
		s.place = Place{At: l.position(rt.After)}
	case s.place.Lost != (Position{}) && rt.Lost != (Position{}) && rt.Lost != s.place.Lost && !l.has(s.place.Lost):
		s.edge(dropped)
	}
	if rt.Missing && (came || s.lost != (Position{})) {
		s.edge(crossed)
	}
	if s.w.mutate == forgetLost {
		rt.Lost, rt.Missing = Position{}, false
	}
	s.cursor, s.skip, s.lost, s.missing = rt.After, rt.Skip, rt.Lost, rt.Missing
}

func (s *subscriber) read(g *ring) {
	if s.cursor < g.base {
		s.w.check.fail("%s at %s: cursor %d below the ring %d", s.name, s.node.name, s.cursor, g.base)
		return
	}
	for s.cursor < g.head() {
		e := g.entries[s.cursor-g.base]
		s.cursor++
		skip := len(s.skip) > 0 && s.skip[0] == e.Seq
		if skip {
			s.skip = s.skip[1:]
		}
		if len(s.skip) == 0 && !s.missing {
			s.lost = Position{}
		}
		s.place = Place{At: e.Position, Lost: s.lost}
		if skip {
			continue // the client is sent nothing, so its id stays
		}
		s.fresh = false
		s.carried = s.lost != (Position{})
		s.seen = append(s.seen, e)
		if s.id, s.origin = e.ID, e.ID != ""; !s.origin {
			s.id = s.place.String()
		}
		if s.w.rng.IntN(400) == 0 && !s.w.healing { // the client moves, in the middle of whatever it was reading
			s.w.after(0, s.hop)
			return
		}
	}
}

func (s *subscriber) detach() {
	if s.node == nil {
		return
	}
	n := s.node
	s.node, s.state = nil, idle
	if g := n.rings[s.topic]; g != nil {
		g.readers = slices.DeleteFunc(g.readers, func(o *subscriber) bool { return o == s })
		busy := false
		for _, o := range s.w.subs {
			busy = busy || o.node == n && o.topic == s.topic
		}
		if n.alive && !busy {
			n.input(func() { n.r.Close(s.w.time(), s.topic, false) })
		}
	}
	s.w.after(s.w.between(50*time.Millisecond, 500*time.Millisecond), s.retry)
}

func (s *subscriber) retry() {
	if s.node != nil {
		return
	}
	s.connect(s.w.nodes[s.w.rng.IntN(len(s.w.nodes))])
	if s.node == nil {
		s.w.after(s.w.between(50*time.Millisecond, 300*time.Millisecond), s.retry)
	}
}

func (s *subscriber) hop() {
	s.detach() // and somewhere else soon
}

// publisher posts one event after the other and retries each under its key until it is acknowledged.
type publisher struct {
	w     *world
	id    int
	node  *node
	count int
	key   string
	topic string
	try   int
	stop  bool
	busy  bool
}

func (p *publisher) next() {
	if p.stop {
		return
	}
	p.count++
	p.key = fmt.Sprintf("p%d-%d", p.id, p.count)
	p.topic = p.w.plan.topics[p.w.rng.IntN(len(p.w.plan.topics))]
	p.busy = true
	p.post()
}

func (p *publisher) post() {
	p.try++
	try := p.try
	if p.node == nil || !p.node.alive || p.node.paused || p.node.member.State == Draining || p.w.rng.IntN(50) == 0 {
		p.node = p.w.nodes[p.w.rng.IntN(len(p.w.nodes))]
	}
	n := p.node
	if !n.alive || n.paused {
		p.w.after(100*time.Millisecond, func() {
			if p.try == try {
				p.post()
			}
		})
		return
	}
	n.ticket++
	key, topic := p.key, p.topic
	e := Entry{Key: key, Body: []byte(key)}
	if p.w.plan.ids && p.count%3 != 0 {
		e.ID = "id:" + key
	}
	n.acks[n.ticket] = func(res Result) {
		p.w.check.answered(n, topic, e, res)
		if p.try != try {
			return
		}
		if res.Outcome == Committed || res.Outcome == Duplicate {
			p.busy = false
			p.w.after(p.w.between(0, p.w.plan.think), p.next)
			return
		}
		p.w.check.refusals[res.Outcome]++
		p.w.after(p.w.between(20*time.Millisecond, 200*time.Millisecond), p.post)
	}
	ticket := n.ticket
	n.input(func() { n.r.Publish(p.w.time(), topic, e, ticket) })
	p.w.after(8*time.Second, func() { // a client's own patience
		if p.try == try && p.busy {
			p.post()
		}
	})
}

func (p *publisher) interrupted() {
	try := p.try
	p.w.after(100*time.Millisecond, func() {
		if p.try == try && p.busy {
			p.node = nil
			p.post()
		}
	})
}
