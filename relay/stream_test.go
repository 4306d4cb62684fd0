package relay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"freshet/origin/sse"
)

// One subscriber sees events as they are published, over every protocol.
func TestStreamLive(t *testing.T) {
	r := serveRelay(t, Config{})
	for _, p := range r.protocols(t) {
		t.Run(p.name, func(t *testing.T) {
			topic := "live/" + p.name
			s := p.subscribe(t, "/events/"+topic)
			for i := 1; i <= 3; i++ {
				publishNumbers(t, r.Relay, topic, i, i)
				s.WantNumbers(i, i)
			}
			late := p.subscribe(t, "/events/"+topic+"?from=oldest")
			late.WantNumbers(1, 3)
			publishNumbers(t, r.Relay, topic, 4, 4)
			s.WantNumbers(4, 4)
			late.WantNumbers(4, 4)
			if s.LastEventID() != late.LastEventID() {
				t.Errorf("last ids %q and %q", s.LastEventID(), late.LastEventID())
			}
		})
	}
}

// A client that is killed at any byte, in the opening, the replay or live, and
// comes back with its last id gets exactly the rest.
func TestStreamKilledAtAnyByte(t *testing.T) {
	const before, after = 60, 120
	r := serveRelay(t, Config{})
	for _, p := range r.protocols(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			topic := "killed/" + p.name
			for i := 1; i <= before; i++ {
				publishSized(t, r.Relay, topic, i)
			}
			published := make(chan struct{})
			go func() {
				defer close(published)
				for i := before + 1; i <= after; i++ {
					publishSized(t, r.Relay, topic, i)
					time.Sleep(200 * time.Microsecond) // so that some is live
				}
			}()
			defer func() { <-published }()

			var d sse.Decoder
			seen, cuts, begin := 0, 0, "?from=oldest"
			for seen < after {
				body := p.stream(t, "/events/"+topic+begin, "Last-Event-ID", d.LastEventID())
				d.Reset(d.LastEventID())
				room := 1 + rand.IntN(700) // bytes this client lives for
				chunk := make([]byte, 97)
				for room > 0 && seen < after {
					n, err := body.Read(chunk[:min(room, len(chunk))])
					if err != nil {
						t.Fatalf("after %d bytes less: %v", room, err)
					}
					room -= n
					d.Feed(chunk[:n])
					for e := (sse.Event{}); d.Next(&e); {
						if e.Control() {
							if e.Type != sse.TypeOpen {
								t.Fatalf("got %s %s", e.Type, e.Data)
							}
							continue
						}
						seen++
						if got, _, _ := strings.Cut(string(e.Data), " "); got != strconv.Itoa(seen) {
							t.Fatalf("got event %s where %d was due", got, seen)
						}
					}
				}
				if d.LastEventID() != "" {
					begin = ""
				} else {
					seen = 0 // nothing arrived: it begins as new
				}
				cuts++
				body.Close()
			}
			if cuts < 10 {
				t.Errorf("only %d cuts", cuts)
			}
		})
	}
}

func publishSized(t testing.TB, r *Relay, topic string, n int) {
	t.Helper()
	data := strconv.Itoa(n) + " " + strings.Repeat("x", n*37%200)
	e := sse.Event{Data: []byte(data)}
	if n%3 == 0 {
		e.ID = fmt.Sprintf("origin-%d", n)
	}
	mustPublish(t, r, topic, e)
}

