package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"freshet/cmd/freshet/config"
	"freshet/origin/sse"
	"freshet/relay"
)

// A stage is an origin, a relay that pulls it, wired as freshet run does, and subscribers,
// in a synctest bubble: what takes five minutes takes microseconds, and "nothing comes" can
// be asserted.
//
//	puppetOrigin --(http.Client of the feeds)--> relay --(http.Client)--> listener
type stage struct {
	t      *testing.T
	origin *puppetOrigin
	relay  *relay.Relay
	client *http.Client // of subscribers
	counts *prometheus.Registry
}

// play sets a stage with these feeds, as on the command line, and has the story told on it.
func play(t *testing.T, feeds string, tell func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &puppetOrigin{t: t, requests: make(chan *pulled, 10_000)}
		s := newStage(t, feeds, o, relay.Config{})
		s.origin = o
		tell(s)
	})
}

// newStage starts a relay whose feeds are pulled through the transport.
func newStage(t *testing.T, feedList string, origins http.RoundTripper, c relay.Config) *stage {
	t.Helper()
	conf, err := config.Load(config.Layers{Flags: []config.Setting{{Flag: "-feed", Key: "feeds", Text: feedList}}})
	if err != nil {
		t.Fatal(err)
	}
	counts := prometheus.NewRegistry()
	f, err := openFeeds(conf.Feeds, slog.New(slog.DiscardHandler), counts)
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range append(f.steady, f.templates...) {
		source.Client = &http.Client{Transport: origins}
	}
	if len(f.templates) > 0 {
		c.Upstream = f
	}
	s := &stage{t: t, counts: counts}
	if s.relay, err = relay.New(c); err != nil {
		t.Fatal(err)
	}
	if err := f.connect(s.relay, s.relay); err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Transport: inProcess{s.relay.Handler()}}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- f.Run(ctx) }()
	t.Cleanup(func() {
		time.Sleep(time.Minute) // what was pulled for subscribers lingers
		cancel()
		if err := <-over; err != nil {
			t.Errorf("feeds: %v", err)
		}
	})
	return s
}

// Counted is the sum of a metric of the feeds.
func (s *stage) Counted(name string) (sum float64) {
	s.t.Helper()
	synctest.Wait()
	families, err := s.counts.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "freshet_origin_"+name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// WantCounted wants these sums.
func (s *stage) WantCounted(want map[string]float64) {
	s.t.Helper()
	for name, sum := range want {
		if got := s.Counted(name); got != sum {
			s.t.Errorf("%s is %v, want %v", name, got, sum)
		}
	}
}

// inProcess is a transport that calls a handler, with a pipe for a connection.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &pipeWriter{header: http.Header{}, began: make(chan int, 1)}
	var body *io.PipeReader
	body, w.pipe = io.Pipe()
	served := r.Clone(r.Context())
	served.RemoteAddr, served.Host = "127.0.0.1:4242", "localhost"
	if served.Body == nil {
		served.Body = http.NoBody
	}
	go func() {
		defer w.pipe.Close()
		defer w.WriteHeader(http.StatusOK)
		p.handler.ServeHTTP(w, served)
	}()
	select {
	case status := <-w.began:
		context.AfterFunc(r.Context(), func() { body.CloseWithError(r.Context().Err()) })
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: w.header.Clone(), Body: body, Request: r}, nil
	case <-r.Context().Done():
		body.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
}

type pipeWriter struct {
	header http.Header
	once   sync.Once
	began  chan int
	pipe   *io.PipeWriter
}

func (w *pipeWriter) Header() http.Header              { return w.header }
func (w *pipeWriter) WriteHeader(status int)           { w.once.Do(func() { w.began <- status }) }
func (w *pipeWriter) Flush()                           {}
func (w *pipeWriter) SetWriteDeadline(time.Time) error { return nil }
func (w *pipeWriter) Write(p []byte) (n int, err error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(p)
}

// A puppetOrigin answers the relay's pulls as the story tells it.
type puppetOrigin struct {
	t        *testing.T
	requests chan *pulled
}

func (o *puppetOrigin) RoundTrip(r *http.Request) (*http.Response, error) {
	p := &pulled{t: o.t, request: r, answer: make(chan *http.Response, 1)}
	p.r, p.w = io.Pipe()
	o.requests <- p
	select {
	case answer := <-p.answer:
		if answer == nil {
			return nil, errors.New("connection refused")
		}
		context.AfterFunc(r.Context(), func() { p.r.CloseWithError(r.Context().Err()) })
		answer.Request = r
		return answer, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// WantRequest waits for the next pull, and wants it to resume after id.
func (o *puppetOrigin) WantRequest(id string) *pulled {
	o.t.Helper()
	select {
	case p := <-o.requests:
		if got := p.request.Header.Get("Last-Event-ID"); got != id {
			o.t.Fatalf("the relay resumes after %q, want %q", got, id)
		}
		return p
	case <-time.After(time.Hour):
		o.t.Fatalf("the relay does not ask to resume after %q", id)
		return nil
	}
}

// WantNone wants no pull for so long.
func (o *puppetOrigin) WantNone(d time.Duration) {
	o.t.Helper()
	select {
	case p := <-o.requests:
		o.t.Fatalf("the relay asks for %s", p.request.URL)
	case <-time.After(d):
	}
}

// pulled is one request of the relay, and its answer.
type pulled struct {
	t       *testing.T
	request *http.Request
	answer  chan *http.Response
	r       *io.PipeReader
	w       *io.PipeWriter
}

// Open answers with a stream.
func (p *pulled) Open() *pulled {
	p.answer <- &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: p.r}
	return p
}

// Status answers with a status and no stream.
func (p *pulled) Status(code int) {
	p.answer <- &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"text/html"}}, Body: http.NoBody}
}

