package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A listener that fails ends the relay with an error.
func TestRunFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newTestRelay(t, Config{AdminListener: l})
	l.Close()
	if err := r.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

// A relay without subscribers stops at once, and its listeners are closed.
func TestRunStopsAtOnce(t *testing.T) {
	s := serveRelay(t, Config{Drain: time.Hour})
	p := s.protocols(t)[0]
	res, err := p.client.Get("http://" + s.admin + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
	s.shut(t)
	for _, addr := range []string{s.plain, s.public, s.admin} {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Errorf("%s is still listened on", addr)
		}
	}
}

// For DrainDelay a relay that is asked to stop says so on /readyz, and is as it was to all others.
func TestRunGivesNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{DrainDelay: time.Minute})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		over := make(chan error, 1)
		go func() { over <- r.Run(ctx) }()
		wantReady := func(code int, says string) {
			t.Helper()
			w := httptest.NewRecorder()
			r.Admin().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/readyz", nil))
			if w.Code != code || w.Body.String() != says+"\n" {
				t.Errorf("/readyz: %d %q, want %d %q", w.Code, w.Body, code, says)
			}
		}
		early, cancelEarly, earlyDone := follow(r, "/events/t")
		defer cancelEarly()
		synctest.Wait()
		wantReady(http.StatusOK, "ready")

		began := time.Now()
		stop()
		synctest.Wait()
		wantReady(http.StatusServiceUnavailable, "not ready: draining")
		time.Sleep(time.Minute - 1)
		late, cancelLate, lateDone := follow(r, "/events/t")
		defer cancelLate()
		synctest.Wait()
		if w := ask(r, "POST", "/events/t", "news"); w.Code != http.StatusCreated {
			t.Errorf("publish: %d %s", w.Code, w.Body)
		}
		synctest.Wait()
		for name, s := range map[string]*sink{"early": early, "late": late} {
			if got := s.take(); !strings.Contains(got, "data: news\n") || strings.Count(got, "retry: ") != 1 {
				t.Errorf("who came %s got %q", name, got)
			}
		}
		if err := <-over; err != nil {
			t.Error(err)
		}
		<-earlyDone
		<-lateDone
		if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("it took %v", took)
		}
		wantOverload(t, r, "stopping")
	})
}

// Nobody is given notice of a relay that is not ready anyway: nothing would come of it but waiting.
func TestRunGivesNoNoticeWhenNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{DrainDelay: time.Minute, Ready: func() error { return errors.New("not yet") }})
		ctx, stop := context.WithCancel(t.Context())
		stop()
		began := time.Now()
		if err := r.Run(ctx); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A header that is too large is refused, whatever the protocol.
func TestRunHeaderLimit(t *testing.T) {
	s := serveRelay(t, Config{Limits: Limits{HeaderBytes: 4 << 10}})
	for _, p := range s.protocols(t) {
		req, err := http.NewRequest("GET", p.url+"/events/t", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			req.Header.Set(fmt.Sprint("X-Large-", i), strings.Repeat("x", 500))
		}
		res, err := p.client.Do(req)
		if err != nil {
			continue // refused by the connection
		}
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %s", p.name, res.Status)
		}
	}
}
