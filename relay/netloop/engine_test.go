package netloop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A site is an engine that a test runs, with a plain and a TLS listener.
type site struct {
	t      testing.TB
	engine *Engine
	plain  string // address
	secure string
	stop   context.CancelFunc
	ended  chan error
}

// serve runs e until the test ends.
func serve(t testing.TB, e *Engine) *site {
	t.Helper()
	s := &site{t: t, engine: e, ended: make(chan error, 1)}
	if e.Drain == 0 {
		e.Drain = 100 * time.Millisecond
	}
	for _, secure := range []*tls.Config{nil, testTLS()} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if secure == nil {
			s.plain = l.Addr().String()
		} else {
			s.secure = l.Addr().String()
		}
		e.Serve(l, secure)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-s.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		s.ended <- nil
	})
	return s
}

// wait waits until the predicate holds.
func wait(t testing.TB, what string, predicate func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !predicate() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

var testTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// protocols are the ways a client can speak to a site.
var protocols = []string{"http/1.1", "https/1.1", "h2", "h2c"}

// client returns a client of the protocol and the URL it is to use. It has connections of its own.
func (s *site) client(protocol string) (*http.Client, string) {
	p := new(http.Protocols)
	t := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	s.t.Cleanup(t.CloseIdleConnections)
	url := "http://" + s.plain
	switch protocol {
	case "http/1.1":
		p.SetHTTP1(true)
	case "https/1.1":
		p.SetHTTP1(true)
		url = "https://" + s.secure
	case "h2":
		p.SetHTTP2(true)
		url = "https://" + s.secure
	case "h2c":
		p.SetUnencryptedHTTP2(true)
	}
	return &http.Client{Transport: t}, url
}

// eachProtocol runs f with every poller and protocol.
func eachProtocol(t *testing.T, make func() *Engine, f func(t *testing.T, s *site, c *http.Client, url string)) {
	for _, portable := range []bool{false, true} {
		name := map[bool]string{false: "epoll", true: "portable"}[portable]
		t.Run(name, func(t *testing.T) {
			e := make()
			e.Portable = portable
			e.Loops = 2
			s := serve(t, e)
			for _, p := range protocols {
				t.Run(p, func(t *testing.T) {
					c, url := s.client(p)
					f(t, s, c, url)
				})
			}
		})
	}
}

// A ticker is a log of numbered events with a Fanout, much like a topic.
type ticker struct {
	fanout *Fanout
	engine *Engine

	mu     sync.Mutex
	log    []byte // all events
	closed bool
	causes []error // that bodies were closed with
	starts int
}

func newTicker(e *Engine, hold time.Duration) *ticker {
	return &ticker{engine: e, fanout: e.NewFanout(hold)}
}

func (k *ticker) send(event string) {
	k.mu.Lock()
	k.log = append(k.log, event...)
	k.mu.Unlock()
	k.fanout.Wake()
}

func (k *ticker) end() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.fanout.Wake()
}

func (k *ticker) closes() []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]error(nil), k.causes...)
}

// ServeHTTP subscribes.
func (k *ticker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	if err := Take(w, r, &tickerBody{ticker: k}, k.fanout); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// A program is the ticker that is on.
type program struct{ atomic.Pointer[ticker] }

// next puts a new ticker on.
func (g *program) next(e *Engine) *ticker {
	k := newTicker(e, 0)
	g.Store(k)
	return k
}

func (g *program) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.Load().ServeHTTP(w, r) }

// A tickerBody is a subscriber of a ticker.
type tickerBody struct {
	ticker  *ticker
	at      int
	started bool
	closed  bool
}

func (b *tickerBody) Start(int) {
	b.started = true
	b.ticker.mu.Lock()
	b.ticker.starts++
	b.ticker.mu.Unlock()
}

func (b *tickerBody) Next(max int) ([]byte, bool) {
	if !b.started || b.closed || max < 1 {
		panic("Next out of turn")
	}
	k := b.ticker
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.log[b.at:]
	p = p[:min(len(p), max):len(p)]
	b.at += len(p)
	return p, k.closed && b.at == len(k.log)
}

