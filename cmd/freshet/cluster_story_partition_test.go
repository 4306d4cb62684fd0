package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
)

// Five relays fall into two and three, with publishers and subscribers on both sides, and become one again: every
// subscriber gets every event once, and from then on there is one order. Some subscribers hop all the time, between the
// relays of their side while there are two.
func TestClusterStoryPartition(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 5)
	watchers := s.audience("match", s.members)
	var posters []*poster
	for i, m := range s.members {
		posters = append(posters, post(t, fmt.Sprint("p", i+1), "match", 40, 0, func(int) string { return m.url }))
	}
	awaitMore(20, posters...)
	// The owner is on the smaller side, its standby on the other.
	owner, standby := s.owner("match")
	few := []*member{owner, s.others(owner, standby)[0]}
	many := s.others(few...)
	var split atomic.Bool
	split.Store(true)
	for _, side := range [][]*member{few, many} {
		for _, w := range s.hoppers("match", func() string {
			if !split.Load() {
				return s.anywhere()
			}
			return side[rand.IntN(len(side))].url
		}) {
			w.home = side[0].name
			w.awaitLive()
			watchers = append(watchers, w)
		}
	}
	s.net.Partition(names(few), names(many))
	s.ownerAmong("match", few)
	s.ownerAmong("match", many)
	for side, members := range map[int][]*member{2: few, 3: many} {
		for _, m := range members {
			m.awaitMembers(side)
		}
	}
	awaitMore(40, posters...)
	s.net.Heal()
	s.awaitMembers(5)
	split.Store(false) // before that, nobody could know of ids of the other side
	s.owner("match")
	awaitMore(20, posters...)
	healed := map[string]int{}
	for _, p := range posters {
		healed[p.name] = len(p.acks())
	}
	awaitMore(20, posters...)
	v := conclude(t, posters, watchers)
	v.tell()
	v.sameOrder(watchers, func(d delivery) bool { return d.number > healed[d.poster] })
	for _, far := range [][]*member{few, many} {
		near := s.elsewhere(v.still(), far...)
		v.sameOrder(near, everything)
		for _, w := range near { // what the other side published comes after the heal, and maybe after what it did then
			v.inOrderOf(w, func(d delivery) bool { return !slices.Contains(names(far), "r"+d.poster[1:]) })
		}
	}
	met := 0.0
	for _, m := range s.members {
		met += m.changes("met") + m.changes("fork") + m.changes("fenced")
	}
	if met == 0 {
		t.Error("nobody counts that two sides met")
	}
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
