package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// Bad input gets a clear answer, and the relay serves on.
func TestPublishBadInput(t *testing.T) {
	r := serveRelay(t, Config{})
	for _, p := range r.protocols(t) {
		t.Run(p.name, func(t *testing.T) {
			s := p.subscribe(t, "/events/t")
			for _, c := range []struct {
				name, method, target string
				body                 io.Reader
				status               int
				says                 string
			}{
				{"10 MiB with a length", "POST", "/events/t", strings.NewReader(strings.Repeat("x", 10<<20)), 413, `"limit":"limits.event_bytes","max":262144`},
				{"10 MiB without a length", "POST", "/events/t", io.MultiReader(strings.NewReader(strings.Repeat("x", 10<<20))), 413, `"limit":"limits.event_bytes"`},
				{"much of it in the id", "POST", "/events/t?id=" + strings.Repeat("i", 9<<10), strings.NewReader(strings.Repeat("x", 256<<10)), 413, "limits.event_bytes"},
				{"a long topic", "POST", "/events/" + strings.Repeat("t", 300), nil, 400, `"field":"topic"`},
				{"a long key", "POST", "/events/t?key=" + strings.Repeat("k", 300), nil, 400, `"field":"key"`},
				{"a reserved type", "POST", "/events/t?event=freshet.open", nil, 400, `"field":"event"`},
				{"NUL in the type", "POST", "/events/t?event=%00", nil, 400, `"field":"event"`},
				{"NUL in the id", "POST", "/events/t?id=%00", nil, 400, `"field":"id"`},
				{"a line feed in the key", "POST", "/events/t?key=a%0Ab", nil, 400, `"field":"key"`},
				{"a wrong method", "PUT", "/events/t", nil, 405, "DELETE ends"},
			} {
				req, err := http.NewRequest(c.method, p.url+c.target, c.body)
				if err != nil {
					t.Fatal(err)
				}
				res, err := p.client.Do(req)
				if err != nil {
					// A client that sends on after the answer may miss it; what
					// matters then is that it was told at all.
					if c.status == 413 {
						t.Logf("%s: %v", c.name, err)
						continue
					}
					t.Errorf("%s: %v", c.name, err)
					continue
				}
				answer, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != c.status || !strings.Contains(string(answer), c.says) || res.Header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s: %s %s", c.name, res.Status, answer)
				}
				var problem Problem
				if err := json.Unmarshal(answer, &problem); err != nil || problem.Status != c.status || problem.Title == "" || problem.Detail == "" {
					t.Errorf("%s: %s", c.name, answer)
				}
			}
			publishNumbers(t, r.Relay, "t", 1, 1)
			s.WantNumbers(1, 1)
			s.Cut()
		})
	}
}

// A body that does not come whole publishes nothing.
func TestPublishCutShort(t *testing.T) {
	r := serveRelay(t, Config{})
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /events/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
	eventually(t, "it is under way", func() bool { return r.admission.publishes.Load() == 1 })
	conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	if r.topics.len() != 0 {
		t.Error("something was published")
	}
	if len(answer) > 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("answered %s", answer)
	}
	conn.Close()
}

