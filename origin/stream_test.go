package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func wantLog(t *testing.T, r *puppetRelay, n int) {
	t.Helper()
	var want, got []string
	for i := 1; i <= n; i++ {
		want = append(want, fmt.Sprint("=", i))
	}
	for _, line := range r.Log() {
		_, text, _ := strings.Cut(line, "=")
		got = append(got, "="+text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestStream(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			r := newPuppetRelay(t, http2)
			s := publisher(t, r).Stream("t")
			var acked []uint64
			var lastID string
			s.Acknowledged = func(count uint64, id string) { acked, lastID = append(acked, count), id }
			for i := 1; i <= 3; i++ {
				if n, err := s.Send(t.Context(), Event{Data: fmt.Append(nil, i)}); err != nil || n != uint64(i) {
					t.Fatal(n, err)
				}
				// Each is acknowledged while the request stays open.
				if err := s.Wait(t.Context(), uint64(i)); err != nil {
					t.Fatal(err)
				}
			}
			if s.Acked() != 3 {
				t.Errorf("%d acknowledged", s.Acked())
			}
			for i := 4; i <= 1000; i++ {
				if _, err := s.Send(t.Context(), Event{Data: fmt.Append(nil, i)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Errorf("closed twice: %v", err)
			}
			if _, err := s.Send(t.Context(), Event{}); !errors.Is(err, errStreamClosed) {
				t.Errorf("send after close: %v", err)
			}
			wantLog(t, r, 1000)
			if r.requests != 1 || acked[len(acked)-1] != 1000 || lastID != "p-1000" {
				t.Errorf("%d requests; last acknowledged %d, %q", r.requests, acked[len(acked)-1], lastID)
			}
		})
	}
}

// Cut at any byte, in either direction, over and over: every event is there
// once and in order, and none was acknowledged that is not there.
func TestStreamCutAnywhere(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			most := 2500
			if http2 {
				most = 6000 // a handshake takes some
			}
			for seed := range uint64(4) {
				r := newPuppetRelay(t, http2)
				c := newCutter(t, r.URL, seed, most)
				p := publisher(t, r, c.URL)
				s := p.Stream("t")
				s.Window = 50
				early := false
				s.Acknowledged = func(count uint64, id string) {
					early = early || count > uint64(len(r.Log()))
				}
				const n = 1500
				for i := 1; i <= n; i++ {
					if _, err := s.Send(t.Context(), Event{Data: fmt.Append(nil, i)}); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantLog(t, r, n)
				if early {
					t.Error("an event was acknowledged before it was committed")
				}
				if c.Cuts() < 5 {
					t.Errorf("only %d cuts", c.Cuts())
				}
				p.client.CloseIdleConnections()
			}
		})
	}
}

