package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/origin/sse"
)

// puppetRelay answers requests from a script, one step each.
type puppetRelay struct {
	t     *testing.T
	start time.Time
	steps []step
	asked []string // "+2s ?from=oldest last=1-2"
}

// step is one answer.
type step struct {
	status      int // 0: 200
	contentType string
	body        string
	err         error // instead of an answer
	hang        bool  // after the body, say nothing until the client gives up
}

func (p *puppetRelay) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked = append(p.asked, strings.TrimSpace(fmt.Sprintf("+%v %s last=%s", time.Since(p.start), r.URL.RawQuery, r.Header.Get("Last-Event-ID"))))
	if len(p.steps) == 0 {
		p.t.Fatalf("asked more often than the script has steps: %q", p.asked)
	}
	s := p.steps[0]
	p.steps = p.steps[1:]
	if s.err != nil {
		return nil, s.err
	}
	if s.status == 0 {
		s.status = 200
	}
	if s.contentType == "" {
		s.contentType = "text/event-stream"
	}
	body := io.Reader(strings.NewReader(s.body))
	if s.hang {
		body = io.MultiReader(body, &silentReader{r.Context()})
	}
	return &http.Response{
		StatusCode: s.status, Status: fmt.Sprintf("%d %s", s.status, http.StatusText(s.status)),
		Header: http.Header{"Content-Type": {s.contentType}}, Body: io.NopCloser(body), Request: r,
	}, nil
}

type silentReader struct{ ctx context.Context }

func (r *silentReader) Read([]byte) (int, error) {
	<-r.ctx.Done()
	return 0, r.ctx.Err()
}

// follow runs a subscription against the script, and returns what it asked, saw and ended with.
// The chance in it is fixed in the middle: each wait is exactly its base.
func follow(t *testing.T, from string, steps ...step) (asked, saw []string, err error) {
	synctest.Test(t, func(t *testing.T) {
		relay := &puppetRelay{t: t, start: time.Now(), steps: steps}
		s := newSubscription(&http.Client{Transport: relay}, "http://relay.test/events/a")
		s.from = from
		s.random = func() float64 { return 0.5 }
		s.event = func(e sse.Event) error {
			saw = append(saw, e.ID+"="+string(e.Data))
			return nil
		}
		s.lost = func(err error, wait time.Duration) { saw = append(saw, fmt.Sprintf("(%v; %v)", err, wait)) }
		err = s.run(t.Context())
		asked = relay.asked
	})
	return asked, saw, err
}

const open = "retry: 1000\nevent: freshet.open\ndata:\nid: 1-0\n\n"

func TestSubscriptionResumes(t *testing.T) {
	asked, saw, err := follow(t, "oldest",
		step{err: errors.New("connection refused")},
		step{status: 503},
		step{body: open},
		step{body: open + "data: a\nid: 1-1\n\ndata: torn\nid: 1-2\n"}, // no blank line: not an event, and no id
		step{body: "retry: 5000\n"},                                    // overload: come back later
		step{body: "data: b\nid: 1-2\n\n:\n"},
		step{status: 204},
	)
	if !errors.Is(err, errEnded) {
		t.Errorf("ended with %v", err)
	}
	if diff := cmp.Diff([]string{
		"+0s from=oldest last=",
		"+2s from=oldest last=",
		"+6s from=oldest last=", // a second failure waits twice as long
		"+7s  last=1-0",         // from the opening block
		"+8s  last=1-1",
		"+13s  last=1-1",
		"+18s  last=1-2",
	}, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"(connection refused; 2s)",
		"(answered 503 Service Unavailable; 4s)",
		"1-0=", "(the stream ended; 1s)",
		"1-0=", "1-1=a", "(the stream ended; 1s)",
		"(the stream ended; 5s)",
		"1-2=b", "(the stream ended; 5s)",
	}, saw); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestSubscriptionEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		last step
		want string
	}{
		{"by an event", step{body: open + "event: freshet.end\ndata:\nid: 1-9\n\n", hang: true}, "the topic has ended"},
		{"by 204", step{status: 204}, "the topic has ended"},
		{"by a refusal", step{status: 400, contentType: "application/problem+json", body: `{"title":"Bad","detail":"from is 3 weeks"}`}, "the relay refuses: from is 3 weeks"},
		{"by a title alone", step{status: 401, body: `{"title":"a token is needed"}`}, "the relay refuses: a token is needed"},
		{"by a bare status", step{status: 404, body: "<html>"}, "the relay refuses: 404 Not Found"},
		{"by a web page", step{contentType: "text/html; charset=utf-8", body: "<html>"}, `the relay refuses: the answer is "text/html", not text/event-stream: is this a relay?`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := follow(t, "", step{status: 500}, c.last)
			if err == nil || err.Error() != c.want {
				t.Errorf("ended with %v, want %q", err, c.want)
			}
		})
	}
}

func TestSubscriptionCutsSilence(t *testing.T) {
	asked, saw, _ := follow(t, "",
		step{body: open, hang: true}, // silent from the first second on
		step{status: 204},
	)
	if diff := cmp.Diff([]string{"+0s  last=", "+1m1s  last=1-0"}, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1-0=", "(silent for 1m0s; 1s)"}, saw); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestSubscriptionWait(t *testing.T) {
	s := &subscription{retry: time.Second}
	for failures, want := range []time.Duration{1, 1, 2, 4, 8, 16, 32, 60, 60} {
		s.failures = failures
		for _, chance := range []float64{0, 0.5, 0.999999} {
			s.random = func() float64 { return chance }
			base := want * time.Second
			if got := s.wait(); got < base/2 || got >= base/2+base {
				t.Errorf("after %d failures with chance %v: %v, not about %v", failures, chance, got, base)
			}
		}
	}
	s.retry, s.failures = 10*time.Minute, 30 // what the relay asks for is never cut short
	s.random = func() float64 { return 0 }
	if got := s.wait(); got != 5*time.Minute {
		t.Errorf("told to wait 10m, waits %v at least", got)
	}
}

func TestSubscriptionStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		relay := &puppetRelay{t: t, start: time.Now(), steps: []step{{body: open, hang: true}}}
		s := newSubscription(&http.Client{Transport: relay}, "http://relay.test/events/a")
		s.event = func(sse.Event) error { return nil }
		s.lost = func(err error, _ time.Duration) { t.Errorf("it was not lost: %v", err) }
		if err := s.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(relay.start); took != 10*time.Second {
			t.Errorf("stopped after %v", took)
		}
	})
}
