package relay

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryGrowsWithTheCrowd(t *testing.T) {
	const base = 2 * time.Second
	for _, c := range []struct {
		crowd int64
		most  time.Duration
	}{
		{0, 4 * time.Second},
		{10_000, 5 * time.Second},
		{100_000, 14 * time.Second},
		{1_000_000, 62 * time.Second},
		{100_000_000, 62 * time.Second},
	} {
		if got := retryFor(base, c.crowd, 0); got != base {
			t.Errorf("%d clients: at least %v, want %v", c.crowd, got, base)
		}
		if got := retryFor(base, c.crowd, 1); got != c.most {
			t.Errorf("%d clients: at most %v, want %v", c.crowd, got, c.most)
		}
	}
	if got := retryFor(2*time.Minute, 0, 1); got != 4*time.Minute {
		t.Errorf("a base above the bound: at most %v", got)
	}
}

func TestRetryIsDrawnForEach(t *testing.T) {
	r := newTestRelay(t, Config{})
	seen := map[time.Duration]int{}
	for range 200 {
		d := r.retry()
		if d < 2*time.Second || d >= 4*time.Second {
			t.Fatalf("drew %v", d)
		}
		seen[d]++
	}
	if len(seen) < 100 {
		t.Errorf("200 clients got %d different times", len(seen))
	}
}

func TestRetryGrowsWithTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l load
		for range 99 {
			l.add(time.Now())
		}
		if n := l.add(time.Now()); n != 100 {
			t.Errorf("%d are counted, want 100", n)
		}
		time.Sleep(loadWindow)
		if n := l.add(time.Now()); n != 101 {
			t.Errorf("a window later %d are counted, want 101", n)
		}
		time.Sleep(2 * loadWindow)
		if n := l.add(time.Now()); n != 1 {
			t.Errorf("long after %d are counted, want 1", n)
		}
	})
}