// A lone relay that restarts has lost its memory of the stream. The publisher
// goes on with what is not acknowledged.
func TestStreamRelayRestarts(t *testing.T) {
	r := newPuppetRelay(t, false)
	s := publisher(t, r).Stream("t")
	for i := 1; i <= 600; i++ {
		if _, err := s.Send(t.Context(), Event{Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
		if i%200 == 0 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.Restart()
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLog(t, r, 600)
	if r.requests < 3 {
		t.Errorf("%d requests", r.requests)
	}
}

// A relay that takes events and acknowledges nothing is left for another.
func TestStreamMuteRelay(t *testing.T) {
	r := newPuppetRelay(t, false)
	r.mute = true
	p := publisher(t, r)
	p.AttemptTimeout = 50 * time.Millisecond
	s := p.Stream("t")
	if _, err := s.Send(t.Context(), Event{Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	err := s.Wait(ctx, 1)
	cancel()
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errSlow) {
		t.Errorf("wait: %v", err)
	}
	r.mu.Lock()
	r.mute = false
	r.mu.Unlock()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantLog(t, r, 1)
}

// The window is bounded in events and bytes, and a Send that gives up has sent
// nothing.
func TestStreamBackPressure(t *testing.T) {
	for name, limit := range map[string]func(*Stream){
		"events": func(s *Stream) { s.Window = 10 },
		"bytes":  func(s *Stream) { s.WindowBytes = 10 * len("data: 1\n\n") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newPuppetRelay(t, false)
			r.reject = func(*http.Request) int { return 503 }
			s := publisher(t, r).Stream("t")
			limit(s)
			send := func(data string, patience time.Duration) error {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := s.Send(ctx, Event{Data: []byte(data)})
				return err
			}
			for i := 1; i <= 9; i++ {
				if err := send(fmt.Sprint(i), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			if err := send("x", time.Minute); err != nil {
				t.Fatal(err)
			}
			err := send("too much", 20*time.Millisecond)
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("above the window: %v", err)
			}
			r.mu.Lock()
			r.reject = nil
			r.mu.Unlock()
			if err := send(strings.Repeat("y", 500), time.Minute); err != nil { // larger than the window, alone in it
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			log := r.Log()
			if len(log) != 11 || !strings.HasSuffix(log[9], "=x") || !strings.HasSuffix(log[10], "yy") {
				t.Errorf("log %q", log)
			}
		})
	}
}

// A refused event ends the stream; the error says which it was, and what came
// before it is there.
func TestStreamRefused(t *testing.T) {
	r := newPuppetRelay(t, false)
	r.limit = 10
	s := publisher(t, r).Stream("t")
	for i := 1; i <= 5; i++ {
		data := fmt.Sprint(i)
		if i == 4 {
			data = strings.Repeat("x", 20)
		}
		if _, err := s.Send(t.Context(), Event{Data: []byte(data)}); err != nil && i < 5 {
			t.Fatal(err)
		}
	}
	err := s.Wait(t.Context(), 5)
	var failure *PublishError
	if !errors.Is(err, ErrTooLarge) || !errors.As(err, &failure) || failure.Number != 4 || failure.Limit != "limits.event_bytes" || failure.Max != 10 {
		t.Errorf("wait: %v", err)
	}
	if _, again := s.Send(t.Context(), Event{}); !errors.Is(again, ErrTooLarge) {
		t.Errorf("send: %v", again)
	}
	if closed := s.Close(t.Context()); !errors.Is(closed, ErrTooLarge) {
		t.Errorf("close: %v", closed)
	}
	if s.Acked() != 3 {
		t.Errorf("%d acknowledged", s.Acked())
	}
	wantLog(t, r, 3)
}

func TestStreamUnauthorized(t *testing.T) {
	r := newPuppetRelay(t, false)
	r.reject = func(*http.Request) int { return 401 }
	s := publisher(t, r).Stream("t")
	if _, err := s.Send(t.Context(), Event{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); !errors.Is(err, ErrUnauthorized) || r.requests != 1 {
		t.Errorf("close: %v after %d requests", err, r.requests)
	}
}

func TestStreamCloseGivesUp(t *testing.T) {
	s := publisher(t, nil, "http://127.0.0.1:1").Stream("t")
	if _, err := s.Send(t.Context(), Event{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := s.Close(ctx)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("close: %v", err)
	}
}

// A server that is no relay does not get an endless body.
func TestStreamWithoutAcknowledgements(t *testing.T) {
	r := newPuppetRelay(t, false)
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { w.WriteHeader(200) })
	s := publisher(t, r).Stream("t")
	if _, err := s.Send(t.Context(), Event{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("close: %v", err)
	}
}

func TestStreamFromManyGoroutines(t *testing.T) {
	r := newPuppetRelay(t, false)
	s := publisher(t, r).Stream("t")
	s.Window = 7
	order := make([]string, 401)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 50 {
				data := fmt.Sprint(w, ".", i)
				n, err := s.Send(t.Context(), Event{Data: []byte(data)})
				if err != nil {
					t.Error(err)
					return
				}
				order[n] = data
			}
		})
	}
	all.Wait()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, line := range r.Log() {
		if !strings.HasSuffix(line, "="+order[i+1]) {
			t.Fatalf("event %d is %q, want %q", i+1, line, order[i+1])
		}
	}
}

// What still reads for a connection that was given up gets nothing that the
// next is to send.
func TestStreamBodyOfAnotherConnection(t *testing.T) {
	s := publisher(t, nil, "http://127.0.0.1:1").Stream("t")
	s.window.add([]byte("data: 1\n\n"))
	stale, present := &streamBody{stream: s}, &streamBody{stream: s}
	s.body = present
	if n, err := stale.Read(make([]byte, 100)); n > 0 || err != errStale {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := present.Read(make([]byte, 100)); n != 9 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// The window against a plain model: what the relay has read since the last
// rewind is the events from the first unacknowledged one on.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var events []string // all that were ever added
		var read string     // by the present connection
		from := 0           // the index of its first event
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				e := rapid.StringN(1, 20, -1).Draw(t, "event")
				events = append(events, e)
				if n := w.add([]byte(e)); n != uint64(len(events)) {
					t.Fatalf("number %d of %d", n, len(events))
				}
			},
			"read": func(t *rapid.T) {
				p := make([]byte, rapid.IntRange(1, 50).Draw(t, "size"))
				read += string(p[:w.fill(p)])
			},
			"rewind": func(t *rapid.T) {
				w.rewind()
				read, from = "", int(w.acked)
			},
			"ack": func(t *rapid.T) {
				count := rapid.IntRange(0, len(events)+2).Draw(t, "count")
				whole := from
				for size := 0; whole < len(events); whole++ {
					if size += len(events[whole]); size > len(read) {
						break
					}
				}
				before := w.acked
				err := w.ack(uint64(count))
				if wrong := count > whole && count > int(before); (err != nil) != wrong {
					t.Fatalf("ack %d with %d read: %v", count, whole, err)
				}
				if err == nil && w.acked != max(before, uint64(count)) {
					t.Fatalf("ack %d after %d: %d", count, before, w.acked)
				}
			},
			"": func(t *rapid.T) {
				if all := strings.Join(events[from:], ""); !strings.HasPrefix(all, read) || w.unread() != (all != read) {
					t.Fatalf("read %q of %q, unread %v", read, all, w.unread())
				}
				bytes := 0
				for _, e := range events[w.acked:] {
					bytes += len(e)
				}
				if w.bytes != bytes || w.last() != uint64(len(events)) {
					t.Fatalf("%d bytes, want %d; last %d", w.bytes, bytes, w.last())
				}
			},
		})
	})
}
