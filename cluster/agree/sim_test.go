package agree

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run this one schedule and print what happens")
	simSeeds = flag.Int("sim.seeds", 500, "schedules to run")
	simFrom  = flag.Int("sim.from", 1, "the first of them")
)

// plan is what a seed decides before the first event.
type plan struct {
	nodes   int
	regions int
	topics  []string
	limits  Limits
	small   bool // the ring is smaller than the run
	split   bool // one-way cuts and partitions are among the faults
	ids     bool // most events have an id that the origin set
	feed    bool // an origin brings events too
	records int  // every so many of them the feed's cursor is recorded
	roll    bool // nothing but a rolling restart, in which nobody may notice anything
	think   time.Duration
	length  time.Duration
	faults  int
}

// mutation breaks the protocol on purpose.
type mutation string

func newWorld(seed uint64) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5eed)), faults: map[string]int{}}
	w.check = newChecker(w)
	w.plan = plan{
		nodes:   3 + w.rng.IntN(4),
		regions: 1 + w.rng.IntN(3),
		topics:  []string{"a", "b"}[:1+w.rng.IntN(2)],
		split:   w.rng.IntN(3) != 0,
		think:   []time.Duration{20, 60, 200}[w.rng.IntN(3)] * time.Millisecond,
		length:  w.between(6*time.Second, 14*time.Second),
		faults:  1 + w.rng.IntN(6),
	}
	if w.rng.IntN(6) == 0 {
		w.plan.small, w.plan.limits = true, Limits{Events: 20}
	}
	w.plan.ids = w.rng.IntN(3) == 0
	if w.plan.feed = w.rng.IntN(3) == 0; w.plan.feed {
		w.origin = &originServer{w: w}
		w.plan.records = []int{1, 4, 12, 1, 1}[seed%5]
	}
	if w.plan.roll = w.rng.IntN(12) == 0; w.plan.roll {
		w.plan.small, w.plan.split, w.plan.faults, w.plan.limits = false, false, 0, Limits{}
		w.plan.length = time.Duration(w.plan.nodes) * 6 * time.Second
	}
	roles := []Role{Any, Any, Any, Any, Any, Any}
	if w.plan.nodes > 3 {
		switch w.rng.IntN(5) {
		case 0:
			roles[w.plan.nodes-1] = Edge
		case 1: // hubs own, the others serve
			roles = []Role{Hub, Any, Hub, Edge, Any, Hub}
		}
	}
	for i := range w.plan.nodes {
		n := &node{w: w, id: i, name: fmt.Sprintf("r%d", i+1)}
		n.member = Member{Name: n.name, Region: fmt.Sprintf("reg%d", i%w.plan.regions), Role: roles[i]}
		w.nodes = append(w.nodes, n)
	}
	slow, far := w.rng.IntN(4) == 0, w.rng.IntN(3) == 0
	for _, n := range w.nodes {
		for _, o := range w.nodes {
			e := &end{delay: w.between(200*time.Microsecond, 5*time.Millisecond)}
			if slow && w.rng.IntN(3) == 0 {
				e.delay = w.between(20*time.Millisecond, 90*time.Millisecond)
			}
			if far && n.member.Region != o.member.Region {
				e.delay += w.between(30*time.Millisecond, 60*time.Millisecond)
			}
			n.links = append(n.links, e)
		}
	}
	for i := range 2 {
		w.pubs = append(w.pubs, &publisher{w: w, id: i + 1})
	}
	for i := range w.plan.nodes + 1 {
		topic := w.plan.topics[i%len(w.plan.topics)]
		w.subs = append(w.subs, &subscriber{w: w, name: fmt.Sprintf("s%d", i+1), topic: topic, fresh: true})
	}
	return w
}

func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		w.trace("%10v "+format, append([]any{w.now}, args...)...)
	}
}

