package agree

import (
	"fmt"
	"testing"
	"time"
)

// lone is a relay that sees nobody else.
func lone(cfg Config) (*Relay, time.Time) {
	now := time.Unix(1_800_000_000, 0)
	cfg.Name = "a"
	r := New(cfg)
	r.View(now, []Member{{Name: "a", State: Ready}})
	r.Take()
	return r, now
}

// A topic that events come to all day moves its timers ahead: those that are void do not pile up.
func TestTimersAreBounded(t *testing.T) {
	r, now := lone(Config{Limits: Limits{Events: 10}})
	for i := range 3600 {
		now = now.Add(6 * time.Second)
		for next := r.Next(); !next.IsZero() && !next.After(now); next = r.Next() {
			r.Tick(next)
			r.Take()
		}
		r.Publish(now, "t", Entry{Key: fmt.Sprint("k", i), Body: []byte("x")}, uint64(i))
		r.Take()
	}
	if n := len(r.timers); n > 100 {
		t.Errorf("one topic has %d timers", n)
	}
}

// Whoever asks for names that nobody uses leaves promises behind: they are forgotten in time, and sooner if there are many.
func TestFencesAreBounded(t *testing.T) {
	r, now := lone(Config{})
	ask := func(from, n int) {
		for i := range n {
			r.Receive(now, "b", Inquire{Topic(fmt.Sprint("t", from+i)), 1 << 60})
		}
		r.Take()
		now = now.Add(31 * time.Second)
		for next := r.Next(); !next.IsZero() && !next.After(now); next = r.Next() {
			r.Tick(now)
			r.Take()
		}
	}
	ask(0, 1000)
	if len(r.topics) != 0 || len(r.fences) != 1000 {
		t.Fatalf("%d topics and %d fences are left", len(r.topics), len(r.fences))
	}
	ask(1000, manyFences)
	now = now.Add(2 * time.Minute)
	ask(1000+manyFences, 10)
	if n := len(r.fences); n > 100 {
		t.Errorf("%d fences are left after two minutes, of which ten are new", n)
	}
}

// A relay that still holds what the owner lacks cannot leave.
func TestBusyWithOrphans(t *testing.T) {
	r, _ := lone(Config{})
	r.topic("t").orphans = []Entry{{Key: "k"}}
	if r.Busy() != 1 {
		t.Error("it says that it can leave")
	}
}

// Many who come back at once are each looked at once, not each time that one comes.
func TestManyResumes(t *testing.T) {
	resume := func(n int) time.Duration {
		r, now := lone(Config{})
		r.Open(now, "t", false)
		r.Publish(now, "t", Entry{Key: "k", Body: []byte("x")}, 1)
		r.Take()
		began := time.Now()
		r.Batch(func() {
			for i := range n {
				r.Resume(now, "t", fmt.Sprintf("abc-%d", i+1), uint64(i))
			}
		})
		return time.Since(began)
	}
	few := max(resume(500), time.Millisecond)
	if many := resume(8000); many > 100*few {
		t.Errorf("16 times as many take %.0f times as long", float64(many)/float64(few))
	}
}
