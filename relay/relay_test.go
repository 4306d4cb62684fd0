package relay

import (
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
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"freshet/origin/sse"
)

// newTestRelay returns a relay that is asked through its handler.
func newTestRelay(t testing.TB, c Config) *Relay {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.leave()
		r.stop()
		r.background.Wait()
	})
	return r
}

// ask sends the relay's handler one request from this machine.
func ask(r *Relay, method, target, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.RemoteAddr = "127.0.0.1:4242"
	req.Host = "localhost"
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, req)
	return w
}

// mustPublish commits one event and returns its id.
func mustPublish(t testing.TB, r *Relay, topic string, e sse.Event) string {
	t.Helper()
	receipt, err := r.Publish(context.Background(), topic, "", e)
	if err != nil {
		t.Fatalf("publish to %s: %v", topic, err)
	}
	return receipt.ID
}

// publishNumbers commits events with the data 1, 2, ... n after those before.
func publishNumbers(t testing.TB, r *Relay, topic string, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		mustPublish(t, r, topic, sse.Event{Data: fmt.Append(nil, i)})
	}
}

// serveRelay runs a relay on loopback listeners until the test ends.
type servedRelay struct {
	*Relay
	plain, public, admin string // addresses
	http3                string
	roots                *x509.CertPool

	cancel context.CancelFunc
	done   chan error
}

func serveRelay(t testing.TB, c Config) *servedRelay {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if c.Plain == nil {
		c.Plain = listen()
	}
	if c.Public == nil {
		c.Public = listen()
	}
	c.AdminListener = listen()
	cert, roots := testCertificate()
	if c.HTTP3 == nil {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.HTTP3 = udp
	}
	c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	if c.Drain == 0 {
		c.Drain = 200 * time.Millisecond
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &servedRelay{Relay: r, plain: c.Plain.Addr().String(), public: c.Public.Addr().String(), admin: c.AdminListener.Addr().String(), http3: c.HTTP3.LocalAddr().String(), roots: roots, cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- r.Run(ctx) }()
	t.Cleanup(func() { s.shut(t) })
	return s
}

// shut drains the relay and waits for it. It may be called twice.
func (s *servedRelay) shut(t testing.TB) {
	t.Helper()
	s.cancel()
	if s.done == nil {
		return
	}
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	s.done = nil
}

// protocol is one way to reach a relay.
type protocol struct {
	name   string
	url    string
	client *http.Client
}

// protocols returns a client for each protocol that the relay serves.
func (s *servedRelay) protocols(t testing.TB) []protocol {
	make := func(name, url string, set func(*http.Protocols)) protocol {
		tlsConfig := &tls.Config{RootCAs: s.roots, ServerName: "localhost"}
		tr := &http.Transport{TLSClientConfig: tlsConfig, Protocols: new(http.Protocols), DisableCompression: true}
		set(tr.Protocols)
		t.Cleanup(tr.CloseIdleConnections)
		return protocol{name, url, &http.Client{Transport: tr}}
	}
	overQUIC := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: "localhost"}, DisableCompression: true}
	t.Cleanup(func() { overQUIC.Close() })
	return []protocol{
		make("http1", "http://"+s.plain, func(p *http.Protocols) { p.SetHTTP1(true) }),
		make("h2c", "http://"+s.plain, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
		make("h2", "https://"+s.public, func(p *http.Protocols) { p.SetHTTP2(true) }),
		{"h3", "https://" + s.http3, &http.Client{Transport: overQUIC}},
		make("http1-tls", "https://"+s.public, func(p *http.Protocols) { p.SetHTTP1(true) }),
	}
}

var testCertificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "freshet test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
})

// puppet is a subscriber that does as it is told.
type puppet struct {
	t      testing.TB
	events *sse.Reader
	body   io.ReadCloser
	open   sse.Event // the block that opened the stream
	tail   tail
}

// tail keeps the last bytes written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	*t = (*t)[max(len(*t)-64, 0):]
	return len(p), nil
}

// subscribe opens a stream of the topic; header are pairs.
func (p protocol) subscribe(t testing.TB, path string, header ...string) *puppet {
	t.Helper()
	req, err := http.NewRequest("GET", p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("GET %s: %s, %s\n%s", path, res.Status, res.Header, b)
	}
	s := &puppet{t: t, body: res.Body}
	s.events = sse.NewReader(io.TeeReader(res.Body, &s.tail))
	s.open = s.next()
	if s.open.Type != sse.TypeOpen || s.open.ID == "" || len(s.open.Data) != 0 {
		t.Fatalf("the stream opened with %+v", s.open)
	}
	return s
}

func (s *puppet) next() sse.Event {
	s.t.Helper()
	var e sse.Event
	if err := s.events.Read(&e); err != nil {
		s.t.Fatalf("reading a stream: %v", err)
	}
	return e.Clone()
}

// WantData reads events, which must be of no type and have this data.
func (s *puppet) WantData(data ...string) {
	s.t.Helper()
	for _, want := range data {
		if e := s.next(); e.Type != "" || string(e.Data) != want {
			s.t.Fatalf("got event %q %q, want data %q", e.Type, e.Data, want)
		}
	}
}

// WantNumbers reads the events of publishNumbers.
func (s *puppet) WantNumbers(from, to int) {
	s.t.Helper()
	for i := from; i <= to; i++ {
		s.WantData(fmt.Sprint(i))
	}
}

// WantType reads one event of the type and returns it.
func (s *puppet) WantType(kind string) sse.Event {
	s.t.Helper()
	e := s.next()
	if e.Type != kind {
		s.t.Fatalf("got event %q %q, want type %q", e.Type, e.Data, kind)
	}
	return e
}

// WantEnd wants the stream to end after whole events.
func (s *puppet) WantEnd() {
	s.t.Helper()
	var e sse.Event
	if err := s.events.Read(&e); err != io.EOF {
		s.t.Fatalf("got event %+v, error %v, want the end of the stream", e, err)
	}
}

// Cut closes the stream from the client's side.
func (s *puppet) Cut() { s.body.Close() }

// LastEventID is what the client would resume from.
func (s *puppet) LastEventID() string { return s.events.LastEventID() }

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(time.Millisecond) // between two looks at the predicate
	}
}
