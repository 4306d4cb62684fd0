package h3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"freshet/relay/netloop"
)

func TestConnectionLimits(t *testing.T) {
	refused := func(t *testing.T, p *puppet, code quic.TransportErrorCode) {
		t.Helper()
		c, err := p.tryDial(nil, nil)
		if code != 0 {
			var transport *quic.TransportError
			if !errors.As(err, &transport) || transport.ErrorCode != code {
				t.Errorf("dial: %v, want %v", err, code)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		<-c.conn.Context().Done()
		var app *quic.ApplicationError
		if err := context.Cause(c.conn.Context()); !errors.As(err, &app) || app.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad) {
			t.Errorf("closed with %v, want H3_EXCESSIVE_LOAD", err)
		}
	}
	t.Run("connections", func(t *testing.T) {
		p := serve(t, nil, func(s *Server) { s.Connections, s.AddressShare = 2, 1 })
		p.dial(nil, nil)
		c := p.dial(nil, nil)
		refused(t, p, quic.ConnectionRefused)
		c.Close()
		within(t, "there is room again", func() bool { return p.Stats().Connections == 1 })
		p.dial(nil, nil).Subscribe()
		if p.Stats().RefusedFull == 0 {
			t.Error("the refusal is not counted")
		}
	})
	t.Run("address", func(t *testing.T) {
		p := serve(t, nil, func(s *Server) { s.Connections, s.AddressShare = 4, 0.5 })
		p.dial(nil, nil).Subscribe()
		c := p.dial(nil, nil)
		c.Subscribe()
		refused(t, p, 0)
		c.Close()
		within(t, "there is room again", func() bool { return p.Stats().Connections == 1 })
		p.dial(nil, nil).Subscribe()
		if n := p.Stats().RefusedAddress; n != 1 {
			t.Errorf("%d refused, want 1", n)
		}
	})
	t.Run("shared", func(t *testing.T) {
		places := netloop.NewPlaces(4, 0.5)
		p := serve(t, nil, func(s *Server) { s.Places = places })
		byTCP := netloop.SourceOf(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
		if !places.Take() || !places.Claim(byTCP) {
			t.Fatal("no place for a connection by TCP")
		}
		c := p.dial(nil, nil)
		c.Subscribe()
		refused(t, p, 0)
		c.Close()
		within(t, "it has left", func() bool { return places.Taken() == 1 })
		for places.Take() {
		}
		refused(t, p, quic.ConnectionRefused)
		if stats := p.Stats(); stats.RefusedFull == 0 || stats.RefusedAddress != 1 {
			t.Errorf("counted %+v", stats)
		}
	})
}

// flood is a source of first packets whose handshake never goes on, each from another address.
func flood(t *testing.T, nw *network, p *puppet, n int) {
	for i := range n {
		packets := nw.endpoint(t, byte(10+i))
		tr := &quic.Transport{Conn: packets}
		ctx, cancel := context.WithCancel(context.Background())
		go func() { _, _ = tr.Dial(ctx, p.addr, p.clientTLS(), &quic.Config{}) }()
		// The first packet goes out, and then the network takes the sender away.
		synctest.Wait()
		nw.Cut(packets.LocalAddr(), true)
		t.Cleanup(func() { cancel(); tr.Close(); packets.Close() })
	}
}

// Handshakes that are begun and not ended are few, from a quarter of the limit on they cost nothing,
// and who is real comes through meanwhile.
func TestHandshakeFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nw := newNetwork()
		nw.Rough(0, time.Millisecond, 0)
		p := serve(t, nw.endpoint(t, 1), func(s *Server) { s.Handshakes = 40 })
		flood(t, nw, p, 100)
		time.Sleep(10 * time.Millisecond)
		stats := p.Stats()
		if stats.Handshakes != 10 || stats.Retries < 90 {
			t.Errorf("%d handshakes and %d retries, want 10 and one for each of the other 90", stats.Handshakes, stats.Retries)
		}
		s := p.dial(nw.endpoint(t, 2), nil).Subscribe() // with a retry
		p.topic.Send("through")
		s.WantEvent("through")
		time.Sleep(11 * time.Second)
		if stats := p.Stats(); stats.Handshakes != 0 || stats.Connections != 1 {
			t.Errorf("%d handshakes and %d connections after the flood, want 0 and 1", stats.Handshakes, stats.Connections)
		}
		p.Stop()
	})
}

// Streams that are opened and reset in a loop end the connection.
func TestResetLoop(t *testing.T) {
	p := serve(t, nil, func(s *Server) { s.Departures = 50 })
	innocent := p.dial(nil, nil).Subscribe()
	c := p.dial(nil, nil)
	n := 0
	for ; c.conn.Context().Err() == nil && n < 1000; n++ {
		ctx, cancel := context.WithCancel(context.Background())
		res, err := c.do(ctx, http.MethodGet, "/topic", nil)
		cancel()
		if err == nil {
			res.Body.Close()
		}
	}
	var app *quic.ApplicationError
	if err := context.Cause(c.conn.Context()); !errors.As(err, &app) || app.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad) {
		t.Fatalf("after %d streams: %v, want H3_EXCESSIVE_LOAD", n, err)
	}
	p.topic.Send("on")
	innocent.WantEvent("on")
	within(t, "only one is left", func() bool { return p.Stats().Streams == 1 })
}

// A page that is closed and opened now and then is none.
func TestDepartures(t *testing.T) {
	var d departures
	for i := range 1000 {
		for range 2 {
			if !d.allow(time.Duration(i)*time.Second, 20) {
				t.Fatalf("refused after %d seconds of two departures each", i)
			}
		}
	}
	for range 20 {
		d.allow(1000*time.Second, 20)
	}
	if d.allow(1000*time.Second, 20) {
		t.Error("21 departures at once are allowed")
	}
}