// stream opens a stream of bytes.
func (p protocol) stream(t testing.TB, path string, header ...string) io.ReadCloser {
	t.Helper()
	req, err := http.NewRequest("GET", p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res.Body
}

// Two clients are cut before their first event and in the middle of a replay:
// the opening block has told them where to go on.
func TestStreamCutInReplay(t *testing.T) {
	r := serveRelay(t, Config{})
	publishNumbers(t, r.Relay, "t", 1, 20)
	for _, p := range r.protocols(t) {
		t.Run(p.name, func(t *testing.T) {
			first := p.subscribe(t, "/events/t?from=-10")
			first.Cut()
			again := p.subscribe(t, "/events/t", "Last-Event-ID", first.LastEventID())
			again.WantNumbers(11, 20)

			second := p.subscribe(t, "/events/t?from=-10")
			second.WantNumbers(11, 13)
			second.Cut()
			again = p.subscribe(t, "/events/t", "Last-Event-ID", second.LastEventID())
			again.WantNumbers(14, 20)
		})
	}
}

// One that waits on an empty topic, is cut, and comes back after the first
// event gets it: the topic did not become another in between.
func TestStreamCutBeforeTheFirstEvent(t *testing.T) {
	r := serveRelay(t, Config{})
	p := r.protocols(t)[0]
	s := p.subscribe(t, "/events/quiet")
	s.Cut()
	eventually(t, "the topic is forgotten", func() bool { return r.topics.len() == 0 })
	publishNumbers(t, r.Relay, "quiet", 1, 2)
	p.subscribe(t, "/events/quiet", "Last-Event-ID", s.LastEventID()).WantNumbers(1, 2)
}

// Of a thousand subscribers one stops reading. The others get everything, and
// what is kept for the one does not grow with its lag.
func TestStreamOneStopsReading(t *testing.T) {
	const subscribers, events = 1000, 40
	// With small buffers in the kernel the one is soon in everybody's way, if
	// it can be.
	small := func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4<<10)
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		})
	}
	l, err := (&net.ListenConfig{Control: small}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := serveRelay(t, Config{Plain: l, Topics: Topics{Events: 8}})
	frozen, err := (&net.Dialer{Control: small}).Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	fmt.Fprintf(frozen, "GET /events/t HTTP/1.1\r\nHost: localhost\r\n\r\n") // and reads nothing

	p := r.protocols(t)[2]           // by the other listener, whose buffers are as always
	p.stream(t, "/events/t").Close() // one connection for all that follow
	var received atomic.Int64
	var all sync.WaitGroup
	for range subscribers - 1 {
		all.Go(func() {
			stream := p.stream(t, "/events/t")
			defer stream.Close()
			reader := sse.NewReader(stream)
			for seen := 0; seen < events; {
				var e sse.Event
				if err := reader.Read(&e); err != nil {
					t.Errorf("after %d events: %v", seen, err)
					return
				}
				if e.Type == sse.TypeOpen {
					continue
				}
				seen++
				if n, _, _ := strings.Cut(string(e.Data), " "); n != strconv.Itoa(seen) {
					t.Errorf("got event %s %s where %d was due", e.Type, n, seen)
					return
				}
				received.Add(1)
			}
		})
	}
	eventually(t, "all subscribe", func() bool { return r.admission.subscribers.Load() == subscribers })
	topic := r.topics.peek("t")
	for i := 1; i <= events; i++ {
		data := fmt.Sprint(i, " ", strings.Repeat("x", 1000))
		mustPublish(t, r.Relay, "t", sse.Event{Data: []byte(data)})
		eventually(t, fmt.Sprintf("the others have event %d", i), func() bool {
			return t.Failed() || received.Load() == int64(i*(subscribers-1))
		})
		if held := r.held.bytes.Load(); held > 2000 {
			t.Fatalf("%d bytes are held for the one", held)
		}
	}
	all.Wait()
	if n := topic.ring().Len(); n != 8 {
		t.Errorf("the ring keeps %d events, want 8", n)
	}
	// It really stood still.
	if n := r.deliveries(); n >= events*subscribers {
		t.Errorf("%d deliveries, though one subscriber reads nothing", n)
	}

	// It reads on: what was on its way, the gap, and the newest.
	frozen.SetReadDeadline(time.Now().Add(10 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(frozen), nil)
	if err != nil {
		t.Fatal(err)
	}
	reader, lapped := sse.NewReader(res.Body), false
	for e := (sse.Event{}); !strings.HasPrefix(string(e.Data), fmt.Sprint(events)); {
		if err := reader.Read(&e); err != nil {
			t.Fatal(err)
		}
		lapped = lapped || e.Type == sse.TypeGap
	}
	if !lapped {
		t.Error("the one was not told of a gap")
	}
}

// deliveries is how many events were handed on.
func (r *Relay) deliveries() (n uint64) {
	for i := range r.metrics.delivered {
		n += r.metrics.delivered[i].events.Load()
	}
	return n
}

// One that stopped reading and was lapped is told so, and goes on from the
// newest, in the same stream.
func TestStreamLapped(t *testing.T) {
	r := serveRelay(t, Config{Topics: Topics{Events: 4}})
	for _, p := range r.protocols(t) {
		t.Run(p.name, func(t *testing.T) {
			topic := "lapped/" + p.name
			body := p.stream(t, "/events/"+topic)
			// More than all buffers on the way hold: the client's, the
			// kernel's, HTTP/2's window.
			payload := bytes.Repeat([]byte("y"), 200<<10)
			for range 100 {
				mustPublish(t, r.Relay, topic, sse.Event{Data: payload})
			}
			publishNumbers(t, r.Relay, topic, 1, 1)
			events, gaps := sse.NewReader(body), 0
			for e := (sse.Event{}); string(e.Data) != "1"; {
				if err := events.Read(&e); err != nil {
					t.Fatal(err)
				}
				if e.Type == sse.TypeGap {
					gaps++
				}
			}
			if gaps == 0 {
				t.Error("no gap")
			}
		})
	}
}

// Ten subscribers of each protocol see a topic end, and are not let in again.
func TestStreamEnds(t *testing.T) {
	r := serveRelay(t, Config{})
	for _, p := range r.protocols(t) {
		t.Run(p.name, func(t *testing.T) {
			topic := "ends/" + p.name
			var all []*puppet
			for range 10 {
				all = append(all, p.subscribe(t, "/events/"+topic))
			}
			publishNumbers(t, r.Relay, topic, 1, 3)
			if err := r.End(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				s.WantNumbers(1, 3)
				s.WantType(sse.TypeEnd)
				s.WantEnd()
			}
		})
	}
}

// When the relay stops, every stream ends after a whole event, with a retry.
func TestStreamDrains(t *testing.T) {
	r := serveRelay(t, Config{})
	var all []*puppet
	for _, p := range r.protocols(t) {
		for range 10 {
			all = append(all, p.subscribe(t, "/events/t"))
		}
	}
	publishNumbers(t, r.Relay, "t", 1, 3)
	for _, s := range all {
		s.WantNumbers(1, 3)
	}
	go r.cancel()
	last := regexp.MustCompile(`\n\nretry: [0-9]+\n$`)
	for _, s := range all {
		s.WantEnd()
		if !last.Match(s.tail) {
			t.Errorf("the stream ended with %q", s.tail)
		}
	}
	r.shut(t)
}
