package main

import (
	"fmt"
	"testing"
)

// A verdict is what a checker finds in transcripts, against what publishers were told.
//
//	posters: what was acknowledged ──┐
//	watchers: what each was sent  ───┴─► each acknowledged event once, no event twice, one order
type verdict struct {
	t        testing.TB
	posters  []*poster
	watchers []*watcher
}

// most is how many complaints of a kind are worth reading.
const most = 5

// conclude waits until every watcher has all that was acknowledged and one event more, published when all posters were
// done; then it ends the watchers and reads their transcripts.
//
// Every watcher began at the beginning, or with an id, and had no gap.
func conclude(t testing.TB, posters []*poster, watchers []*watcher) *verdict {
	t.Helper()
	v := &verdict{t, posters, watchers}
	for _, p := range posters {
		p.finish()
	}
	last := newPoster(t, "last", posters[0].topic, posters[0].where)
	last.token = posters[0].token
	if !last.publish(t.Context(), 1) {
		t.Fatal("the last event is not acknowledged")
	}
	v.posters = append(v.posters, last)
	for _, w := range watchers {
		v.awaitAll(w)
		w.awaitEvent("last", 1)
	}
	for _, w := range watchers {
		w.leave()
		v.once(w)
		if len(w.gaps) > 0 {
			t.Errorf("%s was told %q", w.name, w.gaps)
		}
	}
	return v
}

// awaitAll waits until a watcher has what was acknowledged.
func (v *verdict) awaitAll(w *watcher) {
	v.t.Helper()
	missing := map[string]bool{}
	for _, p := range v.posters {
		for _, r := range p.acks() {
			if event := fmt.Sprint(p.name, " ", r.number); !w.saw[event] {
				missing[event] = true
			}
		}
	}
	read := 0
	defer func() {
		if len(missing) > 0 {
			v.t.Logf("%s lacks %d acknowledged events: %v", w.name, len(missing), few(missing))
		}
	}()
	w.await("all that was acknowledged", patience, func() bool {
		for ; read < len(w.got); read++ {
			delete(missing, w.got[read].event())
		}
		return len(missing) == 0
	})
}

func few(set map[string]bool) (list []string) {
	for s := range set {
		if list = append(list, s); len(list) == most {
			break
		}
	}
	return list
}

// once wants no event twice, and none that nobody published.
func (v *verdict) once(w *watcher) {
	v.t.Helper()
	first := map[string]delivery{}
	complaints := 0
	for i, d := range w.got {
		before, twice := first[d.event()]
		if twice {
			if complaints++; complaints <= most {
				v.t.Errorf("%s got %s twice: as %s through %s, and as %s through %s (%d of %d, %v later)",
					w.name, d.event(), before.id, before.relay, d.id, d.relay, i, len(w.got), d.at.Sub(before.at))
			}
			continue
		}
		first[d.event()] = d
		if w.saw[d.event()] {
			v.t.Errorf("%s came with an id after %s, and got it again", w.name, d.event())
		}
	}
}

// inOrder wants each publisher's events in the order it published them.
func (v *verdict) inOrder() *verdict {
	v.t.Helper()
	for _, w := range v.watchers {
		v.inOrderOf(w, everything)
	}
	return v
}

func (v *verdict) inOrderOf(w *watcher, counts func(delivery) bool) {
	v.t.Helper()
	last := map[string]delivery{}
	complaints := 0
	for _, d := range w.got {
		if !counts(d) {
			continue
		}
		if before := last[d.poster]; d.number <= before.number {
			if complaints++; complaints <= most {
				v.t.Errorf("%s got %s (%s through %s) after %s (%s through %s)", w.name, d.event(), d.id, d.relay, before.event(), before.id, before.relay)
			}
		}
		last[d.poster] = d
	}
}

func everything(delivery) bool { return true }

// oneOrder wants all watchers to have got what they got in the same order.
func (v *verdict) oneOrder() *verdict {
	v.t.Helper()
	v.sameOrder(v.watchers, everything)
	return v
}

// sameOrder wants these watchers to have got what counts in the same order.
func (v *verdict) sameOrder(watchers []*watcher, counts func(delivery) bool) {
	v.t.Helper()
	for i, a := range watchers {
		place := make(map[string]int, len(a.got))
		for n, d := range a.got {
			place[d.event()] = n
		}
		for _, b := range watchers[i+1:] {
			before, at := delivery{}, -1
			complaints := 0
			for _, d := range b.got {
				n, both := place[d.event()]
				if !both || !counts(d) {
					continue
				}
				if n < at {
					if complaints++; complaints <= most {
						v.t.Errorf("%s got %s (%s) before %s (%s), %s after", a.name, d.event(), d.id, before.event(), before.id, b.name)
					}
				}
				at, before = n, d
			}
		}
	}
}

// still are the subscribers that do not hop.
func (v *verdict) still() (list []*watcher) {
	for _, w := range v.watchers {
		if w.hop == 0 {
			list = append(list, w)
		}
	}
	return list
}

// acknowledged counts them, and those of them that had been committed by an attempt that seemed to fail.
func (v *verdict) acknowledged() (all, again int) {
	for _, p := range v.posters {
		for _, r := range p.acks() {
			all++
			if r.duplicate {
				again++
			}
		}
	}
	return all, again
}

// tell says what the story was about, for those who read along.
func (v *verdict) tell() {
	v.t.Helper()
	all, again := v.acknowledged()
	v.t.Logf("%d events acknowledged, %d of them at a repeat; %d subscribers", all, again, len(v.watchers))
	for _, p := range v.posters {
		s := p.slowest()
		v.t.Logf("  %s: %s; slowest %s %d: %v, %d tries", p.name, p, p.name, s.number, s.took, s.tries)
	}
	for _, w := range v.watchers {
		v.t.Logf("  %s: %s", w.name, w)
	}
}
