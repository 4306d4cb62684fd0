package main

import (
	"fmt"
	"testing"
)

// Stories of clusters: relays of the real program, real subscribers and publishers, and faults that are shown to have
// happened. See clusterStage.

// An event that is published at any relay is sent by every relay, in every manner, in one order.
func TestClusterStoryAnywhere(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 3)
	watchers := s.audience("news/today", s.members)
	var posters []*poster
	for i, m := range s.members {
		posters = append(posters, post(t, fmt.Sprint("p", i+1), "news/today", 0, 50, m.first))
	}
	for _, p := range posters {
		p.awaitAcked(50)
	}
	owner, standby := s.owner("news/today")
	conclude(t, posters, watchers).inOrder().oneOrder().tell()
	for _, m := range s.members {
		if m != owner && m.count("freshet_cluster_forwarded_batches_total") == 0 {
			t.Errorf("%s forwarded nothing to the owner, %s", m.name, owner.name)
		}
		if status, _ := m.topic("news/today"); status.Owner != owner.name {
			t.Errorf("%s takes %q for the owner, not %s", m.name, status.Owner, owner.name)
		}
	}
	if standby == owner {
		t.Errorf("%s is its own standby", owner.name)
	}
}

// The owner is killed under publishers of 500 events a second, with subscribers on every relay. The streams of the
// others stay; those of the dead relay resume at others.
func TestClusterStoryOwnerKilled(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 3)
	watchers := s.audience("match", s.members)
	posters := []*poster{
		post(t, "p1", "match", 250, 0, func(int) string { return s.anywhere() }),
		post(t, "p2", "match", 250, 0, func(int) string { return s.anywhere() }),
	}
	posters[0].awaitAcked(100)
	dying, standby := s.owner("match")
	dying.kill()
	awaitMore(200, posters...)
	owner, _ := s.owner("match")
	conclude(t, posters, watchers).inOrder().oneOrder().tell()
	if owner != standby {
		t.Errorf("%s took over, and %s was the standby", owner.name, standby.name)
	}
	if owner.changes("takeover") == 0 {
		t.Errorf("%s counts no takeover", owner.name)
	}
	for _, m := range s.running() {
		m.awaitMembers(2)
	}
	if dying.door.slams == 0 {
		t.Errorf("no client of %s was cut off", dying.name)
	}
}
