package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"freshet/cluster/agree"
	"freshet/cmd/freshet/config"
)

// An edge joins in the middle. Who comes to it goes on after an id from long before it joined.
func TestClusterStoryEdgeJoins(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 2)
	early := watch(t, "early", "match", manners[0], s.members[0].at)
	posters := []*poster{post(t, "p1", "match", 200, 0, s.members[1].first)}
	posters[0].awaitAcked(100)
	early.awaitEvent("p1", 100)
	edge := s.join("edge", func(c *config.Config) { c.Cluster.Role = "edge" })
	watchers := []*watcher{early}
	for i, how := range manners {
		from := early.nth(20 * i)
		watchers = append(watchers, watch(t, "edge/"+how.name, "match", how, edge.at, func(w *watcher) {
			w.lastID, w.saw = from.id, early.eventsTo(from)
		}))
	}
	watchers = append(watchers, watch(t, "edge/oldest", "match", manners[3], edge.at))
	for _, w := range watchers {
		w.awaitLive()
	}
	awaitMore(50, posters[0])
	conclude(t, posters, watchers).inOrder().oneOrder().tell()
	if status, _ := edge.topic("match"); status.Role != "follower" || status.Parent == "" {
		t.Errorf("the edge is %+v", status)
	}
}

// Clients come and go between the relays, each time elsewhere, with the last id they saw.
func TestClusterStoryHopping(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 3)
	posters := []*poster{
		post(t, "p1", "match", 100, 0, s.members[0].first),
		post(t, "p2", "match", 100, 0, s.members[1].first),
	}
	posters[0].awaitAcked(1)
	watchers := s.hoppers("match", s.anywhere)
	for _, w := range watchers {
		w.await("ten streams", patience, func() bool { return w.opened >= 10 })
	}
	conclude(t, posters, watchers).inOrder().oneOrder().tell()
}

// hoppers are subscribers that are nowhere for long, one of each manner.
func (s *clusterStage) hoppers(topic string, where func() string) (list []*watcher) {
	for i, how := range manners {
		list = append(list, watch(s.t, "hopper/"+how.name, topic, how, where, func(w *watcher) {
			w.hop = time.Duration(120+70*i) * time.Millisecond
		}))
	}
	return list
}

// Five relays are restarted one after the other, under load: nothing is lost or doubled, and nobody is without a stream
// for longer than the retry it was told and a second.
func TestClusterStoryRollingRestart(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 5, func(c *config.Config) { c.Drain = time.Second })
	watchers := s.audience("match", s.members)
	posters := []*poster{
		post(t, "p1", "match", 100, 0, func(int) string { return s.anywhere() }),
		post(t, "p2", "match", 100, 0, func(int) string { return s.anywhere() }),
	}
	posters[0].awaitAcked(50)
	late := newLateness(t)
	for _, m := range s.members {
		m.leave()
		m.restart()
		s.awaitMembers(5)
		awaitMore(20, posters[0])
	}
	slack := time.Second + late.most()
	conclude(t, posters, watchers).inOrder().oneOrder().tell()
	sent := 0
	var longest outage
	for _, w := range watchers {
		sent += len(w.outages)
		for _, o := range w.outages {
			if o.took > o.retry+slack {
				t.Errorf("%s was without a stream for %v, and told to wait %v, between %s and %s%s", w.name, o.took, o.retry, o.from, o.to, o.detail)
			}
			if o.took > longest.took {
				longest = o
			}
		}
	}
	if sent < len(watchers) {
		t.Errorf("%d of %d subscribers were sent away", sent, len(watchers))
	}
	t.Logf("subscribers were sent away %d times; the longest was %v without a stream, of which it was told to wait %v", sent, longest.took, longest.retry)
}

// lateness is by how much this machine, which has other things to do, wakes who sleeps too late.
type lateness struct {
	mu    sync.Mutex
	worst time.Duration
}

func newLateness(t *testing.T) *lateness {
	l := &lateness{}
	const every = 10 * time.Millisecond
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			now := time.Now()
			l.mu.Lock()
			l.worst = max(l.worst, now.Sub(last)-every)
			l.mu.Unlock()
			last = now
		}
	}()
	t.Cleanup(func() {
		close(over)
		<-done
	})
	return l
}

func (l *lateness) most() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.worst
}

// A relay joins three that have a hundred topics, and gets its share, under publishers and subscribers of each.
func TestClusterStoryTopicsMove(t *testing.T) {
	t.Parallel()
	const topics = 100
	s := newClusterStage(t, 3)
	watchers, posters := map[string]*watcher{}, map[string]*poster{}
	for i := range topics {
		topic := fmt.Sprint("match/", i)
		posters[topic] = post(t, "p", topic, 4, 0, s.members[i%3].first)
	}
	for topic, p := range posters {
		p.awaitAcked(1)
		watchers[topic] = watch(t, topic, topic, manners[2], s.anywhere)
	}
	for _, w := range watchers {
		w.awaitLive()
	}
	s.join("r4")
	s.awaitMembers(4)
	view := make([]agree.Member, len(s.members))
	for i, m := range s.members {
		view[i] = agree.Member{Name: m.name, State: agree.Ready}
	}
	wanted := 0
	for topic := range posters {
		if agree.Order(topic, view)[0].Name == "r4" {
			wanted++
		}
	}
	eventually(t, fmt.Sprintf("r4 owns %d topics", wanted), func() (string, bool) {
		owned := s.member("r4").counts().Owned
		return fmt.Sprint(owned), owned == wanted
	})
	moved := s.member("r4").changes("move")
	if int(moved) < wanted || wanted < topics/10 {
		t.Errorf("%v topics were moved, and %d should", moved, wanted)
	}
	all := slices.Collect(maps.Values(posters))
	awaitMore(1, all...)
	for _, p := range all {
		p.change(func() { p.stopped = true })
	}
	for topic, p := range posters {
		conclude(t, []*poster{p}, []*watcher{watchers[topic]}).inOrder()
	}
	t.Logf("%v topics were moved, the slowest acknowledgement took %v", moved, slowestOf(posters))
}

func slowestOf(posters map[string]*poster) (took time.Duration) {
	for _, p := range posters {
		took = max(took, p.slowest().took)
	}
	return took
}
