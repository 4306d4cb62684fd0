package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// publisher returns a publisher that is quick to try again.
func publisher(t testing.TB, r *puppetRelay, relays ...string) *Publisher {
	p := &Publisher{Relays: relays, Retry: time.Millisecond, MaxRetry: 20 * time.Millisecond, AttemptTimeout: 5 * time.Second, Token: "secret"}
	if r != nil {
		if len(relays) == 0 {
			p.Relays = []string{r.URL}
		}
		if r.Certificate() != nil {
			roots := x509.NewCertPool()
			roots.AddCert(r.Certificate())
			p.TLS = &tls.Config{RootCAs: roots, ServerName: "example.com"}
		}
	}
	t.Cleanup(func() {
		if p.client != nil {
			p.client.CloseIdleConnections()
		}
	})
	return p
}

func TestPublish(t *testing.T) {
	r := newPuppetRelay(t, false)
	r.reject = func(req *http.Request) int {
		if req.Header.Get("Authorization") != "Bearer secret" {
			return 401
		}
		return 0
	}
	p := publisher(t, r, r.URL+"/")
	for _, c := range []struct {
		e  Event
		id string
	}{
		{Event{Data: []byte("1:0")}, "p-1"},
		{Event{ID: "g 7&", Type: "goal", Key: "k", Data: []byte("a\nb")}, "g 7&"},
		{Event{}, "p-3"},
	} {
		if id, err := p.Publish(t.Context(), "scores/m-1", c.e); err != nil || id != c.id {
			t.Errorf("%+v: id %q, error %v", c.e, id, err)
		}
	}
	if err := p.End(t.Context(), "scores/m-1"); err != nil {
		t.Error(err)
	}
	want := []string{"scores/m-1 p-1 =1:0", "scores/m-1 g 7& goal=a\nb", "scores/m-1 p-3 =", "scores/m-1 END"}
	if diff := cmp.Diff(want, r.Log()); diff != "" {
		t.Error(diff)
	}
}

func TestPublishErrors(t *testing.T) {
	for status, kind := range map[int]error{
		400: ErrRefused, 401: ErrUnauthorized, 403: ErrUnauthorized, 404: ErrRefused, 409: ErrConflict,
		410: ErrEnded, 413: ErrTooLarge, 415: ErrRefused,
	} {
		r := newPuppetRelay(t, false)
		r.reject = func(*http.Request) int { return status }
		p := publisher(t, r, r.URL, "http://127.0.0.1:1")
		_, err := p.Publish(t.Context(), "t", Event{})
		var failure *PublishError
		if !errors.Is(err, kind) || !errors.As(err, &failure) {
			t.Fatalf("%d: %v", status, err)
		}
		if failure.Status != status || failure.Detail != "because" || failure.Field != "data" || failure.Limit != "limits.some" || failure.Max != 7 {
			t.Errorf("%d: %+v", status, failure)
		}
		if errors.Is(err, ErrUnavailable) || r.requests != 1 {
			t.Errorf("%d: %v after %d requests", status, err, r.requests)
		}
	}
}

func TestPublishRefusesWithoutAsking(t *testing.T) {
	r := newPuppetRelay(t, false)
	for _, c := range []struct {
		topic string
		e     Event
		field string
	}{
		{"a//b", Event{}, "topic"},
		{"", Event{}, "topic"},
		{"t", Event{Type: "freshet.gap"}, "event"},
		{"t", Event{ID: "a\nb"}, "id"},
		{"t", Event{Key: "\x00"}, "key"},
	} {
		p := publisher(t, r)
		s := p.Stream(c.topic)
		_, sendErr := s.Send(t.Context(), c.e)
		_, err := p.Publish(t.Context(), c.topic, c.e)
		for _, err := range []error{err, sendErr} {
			var failure *PublishError
			if !errors.Is(err, ErrRefused) || !errors.As(err, &failure) || failure.Field != c.field {
				t.Errorf("%q %+v: %v", c.topic, c.e, err)
			}
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if r.requests > 0 {
		t.Errorf("%d requests", r.requests)
	}
	for want, p := range map[string]*Publisher{"no relays": {}, "http or https": {Relays: []string{"relay:80"}}} {
		if _, err := p.Publish(t.Context(), "t", Event{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
}

// Whatever goes wrong on the way, the event is there once.
func TestPublishRetries(t *testing.T) {
	r := newPuppetRelay(t, false)
	n := 0
	r.reject = func(*http.Request) int {
		n++
		return map[int]int{1: 503, 2: 500, 3: 429, 4: 307}[n]
	}
	p := publisher(t, r)
	id, err := p.Publish(t.Context(), "t", Event{Type: "x", Data: []byte("a")})
	if err != nil || id != "p-1" || n != 5 || len(r.Log()) != 1 {
		t.Errorf("id %q, error %v after %d requests: %q", id, err, n, r.Log())
	}
}

// A relay that is gone does not keep an event from being published, nor the next
// from being published at once.
func TestPublishFailsOver(t *testing.T) {
	r := newPuppetRelay(t, false)
	p := publisher(t, r, "http://127.0.0.1:1", r.URL)
	for i := range 3 {
		if _, err := p.Publish(t.Context(), "t", Event{Data: []byte("a")}); err != nil {
			t.Fatal(err)
		}
		if p.current.Load() != 1 {
			t.Errorf("after %d events relay %d is in use", i+1, p.current.Load())
		}
	}
}

func TestPublishUnavailable(t *testing.T) {
	r := newPuppetRelay(t, false)
	r.reject = func(*http.Request) int { return 503 }
	for name, relays := range map[string][]string{"503": {r.URL}, "unreachable": {"http://127.0.0.1:1"}} {
		p := publisher(t, nil, relays...)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := p.Publish(ctx, "t", Event{})
		cancel()
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Single publications through connections that are cut at any byte: each is
// there once, and its id is the one it has.
func TestPublishCutAnywhere(t *testing.T) {
	r := newPuppetRelay(t, false)
	c := newCutter(t, r.URL, 1, 600)
	p := publisher(t, nil, c.URL)
	ids := make([]string, 120)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := w; i < len(ids); i += 4 {
				e := Event{Data: fmt.Append(nil, i)}
				if i%3 == 0 {
					e.ID = fmt.Sprint("own", i)
				}
				var err error
				if ids[i], err = p.Publish(t.Context(), "t", e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen := map[string]int{}
	for _, line := range r.Log() {
		seen[line]++
	}
	for i, id := range ids {
		if seen[fmt.Sprintf("t %s =%d", id, i)] != 1 {
			t.Errorf("event %d, id %q, is there %d times", i, id, seen[fmt.Sprintf("t %s =%d", id, i)])
		}
	}
	if len(seen) != len(ids) || c.Cuts() < 20 {
		t.Errorf("%d events, %d cuts", len(seen), c.Cuts())
	}
	p.client.CloseIdleConnections()
}