func (b *tickerBody) Heartbeat() []byte { return []byte(":\n") }

func (b *tickerBody) Close(cause error) {
	if b.closed || !b.started {
		panic("Close out of turn")
	}
	b.closed = true
	b.ticker.mu.Lock()
	b.ticker.causes = append(b.ticker.causes, cause)
	b.ticker.mu.Unlock()
}

func get(t testing.TB, c *http.Client, url string) *http.Response {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func wantLine(t testing.TB, r *bufio.Reader, want string) {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil || line != want+"\n" {
		t.Fatalf("read %q, %v; want %q", line, err, want)
	}
}

func TestTakenStreamsAreSentWhatTheTopicHas(t *testing.T) {
	var on program
	eachProtocol(t, func() *Engine {
		mux := http.NewServeMux()
		mux.Handle("/events", &on)
		return &Engine{Handler: mux}
	}, func(t *testing.T, s *site, c *http.Client, url string) {
		k := on.next(s.engine)
		k.send("first\n")
		var readers []*bufio.Reader
		for range 5 {
			resp := get(t, c, url+"/events")
			if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
				t.Fatalf("answer %v %v", resp.Status, resp.Header)
			}
			readers = append(readers, bufio.NewReader(resp.Body))
		}
		for i := range 20 {
			k.send(fmt.Sprintf("event %d\n", i))
			for _, r := range readers {
				if i == 0 {
					wantLine(t, r, "first")
				}
				wantLine(t, r, fmt.Sprintf("event %d", i))
			}
		}
		if n := k.fanout.Streams(); n != 5 {
			t.Errorf("%d streams, want 5", n)
		}
		k.end()
		for _, r := range readers {
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("end: %q, %v", rest, err)
			}
		}
		wait(t, "the bodies to be closed", func() bool { return len(k.closes()) == 5 })
		for _, cause := range k.closes() {
			if cause != nil {
				t.Errorf("closed with %v", cause)
			}
		}
	})
}

func TestOrdinaryRequests(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	eachProtocol(t, func() *Engine {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex()
			if _, err := io.Copy(w, r.Body); err != nil {
				t.Errorf("echo: %v", err)
			}
		})
		mux.HandleFunc("GET /big", func(w http.ResponseWriter, r *http.Request) { w.Write(big) })
		mux.HandleFunc("GET /none", func(w http.ResponseWriter, r *http.Request) {})
		mux.HandleFunc("GET /small", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "small") })
		mux.HandleFunc("GET /204", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) })
		mux.HandleFunc("GET /panic", func(w http.ResponseWriter, r *http.Request) { panic("on purpose") })
		return &Engine{Handler: mux}
	}, func(t *testing.T, s *site, c *http.Client, url string) {
		resp, err := c.Post(url+"/echo", "text/plain", bytes.NewReader(big))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, big) {
			t.Errorf("echo: %d bytes, %v", len(got), err)
		}
		for path, want := range map[string]string{"/big": string(big), "/none": "", "/small": "small", "/204": ""} {
			resp := get(t, c, url+path)
			got, err := io.ReadAll(resp.Body)
			if err != nil || string(got) != want {
				t.Errorf("%s: %d bytes, %v", path, len(got), err)
			}
			if path == "/small" && (resp.ContentLength != 5 || resp.Header.Get("Date") == "" ||
				!strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain")) {
				t.Errorf("%s: header %v", path, resp.Header)
			}
		}
		head, err := c.Head(url + "/big")
		if err != nil || head.StatusCode != 200 {
			t.Errorf("HEAD: %v %v", head, err)
		}
		if resp, err := c.Get(url + "/panic"); err == nil {
			resp.Body.Close()
			t.Errorf("a handler's panic was answered %v", resp.Status)
		}
		if resp := get(t, c, url+"/404"); resp.StatusCode != 404 {
			t.Errorf("answer %v", resp.Status)
		}
	})
}
