package agree

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// A world is a whole cluster in virtual time: relays, a network between them, gossip, clients. One seed, one run.
type world struct {
	seed    uint64
	rng     *rand.Rand
	now     time.Duration
	queue   eventQueue
	count   uint64
	nodes   []*node
	plan    plan
	mutate  mutation
	pubs    []*publisher
	subs    []*subscriber
	origin  *originServer // nil: no feed
	check   *checker
	trace   func(format string, args ...any)
	faults  map[string]int // kinds that fired
	healing bool           // no more faults
}

var epochStart = time.Unix(1_700_000_000, 0)

func (w *world) time() time.Time { return epochStart.Add(w.now) }

type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

func (w *world) after(d time.Duration, do func()) {
	w.count++
	heap.Push(&w.queue, event{w.now + d, w.count, do})
}

func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

func (w *world) runUntil(end time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= end && w.check.failure == "" {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
	if w.check.failure == "" {
		w.now = end
	}
}

// node is one relay process, with what its relay part would hold: a ring per topic and the subscribers on it.
type node struct {
	w      *world
	id     int
	name   string
	member Member
	alive  bool
	paused bool
	life   int // counts restarts
	drains int // counts drains and their end
	gone   bool
	r      *Relay
	wake   time.Duration
	inbox  []func() // while paused
	rings  map[string]*ring
	forgot map[string]bool // topics that it once dropped, because nobody wanted them there
	acks   map[uint64]func(Result)
	routes map[uint64]func(Route)
	ticket uint64
	pull   *puller // while this relay owns the feed
	links  []*end  // by peer id
	heard  []*gossip
}

// end is one side of the connection to a peer.
type end struct {
	conn     int // number of the connection this side has; 0 none
	up       bool
	deadSaid bool
	lost     time.Duration // since when there is none
	heard    time.Duration
	cut      bool          // what this side sends does not arrive
	delay    time.Duration // of what this side sends
	last     time.Duration // delivery of the last message: the order is kept
	apart    time.Duration // when the two could last not talk
	held     []func()      // sent into a cut: it arrives if the connection outlives that
}

// gossip is what an observer believes of a subject.
type gossip struct {
	member Member
	here   bool
	change time.Duration // when belief will follow the facts; 0: they agree
}

func (n *node) input(do func()) {
	if !n.alive {
		return
	}
	if n.paused {
		n.inbox = append(n.inbox, do)
		return
	}
	n.w.check.bases(n, do)
	n.drain()
}

// drain carries out what the machine wants.
func (n *node) drain() {
	for {
		out := n.r.Take()
		if len(out.Messages)+len(out.Decisions) == 0 {
			break
		}
		for _, m := range out.Messages {
			n.w.check.sent(n, m)
			n.send(m.To, m.Message)
		}
		for _, d := range out.Decisions {
			n.decide(d)
		}
	}
	n.pump()
	if next := n.r.Next(); !next.IsZero() {
		at := max(next.Sub(epochStart), n.w.now)
		if n.wake == 0 || at < n.wake {
			n.wake = at
			life := n.life
			n.w.after(at-n.w.now, func() {
				if n.life != life || n.wake != at {
					return
				}
				n.wake = 0
				n.input(func() { n.r.Tick(n.w.time()) })
			})
		}
	}
}

func (n *node) send(to string, m Message) {
	peer := n.w.byName(to)
	if peer == nil || peer == n {
		return
	}
	e := n.links[peer.id]
	if !e.up {
		return
	}
	if m = n.w.mutated(n, peer, m); m == nil {
		return
	}
	conn := e.conn
	deliver := func() {
		back := peer.links[n.id]
		peer.input(func() {
			if back.up && back.conn == conn {
				back.heard = n.w.now
				peer.r.Receive(n.w.time(), n.name, m)
			}
		})
	}
	if e.cut {
		e.held = append(e.held, deliver)
		return
	}
	at := max(n.w.now+e.delay+n.w.between(0, e.delay), e.last)
	e.last = at
	n.w.after(at-n.w.now, deliver)
}

func (w *world) byName(name string) *node {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// beat is the network's and gossip's own life: pings, silence, redials, suspicion. Every 100 ms.
func (w *world) beat() {
	for i, a := range w.nodes {
		for j, b := range w.nodes {
			if i == j {
				continue
			}
			w.watch(a, b)
		}
	}
	for i, a := range w.nodes {
		for _, b := range w.nodes[i+1:] {
			w.dial(a, b)
		}
	}
	w.gossip()
	for i, a := range w.nodes {
		for j, b := range w.nodes {
			e, back := a.links[j], b.links[i]
			if i != j && !(w.runs(a) && w.runs(b) && e.up && back.up && e.conn == back.conn && !e.cut && !back.cut) {
				e.apart = w.now
			}
		}
	}
	w.after(100*time.Millisecond, w.beat)
}

// touch is for how long two relays have been able to talk.
func (w *world) touch(a, b *node) time.Duration {
	if a == b {
		return w.now
	}
	return w.now - a.links[b.id].apart
}

func (w *world) runs(n *node) bool { return n.alive && !n.paused }

// watch is a's side of its connection to b.
func (w *world) watch(a, b *node) {
	if !w.runs(a) {
		return
	}
	e, back := a.links[b.id], b.links[a.id]
	if e.up {
		if w.runs(b) && back.up && back.conn == e.conn && !back.cut {
			e.heard = w.now
		}
		reset := !b.alive || back.conn != e.conn || !back.up
		if reset && !back.cut && w.rng.IntN(2) == 0 || w.now-e.heard >= time.Second {
			e.up, e.lost, e.deadSaid, e.held = false, w.now, false, nil
		}
		return
	}
	if !e.deadSaid && w.now-e.lost >= 300*time.Millisecond {
		e.deadSaid = true
		a.input(func() { a.r.LinkDown(w.time(), b.name) })
	}
}

// dial connects two relays that have lost each other.
func (w *world) dial(a, b *node) {
	ea, eb := a.links[b.id], b.links[a.id]
	if !w.runs(a) || !w.runs(b) || ea.cut || eb.cut || ea.up && eb.up && ea.conn == eb.conn {
		return
	}
	if ea.up || eb.up { // one side has not noticed yet
		if w.rng.IntN(4) != 0 {
			return
		}
	}
	if w.rng.IntN(3) == 0 {
		return
	}
	w.count++
	conn := int(w.count)
	for _, e := range []*end{ea, eb} {
		e.conn, e.up, e.heard, e.held, e.last = conn, true, w.now, nil, w.now
	}
	a.input(func() { a.r.LinkUp(w.time(), b.name) })
	b.input(func() { b.r.LinkUp(w.time(), a.name) })
}

func (w *world) setCut(a, b *node, cut bool) {
	e := a.links[b.id]
	e.cut = cut
	if cut {
		return
	}
	held := e.held
	e.held = nil
	for _, d := range held {
		e.last = max(e.last, w.now+e.delay)
		w.after(e.last-w.now, d)
	}
}

// gossip moves each observer's belief towards the facts, with the delays of a failure detector.
func (w *world) gossip() {
	n := len(w.nodes)
	reach := make([]int, n) // components over links open both ways
	for i := range reach {
		reach[i] = -1
	}
	for i := range w.nodes {
		if reach[i] >= 0 || !w.runs(w.nodes[i]) {
			continue
		}
		stack := []int{i}
		reach[i] = i
		for len(stack) > 0 {
			x := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			for y := range w.nodes {
				if reach[y] < 0 && w.runs(w.nodes[y]) && !w.nodes[x].links[y].cut && !w.nodes[y].links[x].cut {
					reach[y] = i
					stack = append(stack, y)
				}
			}
		}
	}
	for i, a := range w.nodes {
		if !w.runs(a) {
			continue
		}
		changed := false
		for j, b := range w.nodes {
			g := a.heard[j]
			fact := i == j || w.runs(b) && reach[i] == reach[j]
			agree := fact == g.here && (!fact || b.member == g.member)
			switch {
			case i == j:
				if g.member != b.member || !g.here {
					g.member, g.here, changed = b.member, true, true
				}
			case agree:
				g.change = 0
			case g.change == 0:
				d := w.between(50*time.Millisecond, 600*time.Millisecond) // good news
				if !fact {
					d = w.between(1200*time.Millisecond, 3*time.Second) // suspicion
				}
				g.change = w.now + d
			case w.now >= g.change:
				g.change, g.here, changed = 0, fact, true
				if fact {
					g.member = b.member
				}
			}
		}
		if changed {
			a.input(func() { a.r.View(w.time(), a.members()) })
		}
	}
}

func (n *node) members() []Member {
	var list []Member
	for _, g := range n.heard {
		if g.here {
			list = append(list, g.member)
		}
	}
	return list
}

// boot starts a relay process with nothing in memory.
func (w *world) boot(n *node) {
	if n.gone {
		return
	}
	n.life++
	n.alive, n.paused, n.inbox, n.wake = true, false, nil, 0
	n.rings = map[string]*ring{}
	n.forgot = map[string]bool{}
	n.acks = map[uint64]func(Result){}
	n.routes = map[uint64]func(Route){}
	n.pull = nil
	n.member.State = Ready
	n.r = New(Config{
		Name: n.name, Nonce: uint16(n.id*1000 + n.life), Limits: w.plan.limits, Linger: 3 * time.Second,
		Patience: 5 * time.Second,
	})
	n.heard = nil
	for range w.nodes {
		n.heard = append(n.heard, &gossip{})
	}
	n.heard[n.id] = &gossip{member: n.member, here: true}
	for i := range w.nodes {
		e := n.links[i]
		e.up, e.conn, e.lost, e.deadSaid, e.held = false, 0, w.now, true, nil
	}
	if w.origin != nil {
		n.input(func() { n.r.Open(w.time(), theFeed, true) })
	}
	life := n.life
	// Ready comes a moment later: a relay says so after it has met the others.
	n.member.State = Starting
	n.heard[n.id].member = n.member
	n.r.View(w.time(), n.members())
	w.after(w.between(700*time.Millisecond, 1200*time.Millisecond), func() {
		if n.life == life && n.member.State == Starting {
			n.member.State = Ready
		}
	})
}

func (w *world) kill(n *node) {
	w.check.killed(n)
	n.alive = false
	n.life++
	n.inbox = nil
	for _, s := range w.subs {
		if s.node == n {
			s.detach()
		}
	}
	for _, p := range w.pubs {
		if p.node == n {
			p.interrupted()
		}
	}
}

func (w *world) resume(n *node) {
	n.paused = false
	inbox := n.inbox
	n.inbox = nil
	for _, do := range inbox {
		n.input(do)
	}
}
