package demo

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// roundTripper answers without a network, so that synctest sees all there is.
type roundTripper struct{ http.Handler }

func (rt roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	rt.ServeHTTP(rec, r)
	return rec.Result(), nil
}

func newTestOrigin(p *puppetRelay) *Origin {
	return &Origin{
		Relay: "http://relay.test", Seed: 1,
		Client: &http.Client{Transport: roundTripper{p}},
		Log:    slog.New(slog.DiscardHandler),
	}
}

// wantCounts checks that a topic's events are stamped 1, 2, 3 and so on.
func wantCounts(t *testing.T, p *puppetRelay, topic string) int {
	t.Helper()
	events := p.Events(topic)
	for i, e := range events {
		s := stampOf(t, e.data)
		if s.N != uint64(i+1) || s.Run == "" {
			t.Fatalf("%s: event %d is stamped %+v", topic, i+1, s)
		}
	}
	return len(events)
}

func TestOriginCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPuppetRelay(t)
		o := newTestOrigin(p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := o.Run(ctx); err != nil {
			t.Fatal(err)
		}
		run, sent := o.Progress()
		for _, topic := range Topics {
			n := wantCounts(t, p, topic)
			if n < 60 {
				t.Errorf("%d events of %s in a minute", n, topic)
			}
			if uint64(n) != sent[topic] || run == "" {
				t.Errorf("%s: %d kept, progress says %d in run %q", topic, n, sent[topic], run)
			}
		}
	})
}

func TestOriginTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPuppetRelay(t)
		// Not ready, then overloaded, then the answer gets lost, then not ready.
		p.Refuse(503, 429, 504, 503)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := newTestOrigin(p).Run(ctx); err != nil {
			t.Fatal(err)
		}
		events := 0
		for _, topic := range Topics {
			events += wantCounts(t, p, topic)
		}
		if p.posts != events+4 {
			t.Errorf("%d posts for %d events and four failures", p.posts, events)
		}
	})
}

func TestOriginGivesUpWhenRefused(t *testing.T) {
	p := newPuppetRelay(t)
	p.Refuse(http.StatusForbidden)
	err := newTestOrigin(p).Run(t.Context())
	var refused *Refused
	if !errors.As(err, &refused) || refused.Status != http.StatusForbidden || refused.Reason == "" {
		t.Errorf("Run returned %v", err)
	}
}

func TestOriginIsLateButNeverHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPuppetRelay(t)
		o := newTestOrigin(p)
		var away sleeper
		away.Handler = p
		o.Client = &http.Client{Transport: roundTripper{&away}}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := o.Run(ctx); err != nil {
			t.Fatal(err)
		}
		const most = 80 // in any second but those of the overture; the show has about ten
		for second, n := range away.second {
			if second > 0 && n > most {
				t.Errorf("%d events in second %d", n, second)
			}
		}
		if len(away.second) < 30 {
			t.Errorf("events in %d seconds only", len(away.second))
		}
	})
}

// A sleeper is a relay that takes a minute to answer its thousandth request.
type sleeper struct {
	http.Handler
	requests int
	began    time.Time
	second   map[int]int
}

func (s *sleeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.second == nil {
		s.second, s.began = map[int]int{}, time.Now()
	}
	s.requests++
	if s.requests == 1000 {
		time.Sleep(time.Minute)
	}
	s.second[int(time.Since(s.began).Seconds())]++
	s.Handler.ServeHTTP(w, r)
}
