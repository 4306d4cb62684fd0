package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/origin/sse"
)

// A puppetOrigin answers a Source's requests as the test tells it, inside a
// synctest bubble: it is the client's transport.
type puppetOrigin struct {
	t        testing.TB
	requests chan *puppetStream
}

func newPuppetOrigin(t testing.TB) *puppetOrigin {
	return &puppetOrigin{t: t, requests: make(chan *puppetStream, 1000)}
}

func (o *puppetOrigin) RoundTrip(req *http.Request) (*http.Response, error) {
	s := &puppetStream{t: o.t, request: req, answer: make(chan *http.Response, 1)}
	s.r, s.w = io.Pipe()
	o.requests <- s
	select {
	case resp := <-s.answer:
		if resp == nil {
			return nil, errors.New("connection refused")
		}
		resp.Request = req
		stop := context.AfterFunc(req.Context(), func() { s.r.CloseWithError(req.Context().Err()) })
		context.AfterFunc(s.t.Context(), func() { stop() })
		return resp, nil
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// WantRequest waits for the next request, and wants it to resume after id.
func (o *puppetOrigin) WantRequest(id string) *puppetStream {
	o.t.Helper()
	select {
	case s := <-o.requests:
		if got := s.request.Header.Get("Last-Event-ID"); got != id {
			o.t.Fatalf("request resumes after %q, want %q", got, id)
		}
		return s
	case <-time.After(24 * time.Hour):
		o.t.Fatalf("no request that resumes after %q", id)
		return nil
	}
}

// WantNone wants no request for a while.
func (o *puppetOrigin) WantNone(d time.Duration) {
	o.t.Helper()
	select {
	case s := <-o.requests:
		o.t.Fatalf("request for %s", s.request.URL)
	case <-time.After(d):
	}
}

// A puppetStream is one request and its answer.
type puppetStream struct {
	t       testing.TB
	request *http.Request
	answer  chan *http.Response
	r       *io.PipeReader
	w       *io.PipeWriter
}

func (s *puppetStream) reply(status int, kind string, body io.ReadCloser) {
	h := http.Header{}
	if kind != "" {
		h.Set("Content-Type", kind)
	}
	s.answer <- &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Body: body}
}

// Open answers with a stream.
func (s *puppetStream) Open() *puppetStream {
	s.reply(200, "text/event-stream; charset=utf-8", s.r)
	return s
}

// Send sends text as it is, and returns when it was read.
func (s *puppetStream) Send(text string) *puppetStream {
	s.t.Helper()
	if _, err := io.WriteString(s.w, text); err != nil {
		s.t.Fatalf("send %q: %v", text, err)
	}
	return s
}

// Event sends an event of id and data.
func (s *puppetStream) Event(id, data string) *puppetStream {
	s.t.Helper()
	return s.Send("id: " + id + "\ndata: " + data + "\n\n")
}

// Cut tears the connection.
func (s *puppetStream) Cut() { s.w.CloseWithError(errors.New("connection reset")) }

// End ends the answer.
func (s *puppetStream) End() { s.w.Close() }

// Refuse lets the connection fail before an answer.
func (s *puppetStream) Refuse() { s.answer <- nil }

// Status answers with a status and no stream.
func (s *puppetStream) Status(code int) { s.reply(code, "", http.NoBody) }

// A ledger is a Sink and a Log that writes down what it is told, one line for
// each.
type ledger struct {
	mu     sync.Mutex
	lines  []string
	held   map[string]bool
	newest map[string]string
	fail   func(topic string, e sse.Event) error
}

func newLedger() *ledger { return &ledger{held: map[string]bool{}, newest: map[string]string{}} }

func (l *ledger) Append(ctx context.Context, topic string, e sse.Event) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(topic, e); err != nil {
			return "", err
		}
	}
	if e.Topic != "" {
		panic("an event still names its topic")
	}
	l.held[ledgerKey(topic, e)] = true
	l.newest[topic] = e.ID
	line := topic + " " + e.ID + " " + string(e.Data)
	if e.Type != "" {
		line = topic + " " + e.ID + " " + e.Type + "=" + string(e.Data)
	}
	l.lines = append(l.lines, line)
	return e.ID, nil
}

func (l *ledger) Gap(ctx context.Context, topic, lastEventID, oldestID string) error {
	if oldestID != "" {
		return l.note(topic + " GAP " + lastEventID + " to " + oldestID)
	}
	return l.note(topic + " GAP")
}

func (l *ledger) End(ctx context.Context, topic string) error { return l.note(topic + " END") }

func (l *ledger) note(line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *ledger) Holds(topic string, e sse.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[ledgerKey(topic, e)]
}

func (l *ledger) Newest(topic string) (id string, given bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest[topic], l.newest[topic] != "" && !strings.HasPrefix(l.newest[topic], "at-")
}

func ledgerKey(topic string, e sse.Event) string {
	return fmt.Sprintf("%q %q %q %q %q", topic, e.ID, e.Type, e.Key, e.Data)
}

// Want wants the lines since the last Want.
func (l *ledger) Want(t testing.TB, want ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(l.lines, "\n")); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	l.lines = nil
}

// statusError is an error of a Sink that stands for an HTTP status.
type statusError int

func (e statusError) Error() string   { return http.StatusText(int(e)) }
func (e statusError) HTTPStatus() int { return int(e) }

// story runs a Source of one topic against a puppet origin, in a bubble.
func story(t *testing.T, tell func(t *testing.T, o *puppetOrigin, l *ledger, s *Source), change ...func(*Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o, l := newPuppetOrigin(t), newLedger()
		s := &Source{URLs: []string{"http://origin.test/feed"}, Topic: "t", Sink: l, Client: &http.Client{Transport: o}}
		for _, c := range change {
			c(s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		tell(t, o, l, s)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
