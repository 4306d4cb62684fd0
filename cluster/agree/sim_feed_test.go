package agree

import (
	"fmt"
	"strconv"
	"time"
)

// theFeed is the feed's own topic: its entries are cursors, and its owner pulls.
const theFeed = "feed"

// originServer is what the feed pulls: a stream of events with ids, each for a topic.
type originServer struct {
	w       *world
	items   []item
	stop    bool
	closed  time.Duration // since when nobody reads it any more
	pulls   int
	repeats int // of what it had sent already
	stale   int // refusals of a former owner
	reached int // the furthest that anybody has passed
}

type item struct{ topic, id, body string }

func (o *originServer) next() {
	if o.stop {
		return
	}
	n := len(o.items)
	for _, r := range o.w.nodes {
		if r.alive && r.pull != nil && r.pull.next < n-30 { // slow links: let it catch up
			o.w.after(200*time.Millisecond, o.next)
			return
		}
	}
	it := item{topic: o.w.plan.topics[o.w.rng.IntN(len(o.w.plan.topics))], body: "f" + strconv.Itoa(n)}
	it.id = "id:" + it.body
	if n > 10 && o.w.rng.IntN(30) == 0 { // an old id under which something else comes
		it.id = o.items[n-1-o.w.rng.IntN(5)].id
	}
	o.items = append(o.items, it)
	o.w.after(o.w.between(0, 2*o.w.plan.think), o.next)
}

// puller is the relay that owns the feed, as it passes the origin's events to their topics, one after the other.
type puller struct {
	n    *node
	mark FeedMark
	next int  // item
	old  int  // items before this one are repeats
	lost bool // all who held a cursor were killed: it begins at the beginning
	key  string
	last time.Duration // when it passed one, or began
}

func (n *node) charged(d Charge) {
	n.pull = nil
	if !d.Owner {
		return
	}
	p := &puller{n: n, mark: FeedMark{Name: theFeed, Epoch: d.Epoch}}
	l := n.r.topics[theFeed].target()
	if e := l.entry(l.head()); e != nil {
		fmt.Sscanf(string(e.Body), "c%d", &p.next)
		p.next++
	} else {
		p.lost = n.w.origin.reached > 0
	}
	n.pull, p.last = p, n.w.now
	p.connect()
}

// connect begins a pull at the cursor; some origins repeat a few events that came before it.
func (p *puller) connect() {
	w := p.n.w
	p.mark.Pull++
	w.origin.pulls++
	if p.old = p.next; p.lost {
		p.old = max(p.old, w.origin.reached)
	}
	if w.rng.IntN(2) == 0 {
		k := min(w.rng.IntN(4), p.next)
		p.next -= k
		w.origin.repeats += k
	}
	w.logf("%s pulls from item %d as %x/%d", p.n.name, p.next, p.mark.Epoch, p.mark.Pull)
	p.fresh()
}

func (p *puller) fresh() {
	p.n.ticket++
	p.key = fmt.Sprintf("%s%s-%d-%d", GivenKey, p.n.name, p.n.life, p.n.ticket)
	mark := p.mark
	p.n.w.after(p.n.w.between(0, time.Millisecond), func() { p.pass(mark) })
}

// pass hands the next event to its topic's owner. The cursor follows when that has committed it.
func (p *puller) pass(mark FeedMark) {
	n, w := p.n, p.n.w
	if n.pull != p || p.mark != mark || w.origin.closed > 0 {
		return
	}
	if n.paused || p.next >= len(w.origin.items) {
		w.after(20*time.Millisecond, func() { p.pass(mark) })
		return
	}
	it := w.origin.items[p.next]
	e := Entry{Key: p.key, ID: it.id, Body: []byte(it.body), Feed: mark}
	if w.mutate == forgetEpoch { // it is taken for the newest pull, whoever passes it
		for _, o := range w.nodes {
			if t := o.topicOf(it.topic); t != nil && e.Feed.before(t.feeds[theFeed].mark) {
				e.Feed = t.feeds[theFeed].mark
			}
		}
	}
	n.ticket++
	ticket := n.ticket
	n.acks[ticket] = func(res Result) {
		w.check.answered(n, it.topic, e, res)
		if n.pull != p || p.mark != mark {
			return
		}
		switch res.Outcome {
		case Committed, Duplicate:
			if res.Outcome == Committed && p.next < p.old {
				for i := p.next + 1; i < p.old; i++ {
					w.check.unheard(w.origin.items[i])
				}
			}
			if p.next%w.plan.records == 0 {
				cursor := Entry{Key: p.key + "c", Body: []byte("c" + strconv.Itoa(p.next)), Feed: mark}
				n.ticket++
				at := n.ticket
				w.after(0, func() { n.input(func() { n.r.Publish(w.time(), theFeed, cursor, at) }) })
			}
			p.next++
			w.origin.reached = max(w.origin.reached, p.next)
			p.last = w.now
			if w.rng.IntN(60) == 0 {
				p.connect() // the origin hung up
			} else {
				p.fresh()
			}
		case Stale: // another pulls, or this relay is charged anew
			w.origin.stale++
		default: // it may be committed still: begin again at the cursor
			w.after(100*time.Millisecond, func() {
				if n.pull == p && p.mark == mark {
					p.connect()
				}
			})
		}
	}
	n.input(func() { n.r.Publish(w.time(), it.topic, e, ticket) })
}

// unheard notes what the origin repeats after an event that was new to the topic's log: no unbroken run of known ids.
func (c *checker) unheard(it item) { sub(c.strange, it.topic)[it.body] = true }

// feed checks at the end that what the origin sent has been passed on, all of it and once.
func (c *checker) feed() {
	o := c.w.origin
	if o == nil {
		return
	}
	pulling, passed := "", 0
	for _, n := range c.w.nodes {
		if t := n.topicOf(theFeed); t != nil && t.role == owner {
			if pulling != "" {
				c.fail("%s and %s both own the feed at the end", pulling, n.name)
			}
			if pulling = n.name; n.pull == nil {
				c.fail("%s owns the feed and does not pull it", n.name)
			} else if passed = n.pull.next; passed < len(o.items) && o.closed-n.pull.last > 2*time.Second { // else its links are slow
				c.fail("%s has passed %d of %d events of the feed", n.name, passed, len(o.items))
			}
		} else if n.alive && n.pull != nil {
			c.fail("%s pulls the feed and does not own it", n.name)
		}
	}
	for _, it := range o.items[:passed] {
		if _, shown := sub(c.first, it.topic)[it.body]; !shown {
			c.fail("%s of the feed was never shown", it.body)
		}
	}
}
