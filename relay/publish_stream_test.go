package relay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	"freshet/origin/sse"
)

// puppetPublisher holds one publish request open.
type puppetPublisher struct {
	t      testing.TB
	body   *io.PipeWriter
	answer chan *http.Response
	lines  *bufio.Scanner
}

func (p protocol) publish(t testing.TB, topic string, header ...string) *puppetPublisher {
	t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequest("POST", p.url+"/events/"+topic, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	pub := &puppetPublisher{t: t, body: w, answer: make(chan *http.Response, 1)}
	go func() {
		defer close(pub.answer)
		res, err := p.client.Do(req)
		if err == nil {
			pub.answer <- res
		}
	}()
	t.Cleanup(func() {
		w.CloseWithError(io.ErrClosedPipe)
		if res := <-pub.answer; res != nil {
			res.Body.Close()
		}
	})
	return pub
}

func (p *puppetPublisher) Send(stream string) {
	p.t.Helper()
	if _, err := io.WriteString(p.body, stream); err != nil {
		p.t.Fatal(err)
	}
}

// WantAck reads one acknowledgement.
func (p *puppetPublisher) WantAck(count uint64) acknowledgement {
	p.t.Helper()
	if p.lines == nil {
		res := <-p.answer
		if res == nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/x-ndjson" {
			p.t.Fatalf("the answer is %v", res)
		}
		p.t.Cleanup(func() { res.Body.Close() })
		p.lines = bufio.NewScanner(res.Body)
	}
	var ack acknowledgement
	for ack.Count < count {
		if !p.lines.Scan() {
			p.t.Fatalf("the lines end after %d: %v", ack.Count, p.lines.Err())
		}
		if err := json.Unmarshal(p.lines.Bytes(), &ack); err != nil {
			p.t.Fatal(err)
		}
	}
	if ack.Count != count {
		p.t.Fatalf("%d are acknowledged, want %d", ack.Count, count)
	}
	return ack
}

// A body that never ends is a feed: each event is seen at once, and
// acknowledged at once to who asks for that.
func TestPublishStreamForEver(t *testing.T) {
	r := serveRelay(t, Config{})
	for _, p := range r.protocols(t) {
		t.Run(p.name, func(t *testing.T) {
			topic := "pushed/" + p.name
			s := p.subscribe(t, "/events/"+topic)
			silent := p.publish(t, topic)
			silent.Send("data: 1\n\n")
			s.WantNumbers(1, 1)
			silent.Send("data: 2\n")
			silent.Send("\ndata")
			s.WantNumbers(2, 2)

			telling := p.publish(t, topic, "Accept", "application/x-ndjson")
			for i := 3; i <= 5; i++ {
				telling.Send(fmt.Sprintf("data: %d\n\n", i))
				s.WantNumbers(i, i)
				if ack := telling.WantAck(uint64(i - 2)); ack.ID != s.LastEventID() {
					t.Errorf("the acknowledgement says %q, the subscriber %q", ack.ID, s.LastEventID())
				}
			}

			silent.Send(": 6\n\n")
			s.WantNumbers(6, 6)
			silent.body.Close()
			res := <-silent.answer
			var answer published
			if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusCreated {
				t.Fatal(res.Status, err)
			}
			res.Body.Close()
			if want := (published{Topic: topic, ID: s.LastEventID(), Count: 3}); answer != want {
				t.Errorf("the answer is %+v, want %+v", answer, want)
			}
		})
	}
}