func TestHeaderLimit(t *testing.T) {
	p := serve(t, nil, func(s *Server) { s.HeaderBytes = 4096 })
	c := p.dial(nil, nil)
	s := c.Subscribe()
	req, _ := http.NewRequest(http.MethodGet, c.url+"/topic", nil)
	req.Header.Set("X", strings.Repeat("x", 8000))
	res, err := c.http.RoundTrip(req)
	if err == nil {
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %s", res.Status)
		}
		res.Body.Close()
	} else if c.conn.Context().Err() != nil {
		t.Errorf("the connection was closed: %v", err)
	}
	p.topic.Send("on")
	s.WantEvent("on")
}

func TestStreamLimit(t *testing.T) {
	p := serve(t, nil, func(s *Server) { s.Streams = 3 })
	c := p.dial(nil, nil)
	last := c.Subscribe()
	c.Subscribe()
	c.Subscribe()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.do(ctx, http.MethodGet, "/topic", nil); err == nil {
		t.Error("a fourth stream was taken")
	}
	last.cancel()
	c.Subscribe()
}

func TestRequestLimit(t *testing.T) {
	release := make(chan struct{})
	p := serve(t, nil, func(s *Server) {
		s.Requests = 1
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release })
	})
	c := p.dial(nil, nil)
	first := make(chan error, 1)
	go func() {
		res, err := c.do(context.Background(), http.MethodGet, "/wait", nil)
		if err == nil {
			res.Body.Close()
		}
		first <- err
	}()
	within(t, "the first is in its handler", func() bool { return p.Stats().Requests == 1 })
	res, err := c.do(context.Background(), http.MethodGet, "/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %s %v, want 503 and when to come back", res.Status, res.Header)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// A handler does not wait for a peer whose window is closed from the beginning.
func TestAnswerStalls(t *testing.T) {
	failed := make(chan error, 1)
	p := serve(t, nil, func(s *Server) {
		s.Stall = 100 * time.Millisecond
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			failed <- err
		})
	})
	c := p.dial(nil, &quic.Config{InitialStreamReceiveWindow: 1000, MaxStreamReceiveWindow: 1000})
	res, err := c.do(context.Background(), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := <-failed; err == nil {
		t.Error("a megabyte went through a closed window")
	}
}

// What comes before the end of the handshake may be a repetition: it may read, and not publish.
func TestEarlyData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nw := newNetwork()
		nw.Rough(0, 20*time.Millisecond, 0)
		p := serve(t, nw.endpoint(t, 1), func(s *Server) {
			s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method) })
		})
		sessions := tls.NewLRUClientSessionCache(10)
		get := func(host byte, method string) (string, bool) {
			packets := nw.endpoint(t, host)
			tr := &quic.Transport{Conn: packets}
			config := p.clientTLS()
			config.ClientSessionCache = sessions
			c, err := tr.DialEarly(context.Background(), p.addr, config, &quic.Config{})
			if err != nil {
				t.Fatal(err)
			}
			// Not RoundTrip, which would wait for the handshake.
			stream, err := newClientConn(c).OpenRequestStream(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequest(method, "https://localhost/", nil)
			if err := stream.SendRequestHeader(req); err != nil {
				t.Fatal(err)
			}
			stream.Close()
			res, err := stream.ReadResponse()
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			time.Sleep(time.Second) // the ticket
			early := c.ConnectionState().Used0RTT
			c.CloseWithError(0x100, "")
			tr.Close()
			packets.Close()
			return res.Status, early
		}
		if status, early := get(2, http.MethodGet); status != "200 OK" || early {
			t.Fatalf("first: %s, early %v", status, early)
		}
		if status, early := get(3, http.MethodGet); status != "200 OK" || !early {
			t.Errorf("GET: %s, early %v", status, early)
		}
		if status, early := get(4, http.MethodPost); status != "425 Too Early" || !early {
			t.Errorf("POST: %s, early %v", status, early)
		}
		if n := p.Stats().Early; n != 1 {
			t.Errorf("%d answered 425, want 1", n)
		}
		time.Sleep(time.Minute)
		p.Stop()
	})
}

// Many whose handshakes end at once, before anybody accepts the first of them, are all served: quic-go by itself has
// room for 32 and refuses the others.
func TestBurst(t *testing.T) {
	const clients = 100 // from 128 on they have to prove their address, which spreads them
	var arrived atomic.Int32
	gate := make(chan struct{})
	p := serve(t, nil, func(s *Server) {
		s.AddressShare = 1
		s.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			arrived.Add(1)
			<-gate
			return nil, nil
		}
	})
	socket := &quic.Transport{Conn: listen(t, "127.0.0.1:0")}
	defer socket.Conn.Close()
	defer socket.Close()
	var dialed, served sync.WaitGroup
	accept := make(chan struct{})
	for range clients {
		dialed.Add(1)
		served.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			q, err := socket.Dial(ctx, p.addr, p.clientTLS(), nil)
			dialed.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer q.CloseWithError(0x100, "")
			<-accept
			c := &client{t: t, conn: q, http: newClientConn(q), url: "https://localhost"}
			res, err := c.do(ctx, http.MethodGet, "/", nil)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
		})
	}
	within(t, "all have come", func() bool { return arrived.Load() == clients })
	p.admission.mu.Lock() // whoever accepts one waits
	close(gate)
	dialed.Wait()
	p.admission.mu.Unlock()
	close(accept)
	served.Wait()
}
