package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"freshet/origin"
	"freshet/origin/sse"
)

// startRelay runs the program until the test ends, with TLS beside plain TCP.
func startRelay(t *testing.T, args ...string) *program {
	t.Helper()
	p, err := startProgram(context.Background(), nil, "", append([]string{"run", "-admin", "off", "-public", "127.0.0.1:0", "-self-signed",
		"-set", "drain=100ms", "-set", "retry=50ms", "-set", "log.level=warn"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	if p.ready == "" {
		t.Fatalf("the relay is not ready: %s", p.output)
	}
	t.Cleanup(func() { _ = p.stop() })
	return p
}

// newPublisher is one that is quick to try again, and asks for no certificate.
func newPublisher(t *testing.T, relay string) *origin.Publisher {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &origin.Publisher{
		Relays: []string{relay}, Client: &http.Client{Transport: transport},
		Retry: time.Millisecond, MaxRetry: 20 * time.Millisecond, AttemptTimeout: 2 * time.Second,
	}
}

// published reads what a topic has, until as many events came as it must have, and a marker that is
// published after them.
func published(t *testing.T, relay, topic string) (data []string) {
	t.Helper()
	if _, err := newPublisher(t, relay).Publish(t.Context(), topic, origin.Event{Type: "last"}); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(relay + "/events/" + topic + "?from=oldest")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for e, err := range sse.NewReader(resp.Body).All() {
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Type == "last":
			return data
		case !e.Control():
			data = append(data, string(e.Data))
		}
	}
	t.Fatal("the stream ended")
	return nil
}

// A streaming publisher is torn from the relay at any byte, over and over: each acknowledged
// event is there once, nothing is doubled, and nothing is out of order.
func TestStoryPublishTorn(t *testing.T) {
	t.Parallel()
	p := startRelay(t, "-plain", "127.0.0.1:0")
	for name, c := range map[string]struct {
		listener, scheme string
		most             int
	}{
		"HTTP/1.1": {"plain", "http", 3000},
		"HTTP/2":   {"public", "https", 7000}, // a handshake takes some
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(name, " ", seed), func(t *testing.T) {
				between := newTearer(t, p.url(c.listener), seed, c.most)
				topic := fmt.Sprintf("torn/%s/%d", c.scheme, seed)
				stream := newPublisher(t, between.url(c.scheme)).Stream(topic)
				stream.Window = 64
				const n = 1000
				for i := 1; i <= n; i++ {
					if _, err := stream.Send(t.Context(), origin.Event{Data: fmt.Append(nil, i)}); err != nil {
						t.Fatal(err)
					}
				}
				if err := stream.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				got := published(t, p.url("plain"), topic)
				for i, data := range got {
					if data != fmt.Sprint(i+1) {
						t.Fatalf("event %d is %s", i+1, data)
					}
				}
				if len(got) != n || stream.Acked() != n {
					t.Errorf("%d events, %d acknowledged, want %d", len(got), stream.Acked(), n)
				}
				if between.tears.Load() < 5 {
					t.Errorf("only %d tears", between.tears.Load())
				}
			})
		}
	}
}

