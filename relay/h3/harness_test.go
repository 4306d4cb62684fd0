package h3

import (
	"bufio"
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
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

var (
	certificateOnce sync.Once
	certificateOf   tls.Certificate
	rootsOf         *x509.CertPool
)

func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	certificateOnce.Do(func() {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1),
			Subject:      pkix.Name{CommonName: "localhost"},
			DNSNames:     []string{"localhost"},
			NotBefore:    time.Unix(0, 0),     // synctest has a clock of its own
			NotAfter:     time.Unix(1<<32, 0), // 2106
			IsCA:         true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		leaf, _ := x509.ParseCertificate(der)
		certificateOf = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
		rootsOf = x509.NewCertPool()
		rootsOf.AddCert(leaf)
	})
	return certificateOf, rootsOf
}

// A topic is what the subscribers of a test follow: bytes that only grow.
type topic struct {
	fanout *Fanout

	mu     sync.Mutex
	log    []byte
	ended  bool
	bodies []*reader
}

// Send appends one event.
func (p *topic) Send(format string, args ...any) {
	p.mu.Lock()
	p.log = fmt.Appendf(p.log, "data: "+format+"\n\n", args...)
	p.mu.Unlock()
	p.fanout.Wake()
}

// End ends the topic's streams after what was sent.
func (p *topic) End() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.fanout.Wake()
}

// open counts the bodies that were not closed.
func (p *topic) open() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.bodies {
		if !b.closed {
			n++
		}
	}
	return n
}

// causes are those with which bodies were closed.
func (p *topic) causes() (all []error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.bodies {
		if b.closed {
			all = append(all, b.cause)
		}
	}
	return all
}

// A reader is the Body of one subscriber of a topic.
type reader struct {
	topic   *topic
	at      int
	started bool
	closed  bool
	cause   error
	fault   string
}

func (p *topic) reader() *reader {
	b := &reader{topic: p}
	p.mu.Lock()
	p.bodies = append(p.bodies, b)
	p.mu.Unlock()
	return b
}

func (b *reader) Start(loop int) {
	b.topic.mu.Lock()
	defer b.topic.mu.Unlock()
	if b.started || loop < 0 || loop >= len(b.topic.fanout.parts) {
		b.fault = fmt.Sprintf("Start(%d) when started is %v", loop, b.started)
	}
	b.started = true
}

func (b *reader) Next(max int) ([]byte, bool) {
	b.topic.mu.Lock()
	defer b.topic.mu.Unlock()
	if !b.started || b.closed || max < 1 {
		b.fault = fmt.Sprintf("Next(%d) when started is %v and closed is %v", max, b.started, b.closed)
	}
	p := b.topic.log[b.at:]
	p = p[:min(len(p), max):min(len(p), max)]
	b.at += len(p)
	return p, b.topic.ended && b.at == len(b.topic.log)
}

func (b *reader) Heartbeat() []byte {
	b.topic.mu.Lock()
	defer b.topic.mu.Unlock()
	if b.at < len(b.topic.log) {
		return nil
	}
	return []byte(":\n")
}

func (b *reader) Close(cause error) {
	b.topic.mu.Lock()
	defer b.topic.mu.Unlock()
	if !b.started || b.closed {
		b.fault = fmt.Sprintf("Close when started is %v and closed is %v", b.started, b.closed)
	}
	b.closed, b.cause = true, cause
}

// A puppet is a server under test with one topic, at /topic. What else is asked for, its handler answers.
type puppet struct {
	*Server
	t      testing.TB
	topic  *topic
	addr   net.Addr
	roots  *x509.CertPool
	stop   context.CancelFunc
	ran    chan struct{}
	result error
}

