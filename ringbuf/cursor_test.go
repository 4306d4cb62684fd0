package ringbuf

import (
	"strings"
	"testing"
)

func TestNextTakesWholeEventsWithinTheBudget(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	for _, size := range []int{10, 10, 30, 10} { // as stored
		r.Append(Entry{Body: []byte(strings.Repeat("-", size-len("id: 1-1\n\n")-1) + "\n")})
	}
	for _, c := range []struct {
		max  int
		runs []int
	}{
		{1000, []int{60}},
		{60, []int{60}},
		{59, []int{50, 10}},
		{49, []int{20, 40}},
		{20, []int{20, 30, 10}},
		{19, []int{10, 10, 30, 10}}, // the third is larger than the budget, and comes alone
		{0, []int{10, 10, 30, 10}},
		{-1, []int{10, 10, 30, 10}},
	} {
		var got []int
		for at := r.Oldest(); at != r.Latest(); {
			run, _, _ := r.Next(&at, c.max)
			got = append(got, len(run))
		}
		if len(got) != len(c.runs) {
			t.Errorf("budget %d: runs of %d, want %d", c.max, got, c.runs)
			continue
		}
		for i := range got {
			if got[i] != c.runs[i] {
				t.Errorf("budget %d: runs of %d, want %d", c.max, got, c.runs)
			}
		}
	}
}

func TestTheZeroCursorIsBeforeEverything(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	add(r, 3)
	var c Cursor
	if _, n, lost := r.Next(&c, 1000); n != 3 || lost != 0 {
		t.Errorf("%d events, %d lost", n, lost)
	}
}

func TestACursorOfAnotherLogReadsNothing(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	add(r, 3)
	c := CursorAfter(99)
	if run, n, lost := r.Next(&c, 1000); run != nil || n != 0 || lost != 0 || c.Seq() != 99 {
		t.Errorf("%d events, %d lost, at %d", n, lost, c.Seq())
	}
	if r.Lag(c) != 0 {
		t.Errorf("lag %d", r.Lag(c))
	}
}

func TestLappedSaysWhatIsLost(t *testing.T) {
	r := New(Limits{Events: 3}, Position{Epoch: 1})
	add(r, 1)
	c := r.Latest()
	add(r, 3)
	if _, _, lost := r.Next(&c, 1000); lost != 0 {
		t.Errorf("%d lost, though the next event is kept", lost)
	}
	c = CursorAfter(1)
	add(r, 4) // 6, 7, 8 are kept
	if lag := r.Lag(c); lag != 7 {
		t.Errorf("lag %d, want 7", lag)
	}
	run, n, lost := r.Next(&c, 1000)
	if run != nil || n != 0 || lost != 4 || c.Seq() != 5 {
		t.Errorf("%d events, %d lost, at %d; want 4 lost, at 5", n, lost, c.Seq())
	}
	if _, n, lost = r.Next(&c, 1000); n != 3 || lost != 0 {
		t.Errorf("%d events, %d lost after that; want 3, 0", n, lost)
	}
	c = CursorAfter(5)
	add(r, 2)
	r.Forget()
	if _, _, lost = r.Next(&c, 1000); lost != 5 || c != r.Latest() {
		t.Errorf("%d lost, at %d; want all 5", lost, c.Seq())
	}
}

// A run never crosses the end of a segment, and a reader that goes on gets the rest.
func TestRunsOfALongLog(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	add(r, 30_000)
	n, runs := 0, 0
	var size int
	for c := r.Oldest(); c != r.Latest(); runs++ {
		run, events, _ := r.Next(&c, 1<<30)
		n += events
		size += len(run)
	}
	if segments := len(r.view.Load().segs); n != 30_000 || size != r.Bytes() || runs != segments {
		t.Errorf("%d events of %d bytes in %d runs, want %d of %d in %d", n, size, runs, 30_000, r.Bytes(), segments)
	}
}
