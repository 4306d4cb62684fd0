package main

import (
	"fmt"
	"slices"
	"testing"

	"freshet/cluster/agree"
	"freshet/cmd/freshet/config"
)

// scores is a feed of one topic at every relay.
func scores(o *feedOrigin) func(*config.Config) {
	return func(c *config.Config) { o.feed(c, config.Feed{Name: "scores", Topic: "match"}) }
}

// The relay that pulls a feed is killed: another goes on with it, where it had stopped.
func TestClusterFeedOwnerKilled(t *testing.T) {
	t.Parallel()
	o := newFeedOrigin(t, 200)
	s := newClusterStage(t, 3, scores(o))
	watchers := s.audience("match", s.members)
	watchers[0].awaitEvent("origin", 100)
	first := s.member(o.awaitPuller())
	o.mu.Lock()
	before, pulls := o.events, len(o.pulls)
	o.mu.Unlock()
	o.bar(first.name)
	first.kill()
	heir := s.member(o.awaitPuller(first.name))
	o.awaitMore(100, watchers)
	o.wantAll(o.rest(), watchers)
	o.wantResumed(heir.name, before-100) // 20 events between two records, and some patience
	if p := o.pullers(); !slices.Equal(p, []string{heir.name}) || o.most != 1 || len(o.pulls) != pulls+1 {
		t.Errorf("in the end %v pull, at most %d at once; connections: %+v", p, o.most, o.pulls)
	}
	if pulled, takeovers := heir.count("freshet_feeds_pulled"), heir.count("freshet_feed_takeovers_total"); pulled != 1 || takeovers != 1 {
		t.Errorf("%s counts %v feeds, %v takeovers", heir.name, pulled, takeovers)
	}
}

// In a partition each side pulls; when it has healed one relay does, and nobody has missed an event, or got it twice.
func TestClusterFeedPartition(t *testing.T) {
	t.Parallel()
	o, live := newFeedOrigin(t, 50), newFeedOrigin(t, 50)
	s := newClusterStage(t, 4, scores(o), ofOrigin(live))
	watchers, viewers := s.audience("match", s.members), s.audience("live/x", s.members)
	watchers[0].awaitEvent("origin", 30)
	live.awaitMore(1, viewers)
	first := s.member(o.awaitPuller())
	few := []*member{first, s.others(first)[0]}
	many := s.others(few...)
	s.net.Partition(names(few), names(many))
	eventually(t, "each side pulls", func() (string, bool) {
		p := o.pullers()
		return fmt.Sprint(p), len(p) == 2 && slices.Contains(names(few), p[0]) != slices.Contains(names(few), p[1])
	})
	o.awaitMore(50, watchers)
	live.awaitMore(10, viewers)
	if p := live.pullers(); len(p) != 2 {
		t.Errorf("%v pull the topic of a template", p)
	}
	s.net.Heal()
	s.awaitMembers(4)
	o.awaitPuller()
	live.awaitPuller()
	o.awaitMore(50, watchers)
	live.awaitMore(10, viewers)
	// The feed may heal before the topic: what the other side brought meanwhile comes with the topic, later.
	o.want(o.rest(), watchers, false)
	live.want(live.rest(), viewers, false)
	o.awaitPuller()
	live.awaitPuller()
	if o.most != 2 || live.most != 2 {
		t.Errorf("%d and %d pull at once", o.most, live.most)
	}
}

// A feed goes to a relay that joins and ranks before the others, and goes on elsewhere when that one leaves.
func TestClusterFeedMoves(t *testing.T) {
	t.Parallel()
	o := newFeedOrigin(t, 100)
	s := newClusterStage(t, 2, scores(o))
	watchers := s.audience("match", s.members)
	watchers[0].awaitEvent("origin", 50)
	first := o.awaitPuller()
	name := ""
	for i := 3; name == ""; i++ {
		members := []agree.Member{{Name: "r1", State: agree.Ready}, {Name: "r2", State: agree.Ready}, {Name: fmt.Sprint("r", i), State: agree.Ready}}
		if order := agree.Order(feedLog+"scores", members); order[0].Name == members[2].Name {
			name = members[2].Name
		}
	}
	newcomer := s.join(name, scores(o))
	o.awaitPuller(first)
	o.awaitMore(50, watchers)
	newcomer.leave()
	o.awaitPuller(name)
	o.awaitMore(50, watchers)
	o.wantAll(o.rest(), watchers)
	o.wantResumed(name, 20)
	if o.most > 2 {
		t.Errorf("%d pull at once", o.most)
	}
}

// The relay that pulls falls silent, and comes back when another has gone on: what it has pulled meanwhile is known.
func TestClusterFeedOwnerPaused(t *testing.T) {
	t.Parallel()
	o := newFeedOrigin(t, 100)
	s := newClusterStage(t, 3, scores(o))
	watchers := s.audience("match", s.members)
	o.awaitMore(50, watchers)
	first := s.member(o.awaitPuller())
	first.pause()
	eventually(t, "another pulls", func() (string, bool) {
		p := o.pullers()
		return fmt.Sprint(p), slices.ContainsFunc(p, func(name string) bool { return name != first.name })
	})
	others := s.elsewhere(watchers, first)
	o.awaitMore(100, others)
	first.resume()
	s.awaitMembers(3)
	o.awaitPuller()
	o.awaitMore(100, watchers)
	last := o.rest()
	o.wantAll(last, others)
	o.want(last, watchers, false)
}

// Of two feeds each is pulled once, also that of many topics, and killing a relay moves what it pulled. Nobody subscribes to
// those topics yet: only their owners know what was brought, and drop what the origin repeats.
func TestClusterFeedTwo(t *testing.T) {
	t.Parallel()
	one := newFeedOrigin(t, 50)
	many := newFeedOrigin(t, 100, "live/a", "live/b", "live/c", "live/d", "live/e")
	many.overlap = 100
	s := newClusterStage(t, 4, scores(one), func(c *config.Config) { many.feed(c, config.Feed{Prefix: "live/"}) })
	watchers := s.audience("match", s.members)
	one.awaitMore(20, watchers)
	dying := s.member(many.awaitPuller())
	one.awaitPuller()
	one.bar(dying.name)
	many.bar(dying.name)
	dying.kill()
	one.awaitPuller(dying.name)
	many.awaitPuller(dying.name)
	one.awaitMore(50, watchers)
	one.wantAll(one.rest(), watchers)
	last := many.rest()
	var live []*watcher
	for _, topic := range many.topics {
		live = append(live, s.audience(topic, s.running())...)
	}
	many.wantAll(last, live)
	s.wantCounted("freshet_feeds_pulled", 2)
}

// wantCounted wants a metric to be so much, all relays together.
func (s *clusterStage) wantCounted(metric string, want float64) {
	s.t.Helper()
	sum := 0.0
	for _, m := range s.running() {
		sum += m.count(metric)
	}
	if sum != want {
		s.t.Errorf("%s is %v over all relays, want %v", metric, sum, want)
	}
}
