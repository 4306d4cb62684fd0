package relay

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet/origin/sse"
)

// sink is the ResponseWriter of a client that can stop reading.
type sink struct {
	header http.Header

	mu       sync.Mutex
	written  bytes.Buffer
	deadline time.Time
	stopped  bool
}

func newSink() *sink { return &sink{header: make(http.Header)} }

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
func (s *sink) Flush()              {}
func (s *sink) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	return nil
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	stopped, deadline := s.stopped, s.deadline
	if !stopped {
		defer s.mu.Unlock()
		return s.written.Write(p)
	}
	s.mu.Unlock()
	time.Sleep(time.Until(deadline))
	return 0, os.ErrDeadlineExceeded
}

// take returns what was written since the last time.
func (s *sink) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.written.Reset()
	return s.written.String()
}

func (s *sink) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.Len()
}

func (s *sink) StopReading() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

// follow subscribes a sink, in a goroutine of its own until cancel or the end.
func follow(r *Relay, target string, header ...string) (s *sink, cancel context.CancelFunc, done <-chan struct{}) {
	s = newSink()
	ctx, cancel := context.WithCancel(context.Background())
	req := httptest.NewRequestWithContext(ctx, "GET", target, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		r.Handler().ServeHTTP(s, req)
	}()
	return s, cancel, over
}

func TestDriveHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{})
		s, cancel, done := follow(r, "/events/t")
		synctest.Wait()
		if got := s.take(); !strings.HasPrefix(got, "retry: ") {
			t.Fatalf("got %q", got)
		}
		time.Sleep(15*time.Second - 1)
		synctest.Wait()
		if got := s.take(); got != "" {
			t.Fatalf("got %q before its time", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := s.take(); got != ":\n" {
			t.Fatalf("got %q, want a heartbeat", got)
		}
		time.Sleep(10 * time.Second)
		publishNumbers(t, r, "t", 1, 1)
		synctest.Wait()
		if got := s.take(); !strings.HasPrefix(got, "data: 1\n") {
			t.Fatalf("got %q, want the event", got)
		}
		time.Sleep(14 * time.Second) // the event counts as a sign of life
		synctest.Wait()
		if got := s.take(); got != "" {
			t.Fatalf("got %q", got)
		}
		time.Sleep(46 * time.Second)
		synctest.Wait()
		if got := s.take(); got != strings.Repeat(":\n", 4) {
			t.Fatalf("got %q in a minute of silence", got)
		}
		cancel()
		<-done
		if n := r.admission.subscribers.Load(); n != 0 {
			t.Errorf("%d subscribers are left", n)
		}
	})
}

func TestDriveStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{})
		s, cancel, done := follow(r, "/events/t")
		defer cancel()
		other, cancelOther, otherDone := follow(r, "/events/t")
		synctest.Wait()
		s.StopReading()
		other.take()
		began := time.Now()
		for i := range 100 {
			publishNumbers(t, r, "t", i, i)
		}
		synctest.Wait()
		if got := len(decode([]byte(other.take()))); got != 100 {
			t.Errorf("the other got %d of 100 events", got)
		}
		<-done
		if after := time.Since(began); after != 30*time.Second {
			t.Errorf("closed after %v", after)
		}
		if n := counterValue(t, r.metrics.leaves[leftStalled]); n != 1 {
			t.Errorf("%v streams are counted as stalled", n)
		}
		cancelOther()
		<-otherDone
	})
}

// A thousand subscribers are sent away over a second, one at once.
func TestDriveDrainIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		defer stop()
		go func() { over <- r.Run(ctx) }()
		const n = 1000
		began := make(chan struct{})
		left := make(chan time.Duration, n)
		var at time.Time
		for range n {
			s, cancel, done := follow(r, "/events/t")
			go func() {
				defer cancel()
				<-done
				<-began
				left <- time.Since(at)
				if got := s.take(); strings.Count(got, "retry: ") != 2 || strings.HasSuffix(got, "\n\n") {
					t.Errorf("the stream was %q", got)
				}
			}()
		}
		synctest.Wait()
		at = time.Now()
		close(began)
		stop()
		if err := <-over; err != nil {
			t.Fatal(err)
		}
		var quarter [4]int
		for range n {
			after := <-left
			if after > time.Second {
				t.Fatalf("one left after %v", after)
			}
			quarter[min(int(after/(250*time.Millisecond)), 3)]++
		}
		for i, n := range quarter {
			if n < 150 || n > 350 {
				t.Errorf("in quarter %d %d left", i, n)
			}
		}

		_, cancel, done := follow(r, "/events/t", "Accept", "text/event-stream")
		<-done // sent away at once
		cancel()
	})
}

func TestDriveTimeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{Stall: time.Hour, Drain: 10 * time.Second})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		defer stop()
		go func() { over <- r.Run(ctx) }()
		s, cancel, done := follow(r, "/events/t")
		defer cancel()
		synctest.Wait()
		s.StopReading()
		mustPublish(t, r, "t", sse.Event{Data: []byte("x")})
		synctest.Wait()
		began := time.Now()
		stop()
		if err := <-over; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the drain took %v", took)
		}
		<-done
	})
}
