package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	chaosFor  = flag.Duration("chaos", 6*time.Second, "for how long chaos goes on; what is under way then is waited for")
	chaosSeed = flag.Uint64("seed", 0, "of the schedule of chaos; 0: drawn, and printed")
)

// TestChaos kills, stops and restarts processes, one at a time, under publishers and subscribers: what was acknowledged is
// there once, in one order, for everybody.
//
//	make chaos                      two minutes of it, here and between network namespaces
//	make chaos ARGS="-seed 7"       the same schedule again
func TestChaos(t *testing.T) {
	t.Parallel()
	addresses, err := freeLoopback(4 * chaosRelays)
	if err != nil {
		t.Fatal(err)
	}
	var join []string
	for i := range chaosRelays {
		join = append(join, addresses[4*i+2])
	}
	var relays []*chaosRelay
	for i := range chaosRelays {
		relays = append(relays, newChaosRelay(t, fmt.Sprint("r", i+1), [4]string(addresses[4*i:]), join))
	}
	newChaos(t, relays).run(killed, stopped, left)
}

const chaosRelays = 4

// chaos is relays that are ill-treated, their clients, and what there is to treat them ill with.
type chaos struct {
	t         *testing.T
	relays    []*chaosRelay
	partition func(from, to []*chaosRelay) // cuts one way; set where networks can be cut
	heal      func()
	topics    []string
	posters   map[string][]*poster // by topic
	watchers  map[string][]*watcher
	began     time.Time
	count     map[blowKind]int
}

func newChaos(t *testing.T, relays []*chaosRelay) *chaos {
	startAll(t, relays)
	c := &chaos{
		t: t, relays: relays, topics: []string{"match/1", "match/2"},
		posters: map[string][]*poster{}, watchers: map[string][]*watcher{}, count: map[blowKind]int{},
	}
	t.Cleanup(c.explain)
	c.awaitWhole()
	for i, topic := range c.topics {
		for k := range 2 {
			home := relays[(2*i+k)%len(relays)]
			name := fmt.Sprintf("p%d", k+1)
			c.posters[topic] = append(c.posters[topic], post(t, name, topic, 60, 0,
				func(int) string { return c.at(home) }, func(p *poster) { p.token = chaosToken }))
		}
		for k, r := range relays {
			for _, how := range []manner{manners[k%2], manners[2+k%2]} {
				c.watchers[topic] = append(c.watchers[topic], watch(t, topic+"@"+r.name+"/"+how.name, topic, how, func() string { return c.at(r) }))
			}
		}
	}
	return c
}

// explain says how things stand, when something went wrong.
func (c *chaos) explain() {
	if !c.t.Failed() {
		return
	}
	for _, topic := range c.topics {
		for _, r := range c.relays {
			status, ok := r.topic(topic)
			c.t.Logf("%s, %s: %v %+v", topic, r.name, ok, status)
		}
	}
}

// at is a relay, or another while it does not run.
func (c *chaos) at(home *chaosRelay) string {
	if home.up.Load() {
		return home.url
	}
	up := c.up()
	if len(up) == 0 {
		return home.url
	}
	return up[rand.IntN(len(up))].url
}

func (c *chaos) up() (list []*chaosRelay) {
	for _, r := range c.relays {
		if r.up.Load() {
			list = append(list, r)
		}
	}
	return list
}

// awaitWhole waits until all is as if nothing had happened: after that, anything may happen to one relay again.
func (c *chaos) awaitWhole() {
	c.t.Helper()
	var all []standing
	for _, r := range c.relays {
		r.awaitMembers(len(c.relays))
		all = append(all, r.standing)
	}
	for topic, watchers := range c.watchers {
		awaitOwner(c.t, topic, all)
		eventually(c.t, "all of "+topic+" is merged", func() (string, bool) {
			merging := 0
			for _, s := range all {
				status, _ := s.topic(topic)
				merging += status.Merging
			}
			return fmt.Sprint(merging, " events are not"), merging == 0
		})
		for _, w := range watchers {
			w.awaitLive()
		}
	}
}

// run lets a schedule happen, and then reads the transcripts.
func (c *chaos) run(kinds ...blowKind) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	defer func() {
		c.t.Logf("%v in %v; again: make chaos ARGS=\"-seed %d\"", c.count, time.Since(c.began).Round(time.Millisecond), seed)
	}()
	schedule := newChaosSchedule(seed, kinds...)
	c.began = time.Now()
	for _, topic := range c.topics {
		awaitMore(20, c.posters[topic]...)
	}
	for len(c.count) < len(kinds) || time.Since(c.began) < *chaosFor {
		b := schedule.next()
		if err := c.strike(b); err != nil {
			c.t.Fatalf("%v: %v", b, err)
		}
		c.count[b.kind]++
		c.awaitWhole()
		time.Sleep(b.rest) // a real one: processes do not run in a test's time
	}
	split := c.count[partitioned] > 0
	for _, topic := range c.topics {
		v := conclude(c.t, c.posters[topic], c.watchers[topic])
		if !split { // else each side has an order of its own while there are two
			v.inOrder().oneOrder()
		}
		all, again := v.acknowledged()
		c.t.Logf("%s: %d events acknowledged, %d of them at a repeat; %d subscribers; the slowest acknowledgement took %v",
			topic, all, again, len(v.watchers), slowestOf(map[string]*poster{"1": v.posters[0], "2": v.posters[1]}))
	}
}

// strike does what a blow says, and undoes it.
func (c *chaos) strike(b blow) error {
	switch b.kind {
	case partitioned, cutOff:
		return c.divide(b)
	}
	r := c.victim(b)
	c.t.Logf("%6.2fs %s, %v", time.Since(c.began).Seconds(), r.name, b)
	do, undo := r.kill, r.start
	switch b.kind {
	case stopped:
		do, undo = r.pause, r.resume
	case left:
		do = r.leave
	}
	if err := do(); err != nil {
		return err
	}
	time.Sleep(b.lasts)
	return undo()
}

// victim is the relay that a blow is meant for, by what it is to the first topic.
func (c *chaos) victim(b blow) *chaosRelay {
	var all []standing
	for _, r := range c.relays {
		all = append(all, r.standing)
	}
	owner, standby := awaitOwner(c.t, c.topics[0], all)
	var others []*chaosRelay
	for _, r := range c.relays {
		switch {
		case b.victim == "owner" && r.name == owner, b.victim == "standby" && r.name == standby:
			return r
		case r.name != owner && r.name != standby:
			others = append(others, r)
		}
	}
	return others[b.pick%uint64(len(others))]
}

// divide cuts the network between two groups, one way or both, and heals it.
func (c *chaos) divide(b blow) error {
	list := slices.Clone(c.relays)
	random := rand.New(rand.NewPCG(b.pick, 1))
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	n := 1 + random.IntN(len(list)-1)
	if b.kind == cutOff {
		list, n = list[:2], 1
	}
	c.t.Logf("%6.2fs %s | %s, %v", time.Since(c.began).Seconds(), namesOf(list[:n]), namesOf(list[n:]), b)
	c.partition(list[:n], list[n:])
	if b.kind == partitioned {
		c.partition(list[n:], list[:n])
	}
	defer c.heal()
	time.Sleep(b.lasts)
	if b.lasts < 2*time.Second { // short enough for nobody to notice
		return nil
	}
	eventually(c.t, "the cut is noticed", func() (string, bool) {
		seen := list[n].members()
		return fmt.Sprint(seen), seen["ready"] < len(c.relays)
	})
	return nil
}

func namesOf(list []*chaosRelay) string {
	var names []string
	for _, r := range list {
		names = append(names, r.name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
