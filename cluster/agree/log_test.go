package agree

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestCommon checks the comparison of lineages against logs that really forked from one another.
func TestCommon(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		epoch := uint64(0)
		grow := func(l *Log) {
			for range rapid.IntRange(0, 4).Draw(t, "epochs") {
				epoch++
				l.begin(epoch)
				for range rapid.IntRange(0, 3).Draw(t, "entries") {
					l.append(Entry{Position: pos(epoch, l.head()+1), Key: fmt.Sprint(epoch, l.head())})
				}
			}
		}
		a := newLog()
		grow(a)
		cut := uint64(rapid.IntRange(0, int(a.head())).Draw(t, "cut"))
		b := a.prefix(cut, a.spans)
		grow(b)
		grow(a)
		want := uint64(0)
		for s := uint64(1); s <= min(a.head(), b.head()) && a.entry(s).Position == b.entry(s).Position; s++ {
			want = s
		}
		if got, _ := common(a.spans, a.head(), b.spans, b.head()); got != want {
			t.Fatalf("common = %d, want %d: %v and %v", got, want, a.spans, b.spans)
		}
	})
}

func entries(l *Log, epoch uint64, n int, former func(i int) []Position) {
	for i := range n {
		e := Entry{Position: pos(epoch, l.head()+1), Key: fmt.Sprint(epoch, "-", i), Commit: int64(i) * 1000}
		if former != nil {
			e.Former = former(i)
		}
		l.append(e)
	}
	l.visible = l.head()
}

func TestRoute(t *testing.T) {
	// Epoch 1 has 1 to 4; epoch 2 took over after 3 and has 4 to 9. What epoch 1 had at 4 was merged as 7, and epoch 3,
	// which began at 5 on that branch, as 8 and 9.
	l := newLog()
	entries(l, 1, 3, nil)
	l.begin(2)
	entries(l, 2, 6, func(i int) []Position {
		switch i {
		case 3:
			return []Position{pos(1, 4)}
		case 4:
			return []Position{pos(3, 5)}
		case 5:
			return []Position{pos(3, 6)}
		}
		return nil
	})
	l.lose(Branch{Epoch: 3, First: 5, After: pos(1, 4)})
	for _, c := range []struct {
		place Place
		want  Route
	}{
		{Place{At: pos(1, 2)}, Route{After: 2}},
		{Place{At: pos(2, 3)}, Route{After: 3}}, // just before the epoch's first
		{Place{At: pos(2, 9)}, Route{After: 9}},
		{Place{At: pos(2, 10)}, Route{Found: Ahead}},
		{Place{At: pos(2, 1)}, Route{Found: Unknown}},
		{Place{At: pos(5, 1)}, Route{Found: Unknown}},
		{Place{At: pos(1, 4)}, Route{After: 3, Skip: []uint64{7}, Lost: pos(1, 4)}},
		{Place{At: pos(3, 5)}, Route{After: 3, Skip: []uint64{7, 8}, Lost: pos(3, 5)}},
		{Place{At: pos(3, 6)}, Route{After: 3, Skip: []uint64{7, 8, 9}, Lost: pos(3, 6)}},
		{Place{At: pos(3, 7)}, Route{After: 3, Skip: []uint64{7, 8, 9}, Lost: pos(3, 7), Missing: true}},
		{Place{At: pos(2, 5), Lost: pos(3, 5)}, Route{After: 5, Skip: []uint64{7, 8}, Lost: pos(3, 5)}}, // cut off in the catch-up
	} {
		if d := cmp.Diff(c.want, l.chart().route(c.place)); d != "" {
			t.Errorf("route(%v): %s", c.place, d)
		}
	}
	l.trim(Limits{Events: 4}, time.UnixMilli(0), time.Hour)
	if got := l.chart().route(Place{At: pos(1, 2)}); got.Found != Evicted {
		t.Errorf("after trimming: %+v", got)
	}
}

func TestTrim(t *testing.T) {
	l := newLog()
	entries(l, 1, 10, nil)
	l.visible = 8
	now := time.UnixMilli(10_000)
	if n := l.trim(Limits{Events: 1}, now, time.Minute); n != 8 || l.base != 8 {
		t.Errorf("trimmed %d, base %d: the tail must stay", n, l.base)
	}
	if len(l.memos) != 10 {
		t.Errorf("%d keys, want all ten for a minute", len(l.memos))
	}
	l.trim(Limits{}, now.Add(time.Minute-5*time.Second), time.Minute)
	if _, known := l.memos[publication{Key: "1-4"}]; known || len(l.memos) != 4 {
		t.Errorf("keys after a minute: %v", l.memos)
	}
}
