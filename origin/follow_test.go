package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"freshet/origin/sse"
)

// A follower is one Follow in a bubble.
type follower struct {
	t      *testing.T
	cancel context.CancelFunc
	opened int
	done   chan error
}

func follow(t *testing.T, s *Source, topic, lastEventID string) *follower {
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { f.done <- s.Follow(ctx, topic, lastEventID, func() { f.opened++ }) }()
	synctest.Wait()
	return f
}

// WantReturned wants the call to have returned, and returns its error.
func (f *follower) WantReturned() error {
	f.t.Helper()
	synctest.Wait()
	select {
	case err := <-f.done:
		return err
	default:
		f.t.Fatal("Follow has not returned")
		return nil
	}
}

// Leave ends the following.
func (f *follower) Leave() {
	f.t.Helper()
	f.cancel()
	if err := f.WantReturned(); err != nil {
		f.t.Errorf("Follow: %v", err)
	}
}

func followStory(t *testing.T, tell func(t *testing.T, o *puppetOrigin, l *ledger, s *Source), change ...func(*Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o, l := newPuppetOrigin(t), newLedger()
		s := &Source{Template: "http://origin.test/of/{topic}?v=1", Sink: l, Client: &http.Client{Transport: o}}
		for _, c := range change {
			c(s)
		}
		tell(t, o, l, s)
	})
}

func TestFollow(t *testing.T) {
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		f := follow(t, s, "live/a", "41")
		r := o.WantRequest("41")
		if got := r.request.URL.String(); got != "http://origin.test/of/live/a?v=1" {
			t.Errorf("request to %s", got)
		}
		if f.opened > 0 {
			t.Error("open before the origin answered")
		}
		r.Open()
		synctest.Wait()
		if f.opened != 1 {
			t.Errorf("opened %d times", f.opened)
		}
		r.Event("42", "x").Cut()
		o.WantRequest("42").Status(404) // it had it a moment ago
		o.WantRequest("42").Open().Event("43", "y")
		l.Want(t, "live/a 42 x", "live/a 43 y")
		f.Leave()
		o.WantNone(time.Hour)
	})
}

func TestFollowOutsideThePrefix(t *testing.T) {
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		if err := follow(t, s, "other/a", "").WantReturned(); err != nil {
			t.Error(err)
		}
		o.WantNone(time.Minute)
	}, func(s *Source) { s.Prefix = "live/" })
}

// An answer that decides ends the waiting, and is remembered for a short while.
func TestFollowRefused(t *testing.T) {
	for _, status := range []int{204, 401, 403, 404, 410} {
		followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
			f := follow(t, s, "a", "")
			o.WantRequest("").Status(status)
			if got := statusOf(f.WantReturned()); got != status {
				t.Errorf("status %d, want %d", got, status)
			}
			for range 100 {
				if got := statusOf(follow(t, s, "a", "").WantReturned()); got != status {
					t.Fatalf("remembered status %d, want %d", got, status)
				}
			}
			o.WantNone(5 * time.Second)
			f = follow(t, s, "a", "")
			o.WantRequest("").Open()
			f.Leave()
			l.Want(t)
		})
	}
}

// Trouble that a retry may mend is not told to those who wait.
func TestFollowBearsTrouble(t *testing.T) {
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		f := follow(t, s, "a", "")
		o.WantRequest("").Status(500)
		o.WantRequest("").Refuse()
		o.WantRequest("").reply(200, "text/plain", http.NoBody)
		o.WantRequest("").Status(429)
		if f.opened > 0 {
			t.Error("opened")
		}
		o.WantRequest("").Open().Event("1", "x")
		l.Want(t, "a 1 x")
		f.Leave()
	})
}

func TestFollowEnded(t *testing.T) {
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		f := follow(t, s, "a", "")
		o.WantRequest("").Open().Event("1", "x").Cut()
		o.WantRequest("1").Status(204)
		if err := f.WantReturned(); err != nil {
			t.Error(err)
		}
		l.Want(t, "a 1 x", "a END")
	})
}