// A publisher that is cut at any byte and dials again under its key, with all
// its events or only with those not acknowledged, publishes each once.
func TestPublishStreamCutAndDialledAgain(t *testing.T) {
	const events = 200
	r := serveRelay(t, Config{})
	for _, p := range r.protocols(t)[:2] {
		for _, offset := range []bool{false, true} {
			t.Run(fmt.Sprint(p.name, " offset ", offset), func(t *testing.T) {
				t.Parallel()
				topic := fmt.Sprint("session/", p.name, "/", offset)
				acked, cuts := uint64(0), 0
				for acked < events {
					header := []string{"Idempotency-Key", "session", "Accept", "application/x-ndjson"}
					first := 1
					if offset && acked > 0 {
						header = append(header, "Freshet-Offset", fmt.Sprint(acked))
						first = int(acked) + 1
					}
					var body bytes.Buffer
					for i := first; i <= events; i++ {
						fmt.Fprintf(&body, "data: %d\n\n", i)
					}
					room := rand.IntN(body.Len() + 200)
					pub := p.publish(t, topic, header...)
					if _, err := pub.body.Write(body.Bytes()[:min(room, body.Len())]); err != nil {
						t.Fatal(err)
					}
					if whole := room >= body.Len(); whole {
						pub.WantAck(events)
						acked = events
						continue
					}
					// Some acknowledgements arrive, some do not.
					cuts++
					res := <-pub.answer
					if res == nil {
						t.Fatal("no answer")
					}
					if rand.IntN(2) == 0 {
						var ack acknowledgement
						if wholeEvent := room > 12; wholeEvent && json.NewDecoder(res.Body).Decode(&ack) == nil {
							acked = max(acked, ack.Count)
						}
					}
					pub.body.CloseWithError(io.ErrUnexpectedEOF)
					res.Body.Close()
				}
				protocol.subscribe(p, t, "/events/"+topic+"?from=oldest").WantNumbers(1, events)
				if n := r.topics.peek(topic).ring().Head().Seq; n != events {
					t.Errorf("%d events were published, want %d", n, events)
				}
				t.Log(cuts, "cuts")
			})
		}
	}
}

// A relay that has restarted takes the rest of a session, counted on.
func TestPublishStreamAfterARestart(t *testing.T) {
	r := newTestRelay(t, Config{})
	w := ask(r, "POST", "/events/t", "data: 8\n\n", "Content-Type", "text/event-stream", "Idempotency-Key", "k", "Freshet-Offset", "7")
	if w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), `"count":8`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A body that is cut in the middle publishes its whole events, and no part.
func TestPublishStreamCutShort(t *testing.T) {
	r := serveRelay(t, Config{})
	for _, framing := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
		topic := "cut/" + strings.ToLower(framing[:8])
		conn, err := net.Dial("tcp", r.plain)
		if err != nil {
			t.Fatal(err)
		}
		body := "data: 1\n\ndata: 2\n"
		if strings.HasPrefix(framing, "T") {
			body = fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
		}
		fmt.Fprintf(conn, "POST /events/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/event-stream\r\n%s\r\n\r\n%s", topic, framing, body)
		conn.Close()
		eventually(t, "the whole event is there and the request over", func() bool {
			return r.topics.peek(topic) != nil && r.admission.publishes.Load() == 0
		})
		if topic := r.topics.peek(topic); topic == nil || topic.ring().Len() != 1 {
			t.Errorf("%s: %v", framing, topic)
		}
	}
}

// Groups are committed from bytes that are used again: what is in the ring must
// not change with them.
func TestPublishStreamManyEvents(t *testing.T) {
	r := newTestRelay(t, Config{})
	var body strings.Builder
	for i := 1; i <= 3000; i++ {
		fmt.Fprintf(&body, "event: tick\ndata: %d\ndata: %s\n\n", i, strings.Repeat("z", i%300))
	}
	w := ask(r, "POST", "/events/t", body.String(), "Content-Type", "text/event-stream")
	if w.Code != http.StatusCreated {
		t.Fatal(w.Code, w.Body)
	}
	s := joinTopic(t, r, "t", start{from: fromOldest})
	stream, _ := pull(s, 4096)
	events := decode(stream)[1:]
	if len(events) != 3000 {
		t.Fatalf("%d events", len(events))
	}
	for i, e := range events {
		if want := fmt.Sprintf("%d\n%s", i+1, strings.Repeat("z", (i+1)%300)); string(e.Data) != want || e.Type != "tick" {
			t.Fatalf("event %d is %+v", i+1, e)
		}
	}
}

// Publishers do not keep a relay from stopping.
func TestPublishStreamWhileDraining(t *testing.T) {
	for i, name := range []string{"http1", "h2c", "h2", "h3"} {
		t.Run(name, func(t *testing.T) {
			r := serveRelay(t, Config{})
			p := r.protocols(t)[i]
			pub := p.publish(t, "t", "Accept", "application/x-ndjson")
			pub.Send("data: 1\n\n")
			pub.WantAck(1)
			go r.cancel()
			if !pub.lines.Scan() {
				t.Fatal("no last line: ", pub.lines.Err())
			}
			var problem Problem
			if err := json.Unmarshal(pub.lines.Bytes(), &problem); err != nil || problem.Status != http.StatusServiceUnavailable || problem.Count != 1 {
				t.Errorf("the last line is %s", pub.lines.Bytes())
			}
			r.shut(t)
		})
	}
}

