package cluster

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"freshet/cluster/agree"
	"freshet/ringbuf"
)

var benchBody = []byte("event: trade\ndata: {\"symbol\":\"ACME\",\"side\":\"sell\",\"price\":189.42,\"size\":120,\"n\":48213,\"at\":1795244400}\n")

// mutedRings shows nothing to anybody.
type mutedRings struct{}

func (mutedRings) Show(string, []agree.Entry)    {}
func (mutedRings) Replace(agree.Replace)         {}
func (mutedRings) Merged(agree.Merged)           {}
func (mutedRings) Opened(string, agree.Position) {}
func (mutedRings) Forget(string)                 {}

func (c *testCluster) commit(r *relay, topic string) {
	if _, _, _, err := r.Commit(c.t.Context(), topic, "", 0, []ringbuf.Entry{{Body: benchBody}}); err != nil {
		c.t.Fatal(err)
	}
}

// settle publishes until the topic is where it stays.
func (c *testCluster) settle(topic string) {
	for since := time.Now(); time.Since(since) < time.Second; {
		began := time.Now()
		c.commit(c.relays[0], topic)
		if time.Since(began) > 100*time.Millisecond {
			since = time.Now()
		}
	}
}

func median[T cmp.Ordered](of []T) T {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkPublish is the time until a publish is acknowledged, one after the other, over TLS on loopback: by a relay that
// is alone; by an owner that has a standby; and by a third relay, which forwards. Then the same with 64 at a time.
func BenchmarkPublish(b *testing.B) {
	for _, together := range []int{1, 64} {
		var alone float64
		for _, kind := range []string{"alone", "standby", "forwarded"} {
			b.Run(fmt.Sprintf("together=%d/%s", together, kind), func(b *testing.B) {
				relays := 3
				if kind == "alone" {
					relays = 1
				}
				c := newCluster(b, nil, relays)
				c.settle("t")
				at := c.owner("t")
				if kind == "forwarded" {
					s, _, err := at.Topic(b.Context(), "t")
					if err != nil {
						b.Fatal(err)
					}
					at = c.relays[slices.IndexFunc(c.relays, func(r *relay) bool { return r != at && r.Name != s.Standby })]
				}
				var each []float64
				if together == 1 {
					for b.Loop() {
						began := time.Now()
						c.commit(at, "t")
						each = append(each, float64(time.Since(began).Nanoseconds())/1e3)
					}
				} else {
					for b.Loop() {
						began := time.Now()
						var all sync.WaitGroup
						for range together {
							all.Go(func() {
								for range 16 {
									c.commit(at, "t")
								}
							})
						}
						all.Wait()
						each = append(each, float64(time.Since(began).Nanoseconds())/1e3/float64(16*together))
					}
				}
				us := median(each)
				if kind == "alone" {
					alone = us
				}
				b.ReportMetric(us, "us/ack")
				b.ReportMetric(us/alone, "x-alone")
			})
		}
	}
}

// stopwatch notes when events become visible.
type stopwatch struct {
	mutedRings
	mu     sync.Mutex // guards what follows
	at     map[uint64]time.Time
	opened chan struct{} // capacity 1
	shown  chan struct{} // capacity 1
}

func (s *stopwatch) Show(_ string, entries []agree.Entry) {
	now := time.Now()
	s.mu.Lock()
	for _, e := range entries {
		s.at[e.Seq] = now
	}
	s.mu.Unlock()
	select {
	case s.shown <- struct{}{}:
	default:
	}
}

func (s *stopwatch) Opened(string, agree.Position) {
	select {
	case s.opened <- struct{}{}:
	default:
	}
}

func (s *stopwatch) time(seq uint64) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.at[seq]
	return at, ok
}

// BenchmarkDelivery is the time from when an event is visible at its owner until it is at relays one and two links away:
// six relays in two regions, one of which has a parent of its own, on loopback.
func BenchmarkDelivery(b *testing.B) {
	c := newCluster(b, nil, 0)
	watches := map[string]*stopwatch{}
	for i := range 6 {
		c.add(fmt.Sprint("r", i), func(n *Node) {
			w := &stopwatch{at: map[uint64]time.Time{}, opened: make(chan struct{}, 1), shown: make(chan struct{}, 1)}
			n.Rings, watches[n.Name], n.Region = w, w, [...]string{"eu", "us"}[i%2]
		})
	}
	for _, r := range c.relays {
		r.waitMembers(b, 6)
		r.Open("t")
		<-watches[r.Name].opened
	}
	c.settle("t")
	owner := c.owner("t")
	hop := map[string]int{}
	count := [3]int{}
	for _, r := range c.relays {
		s, _, err := r.Topic(b.Context(), "t")
		if err != nil {
			b.Fatal(err)
		}
		switch {
		case r == owner:
		case s.Role == "standby" || s.Parent == owner.Name:
			hop[r.Name] = 1
		default:
			hop[r.Name] = 2
		}
		count[hop[r.Name]]++
	}
	if count[1] == 0 || count[2] == 0 {
		b.Fatalf("relays by links away: %v", count)
	}
	var delays [3][]float64
	for b.Loop() {
		c.commit(owner, "t")
		s, _, err := owner.Topic(b.Context(), "t")
		if err != nil {
			b.Fatal(err)
		}
		head, err := ringbuf.ParsePosition(s.Head)
		if err != nil {
			b.Fatal(err)
		}
		from, _ := watches[owner.Name].time(head.Seq)
		for name, n := range hop {
			at, ok := watches[name].time(head.Seq)
			for ; !ok; at, ok = watches[name].time(head.Seq) {
				<-watches[name].shown
			}
			if n > 0 {
				delays[n] = append(delays[n], float64(at.Sub(from).Nanoseconds())/1e3)
			}
		}
	}
	one, two := median(delays[1]), median(delays[2])
	b.ReportMetric(one, "us/one-link")
	b.ReportMetric(delays[1][len(delays[1])*99/100], "us/one-link-p99")
	b.ReportMetric(two, "us/two-links")
	b.ReportMetric(delays[2][len(delays[2])*99/100], "us/two-links-p99")
	b.ReportMetric(two/one, "two-x-one")
}

