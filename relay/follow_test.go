package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet/origin/sse"
)

// puppetUpstream follows as it is told, and remembers what it was asked.
type puppetUpstream struct {
	relay  *Relay
	follow func(ctx context.Context, topic, lastEventID string, opened func()) error

	mu    sync.Mutex
	calls []string // "topic from id"
	open  int
	most  int // open at once
}

func (u *puppetUpstream) Follow(ctx context.Context, topic, lastEventID string, opened func()) error {
	u.mu.Lock()
	u.calls = append(u.calls, fmt.Sprintf("%s from %q", topic, lastEventID))
	u.open++
	u.most = max(u.most, u.open)
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		u.open--
		u.mu.Unlock()
	}()
	return u.follow(ctx, topic, lastEventID, opened)
}

func (u *puppetUpstream) WantCalls(t *testing.T, want ...string) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if got := strings.Join(u.calls, ", "); got != strings.Join(want, ", ") {
		t.Fatalf("followed %s, want %s", got, strings.Join(want, ", "))
	}
}

func (u *puppetUpstream) WantOpen(t *testing.T, want int) {
	t.Helper()
	synctest.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.open != want {
		t.Fatalf("%d are followed, want %d", u.open, want)
	}
}

func newPuppetUpstream(t *testing.T, c Config) (*puppetUpstream, *Relay) {
	u := &puppetUpstream{}
	c.Upstream = u
	u.relay = newTestRelay(t, c)
	u.follow = func(ctx context.Context, _, _ string, opened func()) error {
		opened()
		<-ctx.Done()
		return nil
	}
	return u, u.relay
}

// A topic is followed from its first subscriber until linger after the last.
func TestFollowLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, r := newPuppetUpstream(t, Config{})
		u.WantOpen(t, 0)
		_, cancel1, done1 := follow(r, "/events/t")
		_, cancel2, done2 := follow(r, "/events/t")
		u.WantOpen(t, 1)
		cancel1()
		<-done1
		time.Sleep(time.Hour)
		u.WantOpen(t, 1)

		cancel2()
		<-done2
		time.Sleep(29 * time.Second)
		u.WantOpen(t, 1)
		_, cancel3, done3 := follow(r, "/events/t") // just in time
		time.Sleep(time.Minute)
		u.WantOpen(t, 1)
		cancel3()
		<-done3
		time.Sleep(30*time.Second - 1)
		u.WantOpen(t, 1)
		time.Sleep(time.Nanosecond)
		u.WantOpen(t, 0)
		u.WantCalls(t, `t from ""`)
		if n := r.topics.len(); n != 0 {
			t.Errorf("%d topics are known for nothing", n)
		}

		_, cancel4, done4 := follow(r, "/events/t")
		u.WantOpen(t, 1)
		u.WantCalls(t, `t from ""`, `t from ""`)
		cancel4()
		<-done4
	})
}

// One that is slow to stop is waited for before the next begins.
func TestFollowOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, r := newPuppetUpstream(t, Config{})
		u.follow = func(ctx context.Context, _, _ string, opened func()) error {
			opened()
			<-ctx.Done()
			time.Sleep(time.Minute)
			return nil
		}
		for range 3 {
			_, cancel, done := follow(r, "/events/t")
			time.Sleep(time.Second)
			cancel()
			<-done
			time.Sleep(31 * time.Second)
		}
		time.Sleep(time.Hour)
		u.WantOpen(t, 0)
		u.WantCalls(t, `t from ""`, `t from ""`)
		if u.most != 1 {
			t.Errorf("%d at once", u.most)
		}
	})
}

func TestFollowResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, r := newPuppetUpstream(t, Config{})
		u.follow = func(ctx context.Context, topic, _ string, opened func()) error {
			opened()
			r.Append(ctx, topic, sse.Event{ID: "8", Data: []byte("eight")})
			<-ctx.Done()
			return nil
		}
		// What came before is at the origin: the log begins after 7.
		s, cancel, done := follow(r, "/events/t", "Last-Event-ID", "7")
		synctest.Wait()
		if got := script([]byte(s.take())); !strings.HasSuffix(got, "eight\n") || strings.Contains(got, "gap") {
			t.Errorf("the stream was\n%s", got)
		}
		// Another, who knows less, is told.
		other, cancelOther, doneOther := follow(r, "/events/t", "Last-Event-ID", "5")
		synctest.Wait()
		if got := script([]byte(other.take())); !strings.Contains(got, "gap unknown\neight\n") {
			t.Errorf("the stream was\n%s", got)
		}
		cancel()
		cancelOther()
		<-done
		<-doneOther
		time.Sleep(time.Minute)
		u.WantOpen(t, 0)

		// Later the log goes on after what it has, whoever asks.
		_, cancel, done = follow(r, "/events/t", "Last-Event-ID", "7")
		synctest.Wait()
		u.WantCalls(t, `t from "7"`, `t from "8"`)
		cancel()
		<-done
	})
}

func TestFollowAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		follow func(ctx context.Context, topic, lastEventID string, opened func()) error
		status int
		after  time.Duration
	}{
		{"nothing to follow", func(context.Context, string, string, func()) error { return nil }, 200, 0},
		{"not found", statusAfter(404, time.Second), 404, time.Second},
		{"unauthorised", statusAfter(401, 0), 401, 0},
		{"forbidden", statusAfter(403, 0), 403, 0},
		{"gone", statusAfter(410, 0), 410, 0},
		{"ended", statusAfter(204, 0), 204, 0},
		{"broken", statusAfter(500, 0), 503, 0},
		{"some other error", func(context.Context, string, string, func()) error { return errors.New("x") }, 503, 0},
		{"no answer", func(ctx context.Context, _, _ string, _ func()) error { <-ctx.Done(); return nil }, 200, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u, r := newPuppetUpstream(t, Config{})
				u.follow = c.follow
				ctx, cancel := context.WithCancel(t.Context())
				w := httptest.NewRecorder()
				began := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					r.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/events/t", nil))
				}()
				if c.status == 200 {
					time.Sleep(c.after)
				} else {
					<-done
				}
				synctest.Wait()
				if after := time.Since(began); w.Code != c.status || after != c.after {
					t.Errorf("%d after %v, want %d after %v", w.Code, after, c.status, c.after)
				}
				cancel()
				<-done
				if c.status == http.StatusNoContent && ask(r, "POST", "/events/t", "x").Code != http.StatusGone {
					t.Error("a topic that has ended takes events")
				}
			})
		})
	}
}

func statusAfter(code int, d time.Duration) func(context.Context, string, string, func()) error {
	return func(context.Context, string, string, func()) error {
		time.Sleep(d)
		return newProblem(code, "the origin says so")
	}
}

// Who resumes from an event that is on its way waits for it, a moment.
func TestFollowAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, r := newPuppetUpstream(t, Config{})
		publishNumbers(t, r, "t", 1, 2)
		topic := r.topics.peek("t")
		third := topic.ring().Head()
		third.Seq++
		s, cancel, done := follow(r, "/events/t", "Last-Event-ID", third.String())
		time.Sleep(time.Second)
		if got := s.take(); got != "" {
			t.Fatalf("answered with %q", got)
		}
		publishNumbers(t, r, "t", 3, 4)
		synctest.Wait()
		wantScript(t, []byte(s.take()), "open 3", "4")
		cancel()
		<-done

		third.Seq = 99
		s, cancel, done = follow(r, "/events/t", "Last-Event-ID", third.String())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantScript(t, []byte(s.take()), "open 2r", "gap unknown", "1", "2", "3", "4")
		cancel()
		<-done
	})
}

// A first subscriber that is gone before its upstream was called leaves one
// call behind, which those who come next share.
func TestFollowedOnceForOneWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the goroutine that follows begins late
		u, r := newPuppetUpstream(t, Config{Topics: Topics{Linger: time.Hour}})
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		r.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, "GET", "/events/t", nil))
		_, cancel, done := follow(r, "/events/t")
		u.WantOpen(t, 1)
		u.WantCalls(t, `t from ""`)
		cancel()
		<-done
	})
}
