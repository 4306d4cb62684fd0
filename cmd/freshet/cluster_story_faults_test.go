package main

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Owner and standby are killed in turn, and started again, under publishers of 500 events a second.
func TestClusterStoryKilledInTurn(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 4)
	watchers := append(s.audience("match", s.members), s.hoppers("match", s.anywhere)...)
	posters := []*poster{
		post(t, "p1", "match", 250, 0, func(int) string { return s.anywhere() }),
		post(t, "p2", "match", 250, 0, func(int) string { return s.anywhere() }),
	}
	awaitMore(50, posters[0])
	kills := 0
	for began := time.Now(); kills < 2 || time.Since(began) < *storyTime; kills++ {
		owner, standby := s.owner("match")
		dying := owner
		if kills%2 == 1 {
			dying = standby
		}
		dying.kill()
		awaitMore(100, posters...)
		s.owner("match") // there is a standby: none but it could be missed
		dying.restart()
	}
	conclude(t, posters, watchers).inOrder().oneOrder().tell()
	s.awaitMembers(4)
	slams := 0
	for _, m := range s.members {
		slams += m.door.slams
	}
	if slams < kills {
		t.Errorf("%d kills cut %d connections off", kills, slams)
	}
	t.Logf("%d relays were killed", kills)
}

// The owner falls silent for longer than the others wait, and comes back. What it went on with alone, and was acknowledged,
// is kept.
func TestClusterStoryOwnerPaused(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 3)
	watchers := append(s.audience("match", s.members), s.hoppers("match", s.anywhere)...)
	posters := []*poster{
		post(t, "p1", "match", 100, 0, s.members[0].first),
		post(t, "p2", "match", 100, 0, s.members[1].first),
		post(t, "p3", "match", 100, 0, s.members[2].first),
	}
	posters[0].awaitAcked(50)
	owner, standby := s.owner("match")
	paused := time.Now()
	owner.pause()
	stays := posters[0]
	if owner == s.members[0] {
		stays = posters[1]
	}
	heir := ""
	eventually(t, standby.name+" takes over", func() (string, bool) {
		status, _ := standby.topic("match")
		heir = status.Owner
		return fmt.Sprintf("%+v", status), status.Role == "owner" && status.Standby != ""
	})
	for awaitMore(100, stays); time.Since(paused) < *storyTime/2; {
		awaitMore(50, stays)
	}
	held := s.net.Stats(owner.name, standby.name).Held
	owner.resume()
	awaitMore(50, stays)
	s.awaitMembers(3)
	s.owner("match")
	v := conclude(t, posters, watchers)
	v.tell()
	v.sameOrder(s.elsewhere(v.still(), owner), everything)
	if held == 0 {
		t.Errorf("nothing of %s was held back", owner.name)
	}
	if standby.changes("takeover") == 0 {
		t.Errorf("%s counts no takeover, and %s owns", standby.name, heir)
	}
}

// What the owner sends to one relay does not arrive, the other way everything does.
func TestClusterStoryOneWayCut(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 3)
	watchers := append(s.audience("match", s.members), s.hoppers("match", s.anywhere)...)
	posters := []*poster{
		post(t, "p1", "match", 100, 0, s.members[0].first),
		post(t, "p2", "match", 100, 0, s.members[1].first),
		post(t, "p3", "match", 100, 0, s.members[2].first),
	}
	posters[0].awaitAcked(30)
	for _, toStandby := range []bool{true, false} {
		owner, standby := s.owner("match")
		far := standby
		if !toStandby {
			far = s.others(owner, standby)[0]
		}
		links := owner.count("freshet_cluster_links_total")
		s.net.Cut([]string{owner.name}, []string{far.name})
		eventually(t, "the link ends", func() (string, bool) {
			seen := far.members()
			return fmt.Sprint(seen), seen["ready"] == 2
		})
		for i, p := range posters {
			if s.members[i] != far { // which is out of the owner's reach
				awaitMore(60, p)
			}
		}
		acked := posters[slices.IndexFunc(s.members, func(m *member) bool { return m == owner })].acks()
		for _, w := range watchers { // but is told of everything
			last := acked[len(acked)-1]
			w.awaitEvent("p"+owner.name[1:], last.number)
		}
		if held := s.net.Stats(owner.name, far.name).Held; held == 0 {
			t.Errorf("nothing from %s to %s was held back", owner.name, far.name)
		}
		s.net.Heal()
		s.awaitMembers(3)
		if got := owner.count("freshet_cluster_links_total"); got <= links {
			t.Errorf("%s has opened no link again", owner.name)
		}
	}
	conclude(t, posters, watchers).oneOrder().inOrder().tell()
}
