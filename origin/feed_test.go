package origin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/origin/sse"
)

// served makes a handler the transport of a client inside a synctest bubble.
// Each answer's body is cut after so many bytes as cut says; nil = never.
type served struct {
	handler http.Handler
	cut     func() int
	running sync.WaitGroup
}

func (s *served) RoundTrip(req *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	answer := &pipedAnswer{w: w, header: http.Header{}, status: make(chan int, 1), left: 1 << 40}
	if s.cut != nil {
		answer.left = s.cut()
	}
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(ctx, func() { r.CloseWithError(context.Canceled) })
	s.running.Go(func() {
		s.handler.ServeHTTP(answer, req.WithContext(ctx))
		answer.WriteHeader(200)
		stop()
		w.Close()
		cancel()
	})
	status := <-answer.status
	return &http.Response{StatusCode: status, Header: answer.header, Body: closer{r, cancel}, Request: req}, nil
}

type closer struct {
	io.Reader
	cancel func()
}

func (c closer) Close() error { c.cancel(); return nil }

type pipedAnswer struct {
	w      *io.PipeWriter
	header http.Header
	once   sync.Once
	status chan int
	left   int
}

func (a *pipedAnswer) Header() http.Header  { return a.header }
func (a *pipedAnswer) WriteHeader(code int) { a.once.Do(func() { a.status <- code }) }
func (a *pipedAnswer) Flush()               {}
func (a *pipedAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(200)
	if len(p) > a.left {
		n, _ := a.w.Write(p[:a.left])
		a.w.CloseWithError(errors.New("cut"))
		return n, errors.New("cut")
	}
	a.left -= len(p)
	return a.w.Write(p)
}

// A feedClient is one client of a feed.
type feedClient struct {
	t      *testing.T
	cancel func()
	status int
	header http.Header

	mu    sync.Mutex
	text  string
	ended bool
}

func get(t *testing.T, h http.Handler, target, lastEventID string) *feedClient {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req := httptest.NewRequestWithContext(ctx, "GET", target, nil)
	req.Header.Set("Accept", "text/event-stream")
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := (&served{handler: h}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	c := &feedClient{t: t, cancel: cancel, status: resp.StatusCode, header: resp.Header}
	go func() {
		chunk := make([]byte, 4096)
		for {
			n, err := resp.Body.Read(chunk)
			c.mu.Lock()
			c.text += string(chunk[:n])
			c.ended = err == io.EOF
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(cancel)
	return c
}

var varying = regexp.MustCompile(`retry: [0-9]+|[0-9a-z]{8}-`)

// Want wants the text since the last Want, with times and epochs left out.
func (c *feedClient) Want(want string) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := varying.ReplaceAllStringFunc(c.text, func(s string) string {
		if strings.HasPrefix(s, "retry") {
			return "retry: N"
		}
		return "E-"
	})
	c.text = ""
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("stream (-want +got):\n%s", diff)
	}
}

func (c *feedClient) WantEnd() {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.t.Error("the stream has not ended")
	}
}

func mustAppend(t *testing.T, f *Feed, topic string, e Event) string {
	t.Helper()
	id, err := f.Append(topic, e)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Feed
		all := get(t, &f, "/", "")
		all.Want("retry: N\nevent: freshet.open\ndata:\nid: E-0\n\n")
		if all.header.Get("Content-Type") != "text/event-stream" || all.header.Get("Cache-Control") != "no-store, no-transform" {
			t.Errorf("header %v", all.header)
		}
		first := mustAppend(t, &f, "a", Event{Data: []byte("1")})
		mustAppend(t, &f, "b", Event{ID: "own", Type: "goal", Key: "k", Data: []byte("2\n3")})
		mustAppend(t, &f, "", Event{Data: []byte("4")})
		all.Want("topic: a\ndata: 1\nid: E-1\n\ntopic: b\nevent: goal\nkey: k\ndata: 2\ndata: 3\nid: own\n\ndata: 4\nid: E-3\n\n")

		get(t, &f, "/", first).Want("retry: N\nevent: freshet.open\ndata:\nid: E-1\n\ntopic: b\nevent: goal\nkey: k\ndata: 2\ndata: 3\nid: own\n\ndata: 4\nid: E-3\n\n")
		get(t, &f, "/?last_event_id=own", "").Want("retry: N\nevent: freshet.open\ndata:\nid: own\n\ndata: 4\nid: E-3\n\n")
		get(t, &f, "/?topic=b&from=oldest", "").Want("retry: N\nevent: freshet.open\ndata:\nid: E-0\n\ntopic: b\nevent: goal\nkey: k\ndata: 2\ndata: 3\nid: own\n\n")
		get(t, &f, "/?from=-1", "").Want("retry: N\nevent: freshet.open\ndata:\nid: E-2\n\ndata: 4\nid: E-3\n\n")
		get(t, &f, "/?topic=a", "").Want("retry: N\nevent: freshet.open\ndata:\nid: E-3\n\n")
		get(t, &f, "/?from="+time.Now().Add(time.Second).UTC().Format(time.RFC3339), "").Want("retry: N\nevent: freshet.open\ndata:\nid: E-3\n\n")

		time.Sleep(14 * time.Second)
		all.Want("")
		time.Sleep(2 * time.Second)
		all.Want(":\n")
		f.Close()
		all.WantEnd()
		get(t, &f, "/", "").Want("retry: N\n")
	})
}

func TestFeedRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := Feed{MaxEvent: 20, MaxStreams: 1}
		for want, c := range map[string]struct {
			topic string
			e     Event
		}{
			"topic": {"a b", Event{}}, "reserved": {"", Event{Type: "freshet.x"}}, "MaxEvent, 20": {"", Event{Data: make([]byte, 21)}}, "line feed": {"", Event{ID: "\n"}},
		} {
			if _, err := f.Append(c.topic, c.e); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want it to say %q", err, want)
			}
		}
		for _, target := range []string{"/?from=yesterday", "/?from=-x", "/?topic=a%20b", "/?last_event_id=a%00"} {
			if c := get(t, &f, target, ""); c.status != 400 {
				t.Errorf("%s: status %d", target, c.status)
			}
		}
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
		if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST: %d", w.Code)
		}
		one := get(t, &f, "/", "")
		synctest.Wait()
		if c := get(t, &f, "/", ""); c.status != 200 {
			t.Errorf("above max streams: %d", c.status)
		} else {
			c.Want("retry: N\n")
			c.WantEnd()
		}
		w = httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("not SSE, above max streams: %d", w.Code)
		}
		one.cancel()
		synctest.Wait()
		get(t, &f, "/", "").Want("retry: N\nevent: freshet.open\ndata:\nid: E-0\n\n")
	})
}

func TestFeedGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := Feed{Events: 2}
		first := mustAppend(t, &f, "", Event{Data: []byte("1")})
		for _, data := range []string{"2", "3", "4"} {
			mustAppend(t, &f, "", Event{Data: []byte(data)})
		}
		for id, reason := range map[string]string{first: "evicted", "nobody's": "unknown"} {
			c := get(t, &f, "/", id)
			synctest.Wait()
			var events []sse.Event
			for e := range sse.NewReader(strings.NewReader(c.text)).All() {
				events = append(events, e)
			}
			if len(events) != 4 || events[0].ID != id || events[1].Type != sse.TypeGap || string(events[2].Data) != "3" {
				t.Fatalf("%s: %q", reason, c.text)
			}
			var gap map[string]string
			if err := json.Unmarshal(events[1].Data, &gap); err != nil || gap["reason"] != reason || gap["last_event_id"] != id || gap["oldest_id"] != events[2].ID {
				t.Errorf("gap %q, want %s", events[1].Data, reason)
			}
			// Whoever is cut off right after the gap has no other when it
			// resumes.
			get(t, &f, "/", events[1].ID).Want("retry: N\nevent: freshet.open\ndata:\nid: E-2\n\ndata: 3\nid: E-3\n\ndata: 4\nid: E-4\n\n")
		}
	})
}

// A client that is too slow loses events, is told so, and goes on live.
func TestFeedLapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := Feed{Events: 10}
		f.setUp()
		s, err := f.newStream(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		for range 11 {
			mustAppend(t, &f, "", Event{Data: []byte("x")})
		}
		if _, err := s.advance(); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, &f, "", Event{Data: []byte("y")})
		if _, err := s.advance(); err != nil {
			t.Fatal(err)
		}
		got := s.w.(*httptest.ResponseRecorder).Body.String()
		if !strings.Contains(got, `"reason":"lapped"`) || strings.Contains(got, "data: x") || !strings.HasSuffix(varying.ReplaceAllString(got, "E-"), "data: y\nid: E-c\n\n") {
			t.Errorf("stream %q", got)
		}
	})
}

func TestFeedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := Feed{Events: 3}
		id := mustAppend(t, &f, "a", Event{Data: []byte("1")})
		a, b := get(t, &f, "/?topic=a", ""), get(t, &f, "/?topic=b", "")
		all := get(t, &f, "/", "")
		open := "retry: N\nevent: freshet.open\ndata:\nid: E-1\n\n"
		if err := f.End("a"); err != nil {
			t.Fatal(err)
		}
		a.Want(open + "topic: a\nevent: freshet.end\ndata:\nid: E-2\n\n")
		a.WantEnd()
		b.Want(open)
		all.Want(open + "topic: a\nevent: freshet.end\ndata:\nid: E-2\n\n")
		if c := get(t, &f, "/?topic=a", ""); c.status != 204 {
			t.Errorf("ended topic: %d", c.status)
		}
		c := get(t, &f, "/?topic=a", id) // has not seen the end
		c.Want(open + "topic: a\nevent: freshet.end\ndata:\nid: E-2\n\n")
		c.WantEnd()
		if _, err := f.Append("a", Event{}); err == nil {
			t.Error("an event was taken after the end")
		}
		for range 3 { // the log forgets the end
			mustAppend(t, &f, "b", Event{Data: []byte("x")})
		}
		c = get(t, &f, "/?topic=a", id)
		synctest.Wait()
		if !strings.HasSuffix(varying.ReplaceAllString(c.text, "E-"), "event: freshet.end\ndata:\nid: E-5\n\n") {
			t.Errorf("the end was forgotten: %q", c.text)
		}
		c.WantEnd()
		if err := f.End(""); err != nil {
			t.Fatal(err)
		}
		b.WantEnd()
		all.WantEnd()
		if c := get(t, &f, "/", ""); c.status != 204 {
			t.Errorf("ended feed: %d", c.status)
		}
	})
}

// A Source pulls a Feed through connections that are cut at any byte: what
// arrives is what was appended.
func TestFeedToSourceCutAnywhere(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			random, cutting := rand.New(rand.NewPCG(seed, 9)), rand.New(rand.NewPCG(seed, 10))
			var f Feed
			var cuts atomic.Int32
			wire := &served{handler: &f, cut: func() int { cuts.Add(1); return cutting.IntN(2000) }}
			l := newLedger()
			s := &Source{URLs: []string{"http://feed.test/"}, Prefix: "p/", Sink: l, Client: &http.Client{Transport: wire}}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			time.Sleep(time.Hour) // long open
			var want []string
			for i := range 500 {
				topic := fmt.Sprint("p/", random.IntN(3))
				e := Event{Data: []byte(strings.Repeat("x", random.IntN(100)))}
				if random.IntN(3) == 0 {
					e.ID = fmt.Sprint("own", i)
				}
				id := mustAppend(t, &f, topic, e)
				want = append(want, topic+" "+id+" "+string(e.Data))
				if random.IntN(4) == 0 {
					time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
				}
			}
			time.Sleep(time.Hour)
			l.Want(t, want...)
			if cuts.Load() < 20 {
				t.Errorf("only %d cuts", cuts.Load())
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			f.Close()
			wire.running.Wait()
		})
	}
}

// A relay that comes back after the service was restarted is told that it may
// have missed something.
func TestFeedRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := new(Feed), new(Feed)
		wire := &served{handler: before}
		l := newLedger()
		s := &Source{URLs: []string{"http://feed.test/"}, Topic: "t", Sink: l, Client: &http.Client{Transport: wire}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		id := mustAppend(t, before, "", Event{Data: []byte("1")})
		l.Want(t, "t "+id+" 1")
		time.Sleep(time.Second)
		oldest := mustAppend(t, after, "", Event{Data: []byte("2")})
		wire.handler = after
		before.Close()
		time.Sleep(time.Minute)
		l.Want(t, "t GAP "+id+" to "+oldest, "t "+oldest+" 2")
		cancel()
		<-done
	})
}

func TestFeedOverHTTP(t *testing.T) {
	var f Feed
	mux := http.NewServeMux()
	mux.Handle("/feed/{topic...}", &f)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	srv.Config.RegisterOnShutdown(f.Close)
	resp, err := http.Get(srv.URL + "/feed/scores/m-1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := sse.NewReader(resp.Body)
	var e sse.Event
	if err := events.Read(&e); err != nil || e.Type != sse.TypeOpen {
		t.Fatal(e, err)
	}
	mustAppend(t, &f, "scores/m-2", Event{Data: []byte("another's")})
	mustAppend(t, &f, "scores/m-1", Event{Data: []byte("1:0")})
	if err := events.Read(&e); err != nil || string(e.Data) != "1:0" || e.Topic != "scores/m-1" {
		t.Fatal(e, err)
	}
	if err := srv.Config.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := events.Read(&e); err != io.EOF {
		t.Error(err)
	}
	if resp, err := http.Head(srv.URL); err == nil {
		resp.Body.Close()
	}
}
