//go:build linux

package bench

import (
	"bufio"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// A naiveRelay fans out with a goroutine and a channel per subscriber; fault may drop or double an event of the
// first subscriber.
type naiveRelay struct {
	mu          sync.Mutex
	subscribers map[string][]chan string // by path
	past        map[string][]string
	fault       func(event int, send func())
}

func (n *naiveRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		n.publish(r)
		w.WriteHeader(http.StatusCreated)
		return
	}
	events := make(chan string, 1000)
	n.mu.Lock()
	past := slices.Clone(n.past[r.URL.Path])
	if n.subscribers == nil {
		n.subscribers = make(map[string][]chan string)
	}
	n.subscribers[r.URL.Path] = append(n.subscribers[r.URL.Path], events)
	n.mu.Unlock()
	send := func(block string) {
		fmt.Fprint(w, block)
		http.NewResponseController(w).Flush()
	}
	if r.Header.Get("Accept-Encoding") == "gzip" {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		send = func(block string) {
			fmt.Fprint(z, block)
			z.Flush()
			http.NewResponseController(w).Flush()
		}
	}
	send(opening)
	if r.URL.Query().Get("from") == "oldest" {
		for _, e := range past {
			send(e)
		}
	}
	for {
		select {
		case e := <-events:
			send(e)
		case <-r.Context().Done():
			return
		}
	}
}

func (n *naiveRelay) publish(r *http.Request) {
	lines := bufio.NewScanner(r.Body)
	for event := 1; lines.Scan(); {
		data := lines.Text()
		if data == "" {
			continue
		}
		wire := fmt.Sprintf("%s\nid: x-%d\n\n", data, event)
		n.mu.Lock()
		if n.past == nil {
			n.past = make(map[string][]string)
		}
		n.past[r.URL.Path] = append(n.past[r.URL.Path], wire)
		for i, s := range n.subscribers[r.URL.Path] {
			send := func() { s <- wire }
			if i == 0 && n.fault != nil {
				n.fault(event, send)
				continue
			}
			send()
		}
		n.mu.Unlock()
		event++
	}
}

func runAgainst(t *testing.T, relay *naiveRelay, secure bool, l Load) (*Result, error) {
	t.Helper()
	server := httptest.NewUnstartedServer(relay)
	server.EnableHTTP2 = true
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server.Config.Protocols = protocols
	if secure {
		server.StartTLS()
		serveHTTP3(t, server)
	} else {
		server.Start()
	}
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	l.URL, l.Insecure = server.URL, true
	if l.Rate == 0 {
		l.Rate = 200
	}
	l.Warmup, l.Duration = 50*time.Millisecond, 200*time.Millisecond
	return l.Run(t.Context())
}

// serveHTTP3 answers on the UDP port of the server's number too, with its certificate.
func serveHTTP3(t *testing.T, server *httptest.Server) {
	packets, err := net.ListenPacket("udp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	over := &http3.Server{Handler: server.Config.Handler, TLSConfig: &tls.Config{Certificates: server.TLS.Certificates}}
	var serving sync.WaitGroup
	serving.Go(func() { _ = over.Serve(packets) })
	t.Cleanup(func() {
		over.Close()
		packets.Close()
		serving.Wait()
	})
}

func TestLoadOverEveryProtocol(t *testing.T) {
	tests := []struct {
		name   string
		secure bool
		load   Load
	}{
		{"h1", false, Load{Protocol: "h1", Connections: 5}},
		{"h1 over TLS", true, Load{Protocol: "h1", Connections: 5}},
		{"h2", true, Load{Connections: 3, Streams: 7}},
		{"h3", true, Load{Protocol: "h3", Connections: 3, Streams: 7}},
		{"h2c", false, Load{Protocol: "h2c", Connections: 3, Streams: 7}},
		{"h1 with gzip", false, Load{Protocol: "h1", Connections: 5, Gzip: true}},
		{"h2 with gzip", true, Load{Connections: 3, Streams: 7, Gzip: true}},
		{"h3 with gzip", true, Load{Protocol: "h3", Connections: 3, Streams: 7, Gzip: true}},
		{"bursts", true, Load{Connections: 3, Streams: 7, Burst: 5}},
		{"many topics", false, Load{Protocol: "h2c", Connections: 3, Streams: 200, Topics: 600, Burst: 2, Rate: 12_000}},
		{"a replay", true, Load{Connections: 3, Streams: 7, Replay: 50}},
		{"a replay with gzip", true, Load{Connections: 3, Streams: 7, Replay: 50, Gzip: true}},
		{"a replay with gzip over h3", true, Load{Protocol: "h3", Connections: 3, Streams: 7, Replay: 50, Gzip: true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result, err := runAgainst(t, &naiveRelay{}, test.secure, test.load)
			if err != nil {
				t.Fatal(err)
			}
			each := uint64(result.Subscribers / max(1, test.load.Topics))
			if want := each * result.Published; result.Delivered != want || want == 0 {
				t.Errorf("delivered %d of %d", result.Delivered, want)
			}
			if result.LatencyP50 == 0 || result.LatencyP99 < result.LatencyP50 {
				t.Errorf("latencies: p50 %v, p99 %v", result.LatencyP50, result.LatencyP99)
			}
			if test.load.Gzip != (result.Decoded > 0) {
				t.Errorf("%d streams were decoded", result.Decoded)
			}
			var table strings.Builder
			result.Print(&table)
			if !strings.Contains(table.String(), "0 lost, 0 doubled") {
				t.Errorf("the table says:\n%s", table.String())
			}
		})
	}
}

func TestLoadTellsALossAndARepeat(t *testing.T) {
	lossy := &naiveRelay{fault: func(event int, send func()) {
		if event != 10 {
			send()
		}
	}}
	if result, err := runAgainst(t, lossy, true, Load{Connections: 2}); !errors.Is(err, ErrIncomplete) || result == nil || result.Lost != 1 {
		t.Errorf("one event dropped: %+v, %v", result, err)
	}
	stutter := &naiveRelay{fault: func(event int, send func()) {
		send()
		if event == 10 {
			send()
		}
	}}
	if result, err := runAgainst(t, stutter, true, Load{Connections: 2}); !errors.Is(err, ErrIncomplete) || result == nil || result.Doubled != 1 {
		t.Errorf("one event doubled: %+v, %v", result, err)
	}
}

func TestLoadRefusesNonsense(t *testing.T) {
	for _, l := range []Load{
		{URL: "ftp://x"}, {Connections: -1}, {Size: 5}, {Rate: -1}, {Protocol: "h1", Streams: 2},
		{Protocol: "h2", URL: "http://127.0.0.1:1"}, {Protocol: "h2c", URL: "https://127.0.0.1:1"}, {Protocol: "h3", URL: "http://127.0.0.1:1"},
		{Connections: 3, Pair: true}, {Connections: 4, Pair: true, Gzip: true}, {Burst: -1},
	} {
		if _, err := l.Run(t.Context()); err == nil {
			t.Errorf("%+v ran", l)
		}
	}
}