func TestPublishLimit(t *testing.T) {
	r := serveRelay(t, Config{Limits: Limits{Publishes: 2}})
	p := r.protocols(t)[0]
	for i := range 2 {
		pub := p.publish(t, fmt.Sprint("t/", i), "Accept", "application/x-ndjson")
		pub.Send("data: x\n\n")
		pub.WantAck(1)
	}
	w := ask(r.Relay, "POST", "/events/t", "x")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"limit":"limits.publishes","max":2`) || w.Header().Get("Retry-After") == "" {
		t.Errorf("a third: %d %s", w.Code, w.Body)
	}
}

// The same event published by many at once is there once.
func TestPublishOnce(t *testing.T) {
	r := newTestRelay(t, Config{})
	for i := range 50 {
		var all sync.WaitGroup
		var fresh atomic.Int64
		for range 8 {
			all.Go(func() {
				receipt, err := r.Publish(t.Context(), "t", "", sse.Event{ID: fmt.Sprint("id-", i), Data: []byte("x")})
				if err != nil || receipt.ID != fmt.Sprint("id-", i) {
					t.Error(receipt, err)
				}
				if !receipt.Duplicate {
					fresh.Add(1)
				}
			})
		}
		all.Wait()
		if fresh.Load() != 1 {
			t.Fatalf("%d of 8 were new", fresh.Load())
		}
	}
	if n := r.topics.peek("t").ring().Len(); n != 50 {
		t.Errorf("%d events", n)
	}
}

// A key is remembered though its event is long gone from the ring, and an id
// though its key is forgotten, as long as the event is there.
func TestPublishRemembers(t *testing.T) {
	r := newTestRelay(t, Config{Topics: Topics{Events: 1}})
	first := mustPublish(t, r, "t", sse.Event{ID: "a", Data: []byte("1")})
	publishNumbers(t, r, "t", 1, 10)
	receipt, err := r.Publish(t.Context(), "t", "", sse.Event{ID: "a", Data: []byte("1")})
	if err != nil || !receipt.Duplicate || receipt.ID != first {
		t.Errorf("%+v, %v", receipt, err)
	}

	mustPublish(t, r, "t", sse.Event{ID: "b", Data: []byte("1")})
	r.keys = newPublishKeys(10)
	receipt, err = r.Publish(t.Context(), "t", "", sse.Event{ID: "b", Data: []byte("1")})
	if err != nil || !receipt.Duplicate || receipt.ID != "b" {
		t.Errorf("%+v, %v", receipt, err)
	}
	if _, err = r.Publish(t.Context(), "t", "", sse.Event{ID: "b", Data: []byte("2")}); status(err) != http.StatusConflict {
		t.Errorf("other bytes under the id: %v", err)
	}
}

// A feed passes on what publishers may not say, and names events as it likes.
func TestAppend(t *testing.T) {
	r := newTestRelay(t, Config{})
	for i, c := range []struct {
		event sse.Event
		id    string
	}{
		{sse.Event{ID: "1", Data: []byte("a")}, "1"},
		{sse.Event{ID: "1", Data: []byte("b")}, "-2"}, // comes again: a position
		{sse.Event{Data: []byte("c")}, "-3"},
		{sse.Event{ID: " x", Data: []byte("d")}, "-4"},
		{sse.Event{ID: "ü", Type: "a\x00b", Data: []byte("e")}, "ü"},
	} {
		id, err := r.Append(t.Context(), "t", c.event)
		if err != nil || !strings.HasSuffix(id, c.id) {
			t.Errorf("event %d: id %q, %v, want %q", i, id, err, c.id)
		}
	}
	if _, err := r.Append(t.Context(), "t", sse.Event{Type: sse.TypeEnd, Data: []byte("x")}); status(err) != http.StatusBadRequest {
		t.Errorf("a control event: %v", err)
	}
	if _, err := r.Append(t.Context(), "a b", sse.Event{Data: []byte("x")}); status(err) != http.StatusBadRequest {
		t.Errorf("a bad topic: %v", err)
	}
}

// An origin's gap has its place in the order.
func TestGap(t *testing.T) {
	r := newTestRelay(t, Config{})
	publishNumbers(t, r, "t", 1, 2)
	if err := r.Gap(t.Context(), "t", "o-2", "o-7"); err != nil {
		t.Fatal(err)
	}
	publishNumbers(t, r, "t", 3, 3)
	s := joinTopic(t, r, "t", start{from: fromOldest})
	stream, _ := pull(s, 1<<20)
	wantScript(t, stream, "open 0", "1", "2", "gap origin", "3")
	e := decode(stream)[3]
	if want := `{"topic":"t","last_event_id":"o-2","oldest_id":"o-7","reason":"origin"}`; string(e.Data) != want || !strings.HasSuffix(e.ID, "-3") {
		t.Errorf("the gap is %s, id %s", e.Data, e.ID)
	}
}

// puppetCommitter remembers what it was asked.
type puppetCommitter struct {
	asked []string
	err   error
	fresh int
}

func (c *puppetCommitter) Commit(_ context.Context, topic, key string, number uint64, events []ringbuf.Entry) (string, uint64, int, error) {
	for _, e := range events {
		c.asked = append(c.asked, fmt.Sprintf("%s %q %d %q", topic, key, number, e.Body))
	}
	return "id", number + uint64(len(events)), c.fresh, c.err
}

func (c *puppetCommitter) End(_ context.Context, topic string) error {
	c.asked = append(c.asked, "end "+topic)
	return c.err
}

func TestCommitter(t *testing.T) {
	c := &puppetCommitter{fresh: 1}
	r := newTestRelay(t, Config{Committer: c})
	if w := ask(r, "POST", "/events/t?id=a", "x"); w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), `"id":"id"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	c.fresh = 0
	if w := ask(r, "POST", "/events/t", "data: y\n\ndata: z\n\n", "Content-Type", "text/event-stream", "Idempotency-Key", "k"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	ask(r, "DELETE", "/events/t", "")
	want := []string{`t "id a" 0 "data: x\n"`, `t "Idempotency-Key k" 1 "data: y\n"`, `t "Idempotency-Key k" 1 "data: z\n"`, "end t"}
	if fmt.Sprint(c.asked) != fmt.Sprint(want) {
		t.Errorf("the committer was asked %q, want %q", c.asked, want)
	}
	if r.topics.len() != 0 {
		t.Error("the relay committed by itself")
	}
	for err, code := range map[error]int{
		io.ErrUnexpectedEOF:            http.StatusServiceUnavailable,
		newProblem(409, "two of them"): http.StatusConflict,
		newProblem(410, "over"):        http.StatusGone,
	} {
		c.err = err
		if w := ask(r, "POST", "/events/t", "x"); w.Code != code {
			t.Errorf("%v is answered with %d", err, w.Code)
		}
	}
}
