package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"freshet/cluster/agree"
	"freshet/cmd/freshet/config"
)

// ofOrigin is a template for topics below live/, at every relay.
func ofOrigin(o *feedOrigin) func(*config.Config) {
	return func(c *config.Config) {
		c.Topics.Linger = 500 * time.Millisecond
		o.feed(c, config.Feed{Template: o.server.URL + "/{topic}", Prefix: "live/", MissFor: 5 * time.Second, MissRate: 50, MaxPulls: 10})
	}
}

// ranked returns the members in the order in which they should own a topic.
func (s *clusterStage) ranked(topic string) (list []*member) {
	var members []agree.Member
	for _, m := range s.running() {
		members = append(members, agree.Member{Name: m.name, State: agree.Ready})
	}
	for _, m := range agree.Order(topic, members) {
		list = append(list, s.member(m.Name))
	}
	return list
}

// status is what a subscriber hears at a relay.
func (m *member) status(t *testing.T, topic string) int {
	t.Helper()
	resp, err := http.Get(m.url + "/events/" + topic)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// What the origin answers the owner decides for subscribers at every relay, and is remembered there.
func TestClusterTemplateAnswers(t *testing.T) {
	t.Parallel()
	o := newFeedOrigin(t, 1)
	o.refuses = true
	s := newClusterStage(t, 3, ofOrigin(o))
	for i, answer := range []int{404, 401, 204} {
		topic := fmt.Sprint("live/", answer)
		order := s.ranked(topic)
		slices.Reverse(order) // the owner last
		for range 2 {
			for _, m := range order {
				if got := m.status(t, topic); got != answer {
					t.Errorf("at %s a subscriber hears %d, the origin says %d", m.name, got, answer)
				}
			}
		}
		if len(o.pulls) != i+1 || o.pulls[i].relay != order[2].name {
			t.Errorf("the origin was asked by %+v, and %s owns", o.pulls, order[2].name)
		}
	}
	if got := s.members[0].status(t, "posted"); got != 200 {
		t.Errorf("a topic that is no template's is answered with %d", got)
	}
}

// The first subscriber comes with an id of the origin's, to whichever relay: what came after that is sent, and no gap.
func TestClusterTemplateResumes(t *testing.T) {
	t.Parallel()
	o := newFeedOrigin(t, 100)
	o.overlap = 0
	s := newClusterStage(t, 3, ofOrigin(o))
	eventually(t, "fifty events", func() (string, bool) {
		o.mu.Lock()
		defer o.mu.Unlock()
		return fmt.Sprint(o.events), o.events >= 50
	})
	for i := range s.members {
		topic := fmt.Sprint("live/", i)
		order := s.ranked(topic)
		m := order[i]
		w := watch(t, m.name+" of "+order[0].name, topic, manners[0], m.at, func(w *watcher) { w.lastID = "20" })
		w.awaitMore(50)
		w.leave()
		for n, d := range w.got {
			if d.number != 21+n {
				t.Fatalf("%s: event %d is %d", w.name, n, d.number)
			}
		}
		if len(w.gaps) > 0 {
			t.Errorf("%s: %q", w.name, w.gaps)
		}
		if pulls := o.pulledBy(order[0].name); len(pulls) == 0 || pulls[len(pulls)-1].resume != "20" {
			t.Errorf("%s: the origin was asked by %+v", w.name, o.pulls)
		}
	}
	// Half a second after the last has left nobody pulls.
	eventually(t, "nobody pulls", func() (string, bool) { return fmt.Sprint(o.pullers()), len(o.pullers()) == 0 })
	for _, m := range s.members {
		if n := m.count("freshet_feed_topics_pulled"); n != 0 {
			t.Errorf("%s counts %v topics", m.name, n)
		}
	}
}

// The owner of a topic is killed: the next goes on pulling it, where it had stopped. So it is when the owner leaves.
func TestClusterTemplateOwnerKilled(t *testing.T) {
	t.Parallel()
	o := newFeedOrigin(t, 100)
	s := newClusterStage(t, 4, ofOrigin(o))
	watchers := s.audience("live/x", s.members)
	o.awaitMore(20, watchers)
	first := s.member(o.awaitPuller())
	if order := s.ranked("live/x"); order[0] != first {
		t.Errorf("%s pulls, and %s owns", first.name, order[0].name)
	}
	o.bar(first.name)
	first.kill()
	second := s.member(o.awaitPuller(first.name))
	o.awaitMore(50, watchers)
	second.leave()
	third := o.awaitPuller(first.name, second.name)
	o.awaitMore(50, watchers)
	o.wantAll(o.rest(), watchers)
	o.wantResumed(second.name, 10)
	o.wantResumed(third, 50)
	if o.most > 2 {
		t.Errorf("%d connections at once", o.most)
	}
}