// Refuse fails the connection before an answer.
func (p *pulled) Refuse() { p.answer <- nil }

// Send sends bytes as they are, and returns when they were read.
func (p *pulled) Send(text string) *pulled {
	p.t.Helper()
	if _, err := io.WriteString(p.w, text); err != nil {
		p.t.Fatalf("send %q: %v", text, err)
	}
	return p
}

// Events sends events of consecutive ids, whose data are their ids.
func (p *pulled) Events(from, to int) *pulled {
	p.t.Helper()
	for i := from; i <= to; i++ {
		p.Send(fmt.Sprintf("id: %d\ndata: %d\n\n", i, i))
	}
	return p
}

// Cut tears the connection.
func (p *pulled) Cut() { p.w.CloseWithError(errors.New("connection reset")) }

// WantClosed wants the relay to have given the connection up.
func (p *pulled) WantClosed(want bool) {
	p.t.Helper()
	synctest.Wait()
	if closed := p.request.Context().Err() != nil; closed != want {
		p.t.Fatalf("the relay has given its connection up: %v, want %v", closed, want)
	}
}

// A listener is a subscriber that writes down what it is told, one line an event:
//
//	open 1-0         the block that a stream opens with
//	7 a              id and data; "7 goal=a" with a type
//	gap 7 9 origin   last_event_id, oldest_id and reason
//	end
type listener struct {
	t      *testing.T
	status int // of the answer
	cancel context.CancelFunc
	over   chan struct{}

	mu     sync.Mutex
	lines  []string
	events []sse.Event // all of them
	lastID string
}

// Listen subscribes, and returns when the relay has answered.
func (s *stage) Listen(topic, lastEventID string) *listener {
	s.t.Helper()
	l := <-s.Ask(topic, lastEventID)
	return l
}

// Ask subscribes, and hands the listener over when the relay has answered.
func (s *stage) Ask(topic, lastEventID string) <-chan *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{t: s.t, cancel: cancel, over: make(chan struct{}), lastID: lastEventID}
	answered := make(chan *listener, 1)
	go func() {
		defer close(l.over)
		req, err := http.NewRequestWithContext(ctx, "GET", "http://relay.test/events/"+topic, nil)
		if err != nil {
			panic(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		if lastEventID != "" {
			req.Header.Set("Last-Event-ID", lastEventID)
		}
		resp, err := s.client.Do(req)
		if err != nil {
			answered <- l
			return
		}
		defer resp.Body.Close()
		l.status = resp.StatusCode
		answered <- l
		l.read(resp.Body)
	}()
	s.t.Cleanup(func() { l.Leave() })
	return answered
}

func (l *listener) read(stream io.Reader) {
	for e, err := range sse.NewReader(stream).All() {
		if err != nil {
			return
		}
		l.mu.Lock()
		l.lastID = e.ID
		l.lines = append(l.lines, eventLine(e))
		l.events = append(l.events, e)
		l.mu.Unlock()
	}
}

func eventLine(e sse.Event) string {
	switch {
	case e.Type == sse.TypeOpen:
		return "open " + e.ID
	case e.Type == sse.TypeEnd:
		return "end"
	case e.Type == sse.TypeGap:
		return "gap " + strings.Join(gapFields(e.Data), " ")
	case e.Type != "":
		return e.ID + " " + e.Type + "=" + string(e.Data)
	}
	return e.ID + " " + string(e.Data)
}

// Want wants these lines since the last Want, but for the opening block. A "*" stands for
// an id that the relay makes.
func (l *listener) Want(want ...string) {
	l.t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var got []string
	for _, line := range l.lines {
		if !strings.HasPrefix(line, "open ") {
			got = append(got, line)
		}
	}
	l.lines = nil
	for i := range min(len(got), len(want)) {
		wantWords, gotWords := strings.Split(want[i], " "), strings.Split(got[i], " ")
		for k := range min(len(wantWords), len(gotWords)) {
			if wantWords[k] == "*" && strings.Contains(gotWords[k], "-") {
				gotWords[k] = "*"
			}
		}
		got[i] = strings.Join(gotWords, " ")
	}
	if diff := gocmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
		l.t.Errorf("the subscriber got (-want +got):\n%s", diff)
	}
}

// LastID is what the subscriber would resume from.
func (l *listener) LastID() string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastID
}

// Leave ends the subscription.
func (l *listener) Leave() {
	l.cancel()
	<-l.over
}

// numbers are lines "1 1" to "2 2", as pulled.Events makes them.
func numbers(from, to int) (lines []string) {
	for i := from; i <= to; i++ {
		lines = append(lines, fmt.Sprint(i, " ", i))
	}
	return lines
}

// gapFields are last_event_id, oldest_id and reason.
func gapFields(data []byte) []string {
	var gap struct {
		Last   string `json:"last_event_id"`
		Oldest string `json:"oldest_id"`
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(data, &gap); err != nil {
		return []string{err.Error()}
	}
	return []string{cmp.Or(gap.Last, "none"), cmp.Or(gap.Oldest, "none"), gap.Reason}
}