// run plays the schedule: some quiet, faults, healing, quiet, verdict.
func (w *world) run() string {
	for _, n := range w.nodes {
		w.boot(n)
		n.member.State = Ready
	}
	w.after(0, w.beat)
	late := -1
	if w.plan.nodes > 3 && !w.plan.roll && w.rng.IntN(3) == 0 { // one joins later
		late = w.rng.IntN(w.plan.nodes)
		w.nodes[late].alive = false
		w.after(w.between(2*time.Second, w.plan.length), func() { w.fired("join"); w.boot(w.nodes[late]) })
	}
	for i, s := range w.subs {
		w.after(1500*time.Millisecond+time.Duration(i)*10*time.Millisecond, s.retry)
	}
	for _, p := range w.pubs {
		w.after(w.between(1500*time.Millisecond, 2*time.Second), p.next)
	}
	if w.plan.nodes > 3 && !w.plan.roll && w.rng.IntN(3) == 0 { // one leaves for good, without a word
		n := w.nodes[w.rng.IntN(w.plan.nodes)]
		w.after(w.between(2500*time.Millisecond, w.plan.length), func() {
			if n.alive && w.living() > 2 {
				w.logf("%s leaves for good", n.name)
				w.fired("leave")
				w.kill(n)
				n.gone = true
			}
		})
	}
	if w.origin != nil {
		w.after(1500*time.Millisecond, w.origin.next)
	}
	if w.plan.roll {
		w.after(3*time.Second, func() { w.roll(0) })
	}
	for range w.plan.faults {
		w.after(w.between(2500*time.Millisecond, 2500*time.Millisecond+w.plan.length), w.fault)
	}
	w.runUntil(2500*time.Millisecond + w.plan.length)
	w.heal()
	w.runUntil(w.now + 3*time.Second)
	for _, p := range w.pubs {
		p.stop = true
	}
	if w.origin != nil {
		w.origin.stop = true
	}
	w.runUntil(w.now + 6*time.Second)
	if w.origin != nil {
		w.origin.closed = w.now
	}
	w.runUntil(w.now + 2*time.Second)
	if w.check.failure == "" {
		w.check.final()
	}
	return w.check.failure
}

func (n *node) topicOf(name string) *topic {
	if !n.alive {
		return nil
	}
	return n.r.topics[name]
}

func (t *topic) standbyName() string {
	if t.own == nil {
		return ""
	}
	return t.own.standby
}

// TestSchedules runs many seeded schedules. A failing seed is printed; run it alone with -sim.seed.
func TestSchedules(t *testing.T) {
	if *simSeed != 0 {
		w := newWorld(*simSeed)
		w.trace = t.Logf
		t.Logf("plan %+v", w.plan)
		if f := w.run(); f != "" {
			t.Fatalf("seed %d: %s", *simSeed, f)
		}
		return
	}
	n := *simSeeds
	if testing.Short() {
		n /= 10
	}
	total := runSeeds(*simFrom, n, 5, "", func(seed uint64, f string) { t.Errorf("seed %d: %s", seed, f) })
	for _, kind := range []string{"kill", "pause", "slow", "drain", "blip", "cut", "partition", "isolate", "join", "leave", "roll"} {
		if total[kind] == 0 {
			t.Errorf("fault %q never fired", kind)
		}
	}
	t.Logf("%d schedules: %v", n, total)
}

// runSeeds plays schedules until enough have failed.
func runSeeds(from, n, enough int, m mutation, failed func(seed uint64, f string)) map[string]int {
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	var next, failures atomic.Int64
	next.Store(int64(from))
	var mu sync.Mutex
	total := map[string]int{}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				seed := next.Add(1) - 1
				if seed >= int64(from+n) || failures.Load() >= int64(enough) {
					return
				}
				w := newWorld(uint64(seed))
				w.mutate = m
				f := w.run()
				mu.Lock()
				for k, v := range w.faults {
					total[k] += v
				}
				for k, v := range w.check.notices {
					total["notice "+k] += v
				}
				for k, v := range w.check.repeats {
					total["repeat "+k] += v
				}
				if w.origin != nil {
					total["feed items"] += len(w.origin.items)
					total["feed pulls"] += w.origin.pulls
					total["feed repeats"] += w.origin.repeats
					total["feed stale"] += w.origin.stale
				}
				total["passed over"] += w.check.losses
				total["links within a region"] += w.check.links[false]
				total["links between regions"] += w.check.links[true]
				total["acks"] += w.check.acks
				total["gaps"] += w.check.gaps
				total["replaced"] += w.check.replaced
				if f != "" {
					failures.Add(1)
					failed(uint64(seed), f)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return total
}
