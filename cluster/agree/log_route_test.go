package agree

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// forked is a log of epoch 1 up to 4 and epoch 2 from 5 to 7. Epoch 1 went on elsewhere.
func forked() *Log {
	l := newLog()
	entries(l, 1, 4, nil)
	l.begin(2)
	entries(l, 2, 3, nil)
	return l
}

// A client that crosses from one side of a partition to the other keeps what it saw there in its place.
func TestRouteAcrossSides(t *testing.T) {
	for _, c := range []struct {
		name  string
		place Place
		want  Route
	}{
		{"from the other side", Place{At: pos(1, 6)}, Route{After: 4, Lost: pos(1, 6), Missing: true}},
		{"on here, with the other side behind it", Place{At: pos(2, 6), Lost: pos(1, 6)}, Route{After: 6, Lost: pos(1, 6), Missing: true}},
		{"back from a side unknown here", Place{At: pos(9, 8), Lost: pos(2, 6)}, Route{After: 6, Lost: pos(9, 8), Missing: true}},
		{"back from a side unknown here, having seen a third", Place{At: pos(9, 8), Lost: pos(1, 6)}, Route{Found: Unknown}},
		{"with a side behind it that is unknown here", Place{At: pos(2, 6), Lost: pos(9, 8)}, Route{After: 6, Lost: pos(9, 8), Missing: true}},
		{"ahead", Place{At: pos(2, 9)}, Route{Found: Ahead}},
		{"ahead on the side behind it", Place{At: pos(1, 3), Lost: pos(2, 9)}, Route{Found: Ahead}},
		{"from before a log that is gone", Place{At: pos(9, 0)}, Route{}},
	} {
		if d := cmp.Diff(c.want, forked().chart().route(c.place)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// For who is here already, nothing is ahead: what it saw of this log elsewhere is left out as it comes.
func TestRouteOnward(t *testing.T) {
	l := forked()
	want := Route{After: 7, Lost: pos(2, 9), Missing: true}
	if d := cmp.Diff(want, l.onward()(Place{At: pos(2, 9)})); d != "" {
		t.Error(d)
	}
	entries(l, 2, 2, nil)
	if d := cmp.Diff(Route{After: 9}, l.onward()(Place{At: pos(2, 9), Lost: pos(2, 9)})); d != "" {
		t.Error(d)
	}
}

// An id that the origin set does not tell on which of two branches its event was seen.
func TestRouteByOriginID(t *testing.T) {
	l := newLog()
	entries(l, 1, 3, nil)
	l.begin(2)
	for i, e := range []Entry{{ID: "a"}, {ID: "b", Former: []Position{pos(1, 5)}}, {ID: "c"}} {
		e.Position, e.Key = pos(2, uint64(4+i)), e.ID
		l.append(e)
	}
	l.visible = l.head() - 1
	for id, want := range map[string]Route{
		"a":   {After: 4},
		"b":   {After: 3}, // from the fork: repeats, never losses
		"c":   {Found: Ahead},
		"d":   {Found: Unknown},
		"":    {Found: Unknown},
		"1-3": {After: 3},
	} {
		if d := cmp.Diff(want, l.routeID(id)); d != "" {
			t.Errorf("%q: %s", id, d)
		}
	}
	if !l.claims("1-2") || l.claims("3-2") || l.claims("a") {
		t.Error("claims: no event may have a position's text as its id")
	}
}
