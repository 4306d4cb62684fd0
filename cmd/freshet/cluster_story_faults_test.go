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
	watchers := s.audience("match", s.members)
	posters := []*poster{
		post(t, "p1", "match", 250, 0, func(int) string { return s.anywhere() }),
		post(t, "p2", "match", 250, 0, func(int) string { return s.anywhere() }),
	}
	posters[0].awaitMore(50)
	kills := 0
	for began := time.Now(); kills < 2 || time.Since(began) < *storyTime; kills++ {
		owner, standby := s.owner("match")
		dying := owner
		if kills%2 == 1 {
			dying = standby
		}
		dying.kill()
		for _, p := range posters {
			p.awaitMore(100)
		}
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
	watchers := s.audience("match", s.members)
	posters := []*poster{
		post(t, "p1", "match", 100, 0, s.members[0].first),
		post(t, "p2", "match", 100, 0, s.members[1].first),
		post(t, "p3", "match", 100, 0, s.members[2].first),
	}
	posters[0].awaitAcked(50)
	owner, standby := s.owner("match")
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
	stays.awaitMore(100)
	held := s.net.Stats(owner.name, standby.name).Held
	owner.resume()
	stays.awaitMore(50)
	s.awaitMembers(3)
	s.owner("match")
	v := conclude(t, posters, watchers)
	v.tell()
	v.sameOrder(s.elsewhere(watchers, owner), everything)
	if held == 0 {
		t.Errorf("nothing of %s was held back", owner.name)
	}
	if standby.changes("takeover") == 0 {
		t.Errorf("%s counts no takeover, and %s owns", standby.name, heir)
	}
}

// Five relays fall into two and three, publishers on both sides, and become one again: every subscriber gets every
// event once, and from then on there is one order.
func TestClusterStoryPartition(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 5)
	watchers := s.audience("match", s.members)
	var posters []*poster
	for i, m := range s.members {
		posters = append(posters, post(t, fmt.Sprint("p", i+1), "match", 40, 0, func(int) string { return m.url }))
	}
	for _, p := range posters {
		p.awaitAcked(20)
	}
	owner, standby := s.owner("match")
	// The owner has the smaller side, its standby the other.
	few := []*member{owner, s.others(owner, standby)[0]}
	many := s.others(few...)
	s.net.Partition(names(few), names(many))
	for _, m := range s.members {
		side := len(few)
		if m != few[0] && m != few[1] {
			side = len(many)
		}
		m.awaitMembers(side)
	}
	s.ownerAmong("match", few)
	s.ownerAmong("match", many)
	for _, p := range posters { // on both sides
		p.awaitMore(40)
	}
	s.net.Heal()
	s.awaitMembers(5)
	s.owner("match")
	for _, p := range posters {
		p.awaitMore(20)
	}
	healed := time.Now()
	for _, p := range posters {
		p.awaitMore(20)
	}
	v := conclude(t, posters, watchers)
	v.tell()
	for _, far := range [][]*member{few, many} {
		v.sameOrder(s.elsewhere(watchers, far...), everything)
		// What a publisher of the other side committed comes after the heal, and maybe after what it did then.
		for _, w := range s.elsewhere(watchers, far...) {
			v.inOrderOf(w, func(d delivery) bool { return !slices.Contains(names(far), "r"+d.poster[1:]) })
		}
	}
	v.sameOrder(watchers, func(d delivery) bool { return d.at.After(healed) })
	met := 0.0
	for _, m := range s.members {
		met += m.changes("met") + m.changes("fork") + m.changes("fenced")
	}
	if met == 0 {
		t.Error("nobody counts that two sides met")
	}
}

// What the owner sends to one relay does not arrive, the other way everything does.
func TestClusterStoryOneWayCut(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 3)
	watchers := s.audience("match", s.members)
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
				p.awaitMore(100)
			}
		}
		for _, w := range watchers { // but is told of everything
			w.awaitMore(100)
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

// elsewhere are the subscribers of other relays than those.
func (s *clusterStage) elsewhere(watchers []*watcher, but ...*member) (list []*watcher) {
	s.t.Helper()
	for _, w := range watchers {
		here := false
		for _, m := range but {
			here = here || w.home == m.name
		}
		if !here {
			list = append(list, w)
		}
	}
	if len(list) == 0 {
		s.t.Error("there is nobody to compare")
	}
	return list
}
