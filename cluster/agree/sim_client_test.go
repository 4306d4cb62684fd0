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
				s.cursor = g.base
				continue
			}
			s.follow(d.Route(s.place), false)
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
	for _, g := range n.rings {
		for _, s := range g.readers {
			s.read(g)
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

// subscriber is one client that goes on somewhere else when its stream ends.
type subscriber struct {
	w      *world
	name   string
	topic  string
	node   *node
	state  clientState
	fresh  bool // has seen nothing: from=oldest
	place  Place
	cursor uint64
	skip   []uint64
	lost   Position
	seen   []Entry // transcript
	gaps   []int   // indexes into seen where a gap was told
	hopped []int   // indexes into seen where it came to another relay
	edgy   bool    // has hopped while there was a partition
}

func (s *subscriber) connect(n *node) {
	if !n.alive || n.paused || n.member.State == Draining {
		return
	}
	s.node, s.state = n, opening
	s.hopped = append(s.hopped, len(s.seen))
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
		s.cursor, s.skip, s.state = g.base, nil, reading
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
		g := n.ring(s.topic)
		g.readers = append(g.readers, s)
		s.follow(rt, true)
	}
	n.r.Resume(s.w.time(), s.topic, s.place.String(), n.ticket)
}

// follow goes on as the relay says.
func (s *subscriber) follow(rt Route, came bool) {
	g := s.node.ring(s.topic)
	s.w.logf("%s at %s goes on from %v (%d seen) after %d skip %v found %d missing %v", s.name, s.node.name, s.place, len(s.seen), rt.After, rt.Skip, rt.Found, rt.Missing)
	// What it saw on a branch that nobody here has heard of may still come: repeats, never losses.
	if rt.Missing && s.w.plan.small { // what was evicted on the lost branch, and still lives elsewhere, may come again
		s.edgy = true
	}
	if came && (rt.Missing && s.w.now-s.w.stirred < 3*time.Second || s.w.now-s.w.parting < 3*time.Second) {
		s.edgy = true
	}
	if rt.Found != Known || rt.After < g.base {
		s.gaps = append(s.gaps, len(s.seen))
		s.w.check.gap(s)
		s.w.logf("%s gap at %s: %v", s.name, s.node.name, s.place)
		s.cursor, s.skip, s.lost = g.base, nil, Position{}
		return
	}
	if len(rt.Skip) > 0 {
		if s.place.Lost == (Position{}) {
			s.lost = s.place.At
		} else {
			s.lost = s.place.Lost
		}
	} else {
		s.lost = Position{}
	}
	s.cursor, s.skip = rt.After, rt.Skip
}

func (s *subscriber) read(g *ring) {
	if s.cursor < g.base {
		s.w.check.fail("%s at %s: cursor %d below the ring %d", s.name, s.node.name, s.cursor, g.base)
		return
	}
	for s.cursor < g.head() {
		e := g.entries[s.cursor-g.base]
		s.cursor++
		if len(s.skip) > 0 && s.skip[0] == e.Seq {
			s.skip = s.skip[1:]
			s.place = Place{At: e.Position, Lost: s.lost}
			if len(s.skip) == 0 {
				s.place.Lost, s.lost = Position{}, Position{}
			}
			continue
		}
		s.fresh = false
		s.seen = append(s.seen, e)
		s.place = Place{At: e.Position, Lost: s.lost}
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
	if p.node == nil || !p.node.alive || p.node.paused || p.w.rng.IntN(50) == 0 {
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
	n.acks[n.ticket] = func(res Result) {
		p.w.check.answered(n, topic, key, res)
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
	n.input(func() { n.r.Publish(p.w.time(), topic, Entry{Key: key, Body: []byte(key)}, ticket) })
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