func TestFollowResumesWhereItLeftOff(t *testing.T) {
	l := newLedger()
	followStory(t, func(t *testing.T, o *puppetOrigin, _ *ledger, s *Source) {
		f := follow(t, s, "a", "")
		o.WantRequest("").Open().Event("1", "x").Event("2", "y").Send("id: 2b\n\n")
		synctest.Wait()
		f.Leave()

		f = follow(t, s, "a", "1") // what follows 1 is in the log
		o.WantRequest("2b").Open().Event("2", "y").Event("3", "z")
		l.Want(t, "a 1 x", "a 2 y", "a 3 z")
		f.Leave()

		l.Append(t.Context(), "a", sse.Event{ID: "local"}) // somebody else has written
		f = follow(t, s, "a", "1")
		o.WantRequest("1").Open().Event("2", "y").Event("3", "z").Event("4", "w")
		l.Want(t, "a local ", "a 4 w")
		f.Leave()

		l.newest["b"] = "77"
		f = follow(t, s, "b", "")
		o.WantRequest("77").Open()
		f.Leave()
	}, func(s *Source) { s.Sink, s.Log = l, l })
}

func TestFollowIsBounded(t *testing.T) {
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		var open []*follower
		for i := range 3 {
			open = append(open, follow(t, s, fmt.Sprint("t", i), ""))
			o.WantRequest("").Open()
		}
		if err := follow(t, s, "t9", "").WantReturned(); !errors.Is(err, ErrNotAsked) {
			t.Errorf("above max_pulls: %v", err)
		}
		open[0].Leave()
		if err := follow(t, s, "t1", "").WantReturned(); !errors.Is(err, ErrNotAsked) {
			t.Errorf("twice at once: %v", err)
		}
		f := follow(t, s, "t9", "")
		o.WantRequest("").Open()
		f.Leave()
		open[1].Leave()
		open[2].Leave()
	}, func(s *Source) { s.MaxPulls = 3 })
}

// A stranger who asks for a million names must not become a million requests,
// nor keep others from the topics that there are.
func TestFollowManyMisses(t *testing.T) {
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		f := follow(t, s, "real", "")
		o.WantRequest("").Open()
		synctest.Wait()
		f.Leave()

		asked := 0
		const names = 20_000 // over 100 s
		for i := range names {
			time.Sleep(5 * time.Millisecond)
			f := follow(t, s, fmt.Sprint("name", i), "")
			select {
			case r := <-o.requests:
				asked++
				r.Status(404)
			default:
			}
			f.WantReturned()
		}
		if asked < 1000 || asked > 1200 { // ten a second, and the burst
			t.Errorf("the origin was asked for %d of %d names", asked, names)
		}
		if n := len(s.demand.misses.items) + len(s.demand.had.items); n > 2*s.MaxPulls*rememberPerPull {
			t.Errorf("%d names remembered", n)
		}
		if err := follow(t, s, "unknown", "").WantReturned(); !errors.Is(err, ErrNotAsked) {
			t.Errorf("an unknown topic in the rush: %v", err)
		}
		f = follow(t, s, "real", "")
		o.WantRequest("").Open()
		f.Leave()
	}, func(s *Source) { s.MaxPulls, s.MissRate = 20, 10 })
}

// Topics that the origin has cost nothing of what strangers may cause.
func TestFollowManyHits(t *testing.T) {
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		for i := range 1000 {
			f := follow(t, s, fmt.Sprint("t", i), "")
			o.WantRequest("").Open()
			synctest.Wait()
			f.Leave()
		}
	}, func(s *Source) { s.MissRate = 1 })
}

func TestRecent(t *testing.T) {
	r := newRecent[int](2)
	r.put("a", 1)
	r.put("b", 2)
	r.put("a", 3)
	r.put("c", 4) // b was put longest ago
	_, b := r.get("b")
	a, _ := r.get("a")
	c, _ := r.get("c")
	if b || a != 3 || c != 4 || r.order.Len() != 2 {
		t.Errorf("a %d, b %v, c %d, %d kept", a, b, c, r.order.Len())
	}
	r.remove("a")
	r.remove("a")
	if _, ok := r.get("a"); ok || r.order.Len() != 1 {
		t.Error("a is still there")
	}
}
