package origin

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"freshet/origin/sse"
)

// resumeStory is a story of a Source that goes on where another process stood.
func resumeStory(t *testing.T, from Place, tell func(t *testing.T, o *puppetOrigin, l *ledger, moved func() []Place), change ...func(*Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o, l := newPuppetOrigin(t), newLedger()
		var places []Place
		s := &Source{
			URLs: []string{"http://origin.test/feed"}, Topic: "t", Sink: l, Log: l, Client: &http.Client{Transport: o},
			Moved: func(p Place) { places = append(places, p) },
		}
		for _, c := range change {
			c(s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Resume(ctx, from) }()
		tell(t, o, l, func() []Place {
			synctest.Wait()
			return places
		})
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Resume: %v", err)
		}
	})
}

func TestResumeMoves(t *testing.T) {
	resumeStory(t, Place{Cursor: "7", Begun: true}, func(t *testing.T, o *puppetOrigin, l *ledger, moved func() []Place) {
		o.WantRequest("7").Open().Event("8", "a").Send("data: b\n\n").Event("9", "c")
		l.Want(t, "t 8 a", "t  b", "t 9 c")
		want := []Place{{"7", true}, {"8", true}, {"8", true}, {"9", true}}
		if got := moved(); !slices.Equal(got, want) {
			t.Errorf("moved to %+v, want %+v", got, want)
		}
	})
	resumeStory(t, Place{}, func(t *testing.T, o *puppetOrigin, l *ledger, moved func() []Place) {
		o.WantRequest("").Open().Send("data: b\n\n:\n")
		if got, want := moved(), []Place{{}, {Begun: true}}; !slices.Equal(got, want) {
			t.Errorf("moved to %+v, want %+v", got, want)
		}
	})
	// What is not committed moves nothing.
	resumeStory(t, Place{Cursor: "7"}, func(t *testing.T, o *puppetOrigin, l *ledger, moved func() []Place) {
		l.fail = func(string, sse.Event) error { return statusError(503) }
		o.WantRequest("7").Open().Event("8", "a")
		if got, want := moved(), []Place{{Cursor: "7"}}; !slices.Equal(got, want) {
			t.Errorf("moved to %+v, want %+v", got, want)
		}
		o.WantRequest("7")
	})
}

// Where a process stood that had no id to resume from, there is a hole.
func TestResumeAfterAHole(t *testing.T) {
	resumeStory(t, Place{Begun: true}, func(t *testing.T, o *puppetOrigin, l *ledger, _ func() []Place) {
		o.WantRequest("").Open().Send("data: a\n\ndata: b\n\n")
		l.Want(t, "t GAP", "t  a", "t  b")
	})
	many := func(s *Source) { s.Topic, s.Prefix = "", "p/" }
	resumeStory(t, Place{Begun: true}, func(t *testing.T, o *puppetOrigin, l *ledger, _ func() []Place) {
		o.WantRequest("").Open().Send("topic: p/a\ndata: 1\n\ntopic: p/b\ndata: 2\n\ntopic: p/a\ndata: 3\n\n")
		l.Want(t, "p/a GAP", "p/a  1", "p/b GAP", "p/b  2", "p/a  3")
	}, many)
	for _, from := range []Place{{}, {Cursor: "7", Begun: true}} { // nothing is missing
		resumeStory(t, from, func(t *testing.T, o *puppetOrigin, l *ledger, _ func() []Place) {
			o.WantRequest(from.Cursor).Open().Send("topic: p/a\nid: 8\ndata: 1\n\n")
			l.Want(t, "p/a 8 1")
		}, many)
	}
}

// A topic that was open elsewhere is followed on whatever the origin says of it, but that it has ended.
func TestFollowFrom(t *testing.T) {
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.FollowFrom(ctx, "a", Place{Cursor: "7"}, true, func() {}) }()
		o.WantRequest("7").Status(404)
		o.WantRequest("7").Status(403)
		o.WantRequest("7").Open().Event("8", "x").Cut()
		l.Want(t, "a 8 x")
		o.WantRequest("8").Status(204)
		synctest.Wait()
		l.Want(t, "a END")
		if err := <-done; err != nil {
			t.Error(err)
		}
		cancel()
	})
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.FollowFrom(ctx, "a", Place{Begun: true}, false, func() {}) }()
		o.WantRequest("").Open().Send("data: x\n\n")
		l.Want(t, "a GAP", "a  x")
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