// BenchmarkTopicMemory is what an idle topic of one event holds, by what a relay is to it: 10,000 topics on one, two and
// three relays, of which the third follows them all. Rings, which hold the same bytes for subscribers, are not in it.
func BenchmarkTopicMemory(b *testing.B) {
	const topics = 10_000
	for range b.N {
		c := newCluster(b, nil, 0)
		var per []float64
		before := heap()
		for relays, what := range []string{"owner", "standby", "follower"} {
			r := c.add(fmt.Sprint("r", relays), func(n *Node) { n.Rings = mutedRings{} })
			for _, r := range c.relays {
				r.waitMembers(b, relays+1)
			}
			empty := heap()
			if relays == 0 {
				before = empty
				var all sync.WaitGroup
				for k := range 16 {
					all.Go(func() {
						for i := k; i < topics; i += 16 {
							c.commit(r, fmt.Sprint("topic/", i))
						}
					})
				}
				all.Wait()
			}
			if what == "follower" {
				for i := range topics {
					r.Open(fmt.Sprint("topic/", i))
				}
			}
			settled := func() bool {
				var sum agree.Counts
				for _, r := range c.relays {
					s, err := r.Status(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					sum.Topics += s.Topics.Topics
					sum.Owned += s.Topics.Owned
					sum.Standby += s.Topics.Standby
					sum.Unsafe += s.Topics.Unsafe
				}
				return sum.Topics >= topics*(relays+1) && sum.Owned == topics && sum.Unsafe == 0 && (relays == 0 || sum.Standby == topics)
			}
			for deadline := time.Now().Add(2 * time.Minute); !settled(); time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					b.Fatalf("%s: not settled", what)
				}
			}
			total := heap()
			per = append(per, float64(total-before)/topics)
			before = total
		}
		b.ReportMetric(per[0], "owner-B/topic")
		b.ReportMetric(per[1], "standby-B/topic")
		b.ReportMetric(per[2], "follower-B/topic")
		b.ReportMetric(float64(len(benchBody)), "event-B")
		for _, r := range c.relays {
			r.stop()
		}
	}
}

// BenchmarkView is what one relay's coming or going costs each other one in the protocol's goroutine, by how many relays
// there are in ten regions: for each of 10,000 topics that it follows, and then for each that must be placed anew: to know
// who is first in order, as a follower does, and all of the order, as an owner does.
func BenchmarkView(b *testing.B) {
	const topics = 10_000
	var first float64
	for _, relays := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint("relays=", relays), func(b *testing.B) {
			now := time.Unix(1_790_000_000, 0)
			r := agree.New(agree.Config{Name: "r0", Nonce: 1})
			var members []agree.Member
			for i := range relays {
				members = append(members, agree.Member{Name: fmt.Sprint("r", i), Region: fmt.Sprint("region", i%10), State: agree.Ready})
			}
			r.View(now, members)
			for _, m := range members[1:] {
				r.LinkUp(now, m.Name)
			}
			for i := range topics {
				r.Open(now, fmt.Sprint("topic/", i), false)
			}
			r.Take()
			last := &members[relays-1]
			for b.Loop() {
				if last.State++; last.State > agree.Draining {
					last.State = agree.Ready
				}
				now = now.Add(time.Millisecond)
				r.View(now, members)
				r.Take()
			}
			ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / topics
			if relays == 10 {
				first = ns
			}
			b.ReportMetric(ns, "ns/topic")
			b.ReportMetric(ns/first, "x-ten-relays")
			for what, place := range map[string]func(string){
				"us/first": func(topic string) { agree.First(topic, members) },
				"us/order": func(topic string) { agree.Order(topic, members) },
			} {
				best := time.Hour // of many, since the machine is shared
				for i := range 50 {
					began := time.Now()
					for j := range 20 {
						place(fmt.Sprint("topic/", 20*i+j))
					}
					best = min(best, time.Since(began))
				}
				b.ReportMetric(float64(best.Nanoseconds())/20/1e3, what)
			}
		})
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
