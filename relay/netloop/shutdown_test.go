package netloop

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// RFC 9113 6.8: first a GOAWAY that refuses nothing, then one that does; what is open may end.
func TestShutdownIsGraceful(t *testing.T) {
	e := &Engine{Loops: 1, Drain: time.Minute}
	k := newTicker(e, 0)
	e.Handler = k
	s := serve(t, e)
	p := s.dialPeer(true)
	p.request(1, "GET", "/", true)
	if f, ok := p.next().(*http2.HeadersFrame); !ok {
		t.Fatalf("frame %v", f)
	}
	c, url := s.client("http/1.1")
	http1 := get(t, c, url)
	idle := s.dialPeer(false)
	wait(t, "all to be here", func() bool { return e.Stats().Subscribers == 2 && e.Stats().Connections == 3 })

	s.stop()
	goAway := func() *http2.GoAwayFrame {
		for {
			f, err := p.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case *http2.PingFrame:
				if !f.IsAck() {
					// Sent before the client knew: it still counts.
					p.request(3, "GET", "/", true)
					p.ok(p.WritePing(true, f.Data))
				}
			case *http2.GoAwayFrame:
				return f
			}
		}
	}
	if f := goAway(); f.LastStreamID != 1<<31-1 || f.ErrCode != http2.ErrCodeNo {
		t.Errorf("first %v", f)
	}
	if f := goAway(); f.LastStreamID != 3 || f.ErrCode != http2.ErrCodeNo {
		t.Errorf("second %v", f)
	}
	wantEOF(t, idle)
	if nc, err := net.Dial("tcp", s.plain); err == nil {
		wantEOF(t, nc)
		nc.Close()
	}
	k.send("last\n")
	for got := 0; got < 2; { // on both streams
		if f, ok := p.next().(*http2.DataFrame); ok {
			got++
			if string(f.Data()) != "last\n" {
				t.Errorf("%q", f.Data())
			}
		}
	}
	select {
	case err := <-s.ended:
		t.Fatalf("Run returned %v with streams open", err)
	default:
	}
	k.end()
	wantEOF(t, p)
	if b, err := io.ReadAll(http1.Body); string(b) != "last\n" || err != nil {
		t.Errorf("HTTP/1.1: %q, %v", b, err)
	}
	if err := <-s.ended; err != nil {
		t.Fatal(err)
	}
	s.ended <- nil
	for _, cause := range k.closes() {
		if cause != nil {
			t.Errorf("closed with %v", cause)
		}
	}
}

// What does not end by itself is ended when the time is over.
func TestShutdownEnds(t *testing.T) {
	for _, portable := range []bool{false, true} {
		entered, cancelled := make(chan struct{}, 2), make(chan error, 2)
		e := &Engine{Loops: 2, Drain: 50 * time.Millisecond, Portable: portable}
		k := newTicker(e, 0)
		e.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stay" {
				entered <- struct{}{}
				<-r.Context().Done()
				cancelled <- context.Cause(r.Context())
				return
			}
			k.ServeHTTP(w, r)
		})
		s := serve(t, e)
		silent := dial(t, s.secure)
		var bodies []*bufio.Reader
		for _, p := range protocols {
			c, url := s.client(p)
			bodies = append(bodies, bufio.NewReader(get(t, c, url).Body))
		}
		for _, p := range []string{"h2", "http/1.1"} {
			c, url := s.client(p)
			go func() {
				if resp, err := c.Get(url + "/stay"); err == nil {
					resp.Body.Close()
				}
			}()
		}
		<-entered
		<-entered
		wait(t, "all to be here", func() bool { return e.Stats().Subscribers == 4 && e.Stats().Connections == 7 })
		s.stop()
		if err := <-s.ended; err != nil {
			t.Fatal(err)
		}
		s.ended <- nil
		wantEOF(t, silent)
		for _, b := range bodies {
			if _, err := io.ReadAll(b); err == nil {
				t.Error("a body that was cut off ended well")
			}
		}
		got := k.closes()
		if len(got) != 4 {
			t.Errorf("%d bodies closed, want 4", len(got))
		}
		for _, cause := range append(got, <-cancelled, <-cancelled) {
			if !errors.Is(cause, ErrShutdown) {
				t.Errorf("ended with %v", cause)
			}
		}
		if n := e.Stats(); n.Connections != 0 || n.Subscribers != 0 || n.Requests != 0 {
			t.Errorf("left: %+v", n)
		}
	}
}

func TestServeAfterTheEnd(t *testing.T) {
	s := serve(t, &Engine{Handler: empty, Loops: 1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.engine.Serve(l, nil) // while it runs
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s.stop()
	<-s.ended
	s.ended <- nil
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.engine.Serve(l, nil)
	if nc, err := l.Accept(); err == nil {
		nc.Close()
		t.Error("the listener was left open")
	}
}

// Leave tells who is here to open nothing new, lets what is open go on, and answers whoever comes once.
func TestLeave(t *testing.T) {
	e := &Engine{Loops: 1, Drain: time.Minute}
	k := newTicker(e, 0)
	e.Handler = k
	s := serve(t, e)
	p := s.dialPeer(true)
	p.request(1, "GET", "/", true)
	if f, ok := p.next().(*http2.HeadersFrame); !ok {
		t.Fatalf("frame %v", f)
	}
	plain, url := s.client("http/1.1")
	get(t, plain, url)
	wait(t, "both to be here", func() bool { return e.Stats().Subscribers == 2 })
	fresh := s.dialPeer(true) // has not asked for anything yet

	e.Leave()
	goAway := func(p *peer, last uint32) {
		t.Helper()
		for {
			f, err := p.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case *http2.PingFrame:
				if !f.IsAck() {
					p.ok(p.WritePing(true, f.Data))
				}
			case *http2.GoAwayFrame:
				if f.ErrCode != http2.ErrCodeNo || f.LastStreamID != last {
					t.Errorf("%v, want last stream %d", f, last)
				}
				return
			}
		}
	}
	goAway(p, 1<<31-1)
	goAway(p, 1)
	k.send("on\n")
	if f, ok := p.next().(*http2.DataFrame); !ok || string(f.Data()) != "on\n" {
		t.Errorf("after GOAWAY: %v", f)
	}
	for _, late := range []*peer{fresh, s.dialPeer(true)} {
		late.request(1, "GET", "/", true)
		goAway(late, 1<<31-1)
		goAway(late, 1)
	}
	wait(t, "both to be answered", func() bool { return e.Stats().Subscribers == 4 })
	k.end()
	wantEOF(t, p)
	wait(t, "all to be gone", func() bool { return e.Stats().Connections == 0 })
	if nc, err := net.Dial("tcp", s.plain); err != nil {
		t.Errorf("the listener is closed: %v", err)
	} else {
		nc.Close()
	}
	select {
	case err := <-s.ended:
		t.Fatalf("Run returned %v", err)
	default:
	}
}