func TestPublishStreamRefusesWhatIsTooLarge(t *testing.T) {
	r := newTestRelay(t, Config{Limits: Limits{EventBytes: 100}, Topics: Topics{Bytes: 400}})
	for _, c := range []struct{ name, event, limit string }{
		{"one line", "data: " + strings.Repeat("x", 101), "limits.event_bytes"},
		{"a line without an end", strings.Repeat("x", 10<<10), "limits.event_bytes"},
		{"many lines", strings.Repeat("data: x\n", 60), "limits.event_bytes"},
		{"what the wire makes of it", strings.Repeat("data:\n", 90), "topics.bytes"},
	} {
		body := "data: before\n\n" + c.event + "\n\ndata: after\n\n"
		w := ask(r, "POST", "/events/t", body, "Content-Type", "text/event-stream")
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusRequestEntityTooLarge || p.Limit != c.limit || p.Count != 1 {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
}

func TestAccepts(t *testing.T) {
	for accept, want := range map[string]bool{
		"text/event-stream":                        true,
		"text/html, TEXT/event-stream;q=0.9":       true,
		"text/event-stream;q=0":                    false,
		"text/event-stream; charset=utf-8; q=0.00": false,
		"*/*":                  false,
		"":                     false,
		"text/event-streaming": false,
	} {
		if got := accepts(http.Header{"Accept": {accept}}, "text/event-stream"); got != want {
			t.Errorf("Accept: %s: %v", accept, got)
		}
	}
}

// One streaming publisher, in memory: what a relay does per event besides I/O.
func BenchmarkPublishStream(b *testing.B) {
	r := newTestRelay(b, Config{})
	event := []byte("event: tick\ndata: {\"symbol\":\"FRSH\",\"price\":101.25,\"at\":1700000000}\n\n")
	body := bytes.Repeat(event, 1000)
	p := &publication{relay: r, topic: "t", key: byKey + "bench"}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if err := p.run(b.Context(), bytes.NewReader(body), func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/event")
}

// feed drives the publication with whatever bytes, to see that no body
// publishes an event that the standard would not have dispatched.
func FuzzPublishStream(f *testing.F) {
	f.Add([]byte("data: 1\n\nevent: x\nid: 7\ndata: 2\ndata\n\n"), uint8(3))
	f.Add([]byte("\ufeffdata:1\r\rdata:2\r\n\r\n:\n\nid\n\nevent: freshet.gap\ndata: x\n\n"), uint8(1))
	f.Add([]byte("data: \xff\nkey: k\ntopic: t\nid: a\x00b\n\n"), uint8(200))
	f.Fuzz(func(t *testing.T, body []byte, chunk uint8) {
		r, err := New(Config{Limits: Limits{EventBytes: 512}, Topics: Topics{Bytes: 4096}})
		if err != nil {
			t.Fatal(err)
		}
		var want []sse.Event
		d := sse.Decoder{MaxEvent: 512}
		d.Feed(body)
		for e := (sse.Event{}); d.Next(&e); {
			if validate(e) != nil {
				break
			}
			if _, _, err := r.encode(nil, e); err != nil {
				break
			}
			want = append(want, e.Clone())
		}
		p := &publication{relay: r, topic: "t"}
		p.decoder.MaxEvent = 512
		_ = p.run(t.Context(), chunked{bytes.NewReader(body), int(chunk) + 1}, nil)
		topic := r.topics.peek("t")
		if topic == nil {
			if len(want) > 0 {
				t.Fatalf("nothing was published of %d events", len(want))
			}
			return
		}
		s := joinTopic(t, r, "t", start{from: fromOldest})
		stream, _ := pull(s, 64)
		got := decode(stream)[1:]
		if len(got) != topic.ring().Len() || int(topic.ring().Head().Seq) != len(want) {
			t.Fatalf("%d events are read, %d are kept, %d were published, want %d", len(got), topic.ring().Len(), topic.ring().Head().Seq, len(want))
		}
		for i, e := range got {
			if w := want[len(want)-len(got)+i]; !bytes.Equal(e.Data, w.Data) || e.Type != w.Type || e.Key != w.Key {
				t.Fatalf("event %+v became %+v", w, e)
			}
		}
	})
}

// chunked reads in pieces of a size.
type chunked struct {
	r    io.Reader
	size int
}

func (c chunked) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.size)]) }
