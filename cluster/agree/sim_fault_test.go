package agree

import (
	"slices"
	"time"
)

func (w *world) fired(kind string) { w.faults[kind]++; w.logf("FAULT %s", kind) }

// fault does one thing that a cluster must survive.
func (w *world) fault() {
	if w.healing {
		return
	}
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	// Every other fault hits whoever owns a topic, or stands by for it.
	if w.rng.IntN(2) == 0 {
		topic := w.plan.topics[w.rng.IntN(len(w.plan.topics))]
		for _, o := range w.nodes {
			if t := o.topicOf(topic); t != nil && (t.role == owner || t.role == standby) {
				n = o
				if w.rng.IntN(2) == 0 {
					break
				}
			}
		}
	}
	kinds := []string{"kill", "kill", "pause", "pause", "slow", "drain", "blip"}
	if w.plan.split {
		kinds = append(kinds, "cut", "cut", "partition", "partition", "isolate")
	}
	kind := kinds[w.rng.IntN(len(kinds))]
	if !n.alive || n.paused {
		return
	}
	switch kind {
	case "kill":
		if w.living() < 2 {
			return
		}
		w.logf("kill %s", n.name)
		w.fired(kind)
		w.kill(n)
		life := n.life
		w.after(w.between(200*time.Millisecond, 6*time.Second), func() {
			if n.life == life {
				w.boot(n)
			}
		})
	case "pause":
		w.logf("pause %s", n.name)
		w.fired(kind)
		n.paused = true
		life := n.life
		w.after(w.between(300*time.Millisecond, 6*time.Second), func() {
			if n.life == life && n.paused {
				w.logf("wake %s", n.name)
				w.resume(n)
			}
		})
	case "slow":
		w.fired(kind)
		for _, e := range n.links {
			e.delay = w.between(10*time.Millisecond, 120*time.Millisecond)
		}
	case "drain":
		w.fired(kind)
		w.drain(n, w.between(3*time.Second, 5*time.Second), nil)
	case "blip": // connections break, and nothing else
		w.fired(kind)
		for i := range n.links {
			if w.nodes[i] != n {
				w.count++
				n.links[i].conn = -int(w.count)
			}
		}
	case "cut":
		o := w.nodes[w.rng.IntN(len(w.nodes))]
		if o == n {
			return
		}
		w.fired(kind)
		both := w.rng.IntN(2) == 0
		w.logf("cut %s>%s both=%v", n.name, o.name, both)
		w.cutFor(w.between(500*time.Millisecond, 6*time.Second), func(a, b *node) bool { return a == n && b == o || both && a == o && b == n })
	case "partition":
		w.fired(kind)
		side := map[*node]bool{}
		for _, o := range w.nodes {
			side[o] = w.rng.IntN(2) == 0
		}
		w.logf("partition %v", func() (l []string) {
			for o, s := range side {
				if s {
					l = append(l, o.name)
				}
			}
			slices.Sort(l)
			return
		}())
		w.cutFor(w.between(500*time.Millisecond, 8*time.Second), func(a, b *node) bool { return side[a] != side[b] })
	case "isolate": // nothing that it sends arrives
		w.fired(kind)
		w.logf("isolate %s", n.name)
		w.cutFor(w.between(500*time.Millisecond, 6*time.Second), func(a, b *node) bool { return a == n })
	}
}

// drain makes a relay leave: it says so, lets its clients go, and ends when its topics have moved or the time is up. Then it
// comes back.
func (w *world) drain(n *node, within time.Duration, then func()) {
	w.logf("drain %s", n.name)
	n.member.State = Draining
	n.drains++
	life, drains := n.life, n.drains
	for _, s := range w.subs {
		if s.node == n {
			w.after(w.between(0, 2*time.Second), func() {
				if s.node == n && n.life == life {
					s.detach()
				}
			})
		}
	}
	end := w.now + within
	var leave func()
	leave = func() {
		if n.life != life || !n.alive || n.drains != drains {
			return
		}
		if w.now < end && (then == nil || n.r.Busy() > 0 || w.serves(n)) {
			w.after(100*time.Millisecond, leave)
			return
		}
		w.logf("drained %s, busy with %d", n.name, n.r.Busy())
		w.kill(n)
		life := n.life
		w.after(w.between(200*time.Millisecond, 3*time.Second), func() {
			if n.life == life {
				w.boot(n)
				if then != nil {
					w.after(1500*time.Millisecond, then)
				}
			}
		})
	}
	leave()
}

func (w *world) serves(n *node) bool {
	return slices.ContainsFunc(w.subs, func(s *subscriber) bool { return s.node == n }) ||
		slices.ContainsFunc(w.pubs, func(p *publisher) bool { return p.node == n && p.busy })
}

// roll restarts one relay after the other.
func (w *world) roll(i int) {
	if i == len(w.nodes) || w.healing {
		return
	}
	w.fired("roll")
	w.drain(w.nodes[i], 10*time.Second, func() { w.roll(i + 1) })
}

func (w *world) cutFor(d time.Duration, which func(a, b *node) bool) {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a != b && which(a, b) {
				w.setCut(a, b, true)
			}
		}
	}
	w.after(d, func() {
		w.logf("cut ends")
		for _, a := range w.nodes {
			for _, b := range w.nodes {
				if a != b && which(a, b) {
					w.setCut(a, b, false)
				}
			}
		}
	})
}

func (w *world) heal() {
	w.logf("HEAL")
	w.healing = true
	for _, n := range w.nodes {
		for _, o := range w.nodes {
			if o != n {
				w.setCut(n, o, false)
			}
		}
		switch {
		case n.gone:
		case !n.alive:
			w.boot(n)
		case n.paused:
			w.resume(n)
		}
		if n.member.State == Draining {
			n.drains++ // its end is called off
			n.member.State = Ready
		}
	}
}

func (w *world) living() int {
	k := 0
	for _, n := range w.nodes {
		if n.alive {
			k++
		}
	}
	return k
}