// serve starts a server on packets, or on loopback if that is nil.
func serve(t testing.TB, packets net.PacketConn, configure func(*Server)) *puppet {
	t.Helper()
	cert, roots := certificate(t)
	if packets == nil {
		packets = listen(t, "127.0.0.1:0")
	}
	p := &puppet{t: t, addr: packets.LocalAddr(), roots: roots, ran: make(chan struct{})}
	p.Server = &Server{
		TLS:   &tls.Config{Certificates: []tls.Certificate{cert}},
		Drain: patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
		}),
	}
	if configure != nil {
		configure(p.Server)
	}
	other := p.Handler
	p.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/topic" {
			other.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		b := p.topic.reader()
		if err := Take(w, r, b, p.topic.fanout); err != nil {
			b.Start(0)
			b.Close(err)
		}
	})
	p.topic = &topic{fanout: p.NewFanout(0)}
	if err := p.Serve(packets); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	go func() {
		p.result = p.Run(ctx)
		close(p.ran)
	}()
	t.Cleanup(func() {
		p.Stop()
		p.topic.mu.Lock()
		defer p.topic.mu.Unlock()
		for _, b := range p.topic.bodies {
			if b.fault != "" {
				t.Errorf("body: %s", b.fault)
			}
			if b.started && !b.closed {
				t.Error("a body was not closed")
			}
		}
	})
	return p
}

// Stop ends the server and waits for that.
func (p *puppet) Stop() {
	p.t.Helper()
	p.stop()
	select {
	case <-p.ran:
	case <-time.After(3 * patience):
		panic("Run does not end") // with all stacks
	}
	if p.result != nil {
		p.t.Errorf("Run: %v", p.result)
	}
}

func listen(t testing.TB, addr string) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A client is one connection to a puppet.
type client struct {
	t         testing.TB
	conn      *quic.Conn
	http      *http3.ClientConn
	url       string
	transport *quic.Transport
}

// dial connects over packets, or over a socket of its own if that is nil.
func (p *puppet) dial(packets net.PacketConn, config *quic.Config) *client {
	p.t.Helper()
	c, err := p.tryDial(packets, config)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *puppet) tryDial(packets net.PacketConn, config *quic.Config) (*client, error) {
	if packets == nil {
		packets = listen(p.t, "127.0.0.1:0")
	}
	if config == nil {
		config = &quic.Config{}
	}
	c := &client{t: p.t, url: "https://localhost", transport: &quic.Transport{Conn: packets}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	c.conn, err = c.transport.Dial(ctx, p.addr, p.clientTLS(), config)
	if err != nil {
		c.transport.Close()
		packets.Close()
		return nil, err
	}
	c.http = (&http3.Transport{}).NewClientConn(c.conn)
	p.t.Cleanup(func() { c.Close(); packets.Close() })
	return c, nil
}

func (p *puppet) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: p.roots, ServerName: "localhost", NextProtos: []string{"h3"}}
}

// Close closes the connection.
func (c *client) Close() {
	c.conn.CloseWithError(0x100, "")
	c.transport.Close()
}

// CloseAndWait closes the connection while there still is a path to the server, and waits for that.
func (c *client) CloseAndWait(p *puppet) {
	c.t.Helper()
	c.conn.CloseWithError(0x100, "")
	within(c.t, "the connection is closed", func() bool { return p.Stats().Connections == 0 })
}

func (c *client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.http.RoundTrip(req)
}

// A subscription is a stream of the topic, at the client.
type subscription struct {
	t        testing.TB
	response *http.Response
	lines    *bufio.Reader
	cancel   context.CancelFunc
}

// Subscribe opens a stream.
func (c *client) Subscribe() *subscription {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	res, err := c.do(ctx, http.MethodGet, "/topic", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		c.t.Fatalf("subscribed: %s %v", res.Status, res.Header)
	}
	c.t.Cleanup(cancel)
	return &subscription{c.t, res, bufio.NewReader(res.Body), cancel}
}

// WantEvent reads the next event, over heartbeats.
func (s *subscription) WantEvent(format string, args ...any) {
	s.t.Helper()
	want := fmt.Sprintf(format, args...)
	if got, err := s.next(); err != nil || got != want {
		s.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

func (s *subscription) next() (string, error) {
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return "", err
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return strings.TrimSuffix(data, "\n"), nil
		}
	}
}

// WantEnd reads to the end, which must be a clean one.
func (s *subscription) WantEnd() {
	s.t.Helper()
	rest, err := io.ReadAll(s.lines)
	if err != nil {
		s.t.Fatalf("the stream was torn after %q: %v", rest, err)
	}
}

// within waits until ok reports true.
func within(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(time.Millisecond)
	}
}

func mustUDP(t testing.TB, addr string) *net.UDPAddr {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newClientConn(q *quic.Conn) *http3.ClientConn { return (&http3.Transport{}).NewClientConn(q) }