// The same for single requests of eight publishers.
func TestStoryPublishOneTorn(t *testing.T) {
	t.Parallel()
	p := startRelay(t, "-plain", "127.0.0.1:0")
	between := newTearer(t, p.url("plain"), 7, 1500)
	publisher := newPublisher(t, between.url("http"))
	const publishers, each = 8, 50
	var all sync.WaitGroup
	for k := range publishers {
		all.Go(func() {
			for i := range each {
				e := origin.Event{Data: fmt.Appendf(nil, "%d/%d", k, i)}
				if i%2 == 0 {
					e.ID = fmt.Sprint("own-", k, "-", i)
				}
				if _, err := publisher.Publish(t.Context(), "one", e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	times := make(map[string]int)
	next := make([]int, publishers)
	for _, data := range published(t, p.url("plain"), "one") {
		times[data]++
		k, i, _ := strings.Cut(data, "/")
		of, _ := strconv.Atoi(k)
		if i != fmt.Sprint(next[of]) {
			t.Errorf("%s comes where %d/%d should", data, of, next[of])
		}
		next[of]++
	}
	for data, n := range times {
		if n != 1 {
			t.Errorf("%s is there %d times", data, n)
		}
	}
	if len(times) != publishers*each || between.tears.Load() < 5 {
		t.Errorf("%d events, want %d; %d tears", len(times), publishers*each, between.tears.Load())
	}
}

// The lone relay is killed, and started again, while events are published and followed. The
// publisher goes on with what is not acknowledged; subscribers are told of a gap, and
// nothing is missing or doubled that is not behind one.
func TestStoryRelayRestarts(t *testing.T) {
	t.Parallel()
	relay := startRelay(t, "-plain", "127.0.0.1:0")
	url := relay.url("plain")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	type heard struct {
		sync.Mutex
		events []sse.Event
	}
	subscribers := make([]heard, 5)
	arrived := make(chan struct{}, 1) // something did, somewhere
	var all sync.WaitGroup
	for i := range subscribers {
		h := &subscribers[i]
		s := newSubscription(&http.Client{Transport: &http.Transport{}}, url+"/events/t")
		s.event = func(e sse.Event) error {
			h.Lock()
			defer h.Unlock()
			h.events = append(h.events, e.Clone())
			select {
			case arrived <- struct{}{}:
			default:
			}
			return nil
		}
		s.lost = func(error, time.Duration) { s.failures = min(s.failures, 1) }
		s.retry = 20 * time.Millisecond
		all.Go(func() { _ = s.run(ctx) })
	}
	last := func(h *heard) (n uint64) {
		h.Lock()
		defer h.Unlock()
		for _, e := range h.events {
			if !e.Control() {
				n, _ = strconv.ParseUint(string(e.Data), 10, 64)
			}
		}
		return n
	}
	awaitAll := func(n uint64) {
		t.Helper()
		patience := time.After(20 * time.Second)
		for i := range subscribers {
			for last(&subscribers[i]) < n {
				select {
				case <-arrived:
				case <-patience:
					t.Fatalf("subscriber %d got no further than %d of %d", i, last(&subscribers[i]), n)
				}
			}
		}
	}

	stream := newPublisher(t, url).Stream("t")
	stream.Window = 100
	sent, stop, stopped := uint64(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		pause := time.NewTicker(time.Millisecond)
		defer pause.Stop()
		for {
			n, err := stream.Send(ctx, origin.Event{Data: fmt.Append(nil, sent+1)})
			if err != nil {
				t.Error(err)
				return
			}
			sent = n
			select {
			case <-stop:
				return
			case <-pause.C:
			}
		}
	}()
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		acked := stream.Acked()
		awaitAll(acked + 100) // both sides are going again
		_ = relay.command.Process.Signal(how)
		<-relay.ended
		relay = startRelay(t, "-plain", strings.TrimPrefix(url, "http://"))
	}
	awaitAll(stream.Acked() + 100)
	close(stop)
	<-stopped
	if err := stream.Close(ctx); err != nil {
		t.Fatal(err)
	}
	awaitAll(sent)
	cancel()
	all.Wait()

	for i := range subscribers {
		at, gaps, missing, again := uint64(0), 0, uint64(0), uint64(0)
		begun, gap := false, false
		for _, e := range subscribers[i].events {
			if e.Type == sse.TypeGap {
				gap = true
				gaps++
			}
			if e.Control() {
				continue
			}
			n, err := strconv.ParseUint(string(e.Data), 10, 64)
			switch {
			case err != nil:
				t.Fatal(err)
			case !begun, n == at+1:
			case !gap:
				t.Fatalf("subscriber %d: %d after %d, silently", i, n, at)
			case n > at:
				missing += n - at - 1
			default:
				// Committed before the end, acknowledged never: it is published again.
				if again += at - n + 1; at-n >= 100 {
					t.Errorf("subscriber %d: %d after %d: more again than a window", i, n, at)
				}
			}
			at, begun, gap = n, true, false
		}
		t.Logf("subscriber %d: up to %d; %d gaps, %d missing, %d again", i, at, gaps, missing, again)
		if at != sent || gaps < 3 {
			t.Errorf("subscriber %d: %d is the last of %d; %d gaps", i, at, sent, gaps)
		}
	}
}
