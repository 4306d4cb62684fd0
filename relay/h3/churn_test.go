package h3

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// Ten thousand that come in waves, a thousand at a time, and leave in every way there is: with their stream open,
// after it was reset, or without a word. They leave no goroutine and no memory behind.
func TestChurn(t *testing.T) {
	waves, conns := 10, 1000
	if testing.Short() || slowed {
		waves, conns = 4, 200
	}
	warm := waves / 2 // waves after which all is made that stays: pools, tables, the runtime's goroutines
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	p := serve(t, nil, func(s *Server) {
		s.AddressShare = 1
		s.Idle = 2 * time.Second // after which those are gone who said nothing
	})
	before := runtime.NumGoroutine()
	gone := func() bool { return p.Stats().Connections == 0 && p.topic.open() == 0 }
	var goroutines int
	var memory uint64
	for n := 1; n <= waves; n++ {
		p.wave(conns)
		if n != warm && n != waves {
			continue
		}
		within(t, "all have left", gone)
		p.topic.mu.Lock()
		p.topic.bodies = nil
		p.topic.mu.Unlock()
		if n == warm {
			within(t, "their goroutines have ended", func() bool { return runtime.NumGoroutine() < before+acceptors+conns/10 })
			goroutines, memory = runtime.NumGoroutine(), live()
		}
	}
	within(t, "goroutines are as before", func() bool { return runtime.NumGoroutine() <= goroutines })
	within(t, "memory is as before", func() bool { return live() < memory+128*uint64((waves-warm)*conns) })
	if n := p.topic.fanout.Streams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	for _, l := range p.loops {
		if n := l.conns.Load(); n != 0 {
			t.Errorf("%d connections are left in a loop", n)
		}
	}
	if n := p.Places.Taken(); n != 0 {
		t.Errorf("%d places are left", n)
	}
}

// live is what garbage collection leaves, in bytes.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// wave has so many clients connect and subscribe, all of them hear one event, and then they leave.
func (p *puppet) wave(conns int) {
	t := p.t
	sockets := make([]*quic.Transport, 4)
	for i := range sockets {
		sockets[i] = &quic.Transport{Conn: listen(t, "127.0.0.1:0")}
	}
	config := &tls.Config{ServerName: "localhost", NextProtos: []string{"h3"}, InsecureSkipVerify: true,
		CurvePreferences: []tls.CurveID{tls.CurveP256}} // the cheapest of handshakes: it is not what is tested
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	clients := make([]*quic.Conn, conns)
	streams := make([]*http.Response, conns)
	slots := make(chan struct{}, 64)
	each := func(do func(i int)) {
		var all sync.WaitGroup
		for i := range conns {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				do(i)
			})
		}
		all.Wait()
	}
	each(func(i int) {
		q, err := sockets[i%len(sockets)].Dial(ctx, p.addr, config, &quic.Config{MaxIdleTimeout: time.Minute, KeepAlivePeriod: time.Second / 2})
		if err != nil {
			t.Error(err)
			return
		}
		c := &client{t: t, conn: q, http: newClientConn(q), url: "https://localhost"}
		res, err := c.do(ctx, http.MethodGet, "/topic", nil)
		if err != nil {
			t.Error(err)
			return
		}
		clients[i], streams[i] = q, res
	})
	if t.Failed() {
		t.FailNow()
	}
	p.topic.Send("to all")
	each(func(i int) {
		event := make([]byte, len("data: to all\n\n"))
		if _, err := io.ReadFull(streams[i].Body, event); err != nil || string(event) != "data: to all\n\n" {
			t.Errorf("got %q, %v", event, err)
		}
		switch i % 8 {
		case 0: // will say nothing
		case 1: // its stream is reset first
			streams[i].Body.Close()
		default: // with its stream open
			clients[i].CloseWithError(0x100, "")
		}
	})
	for i, q := range clients {
		if i%8 == 1 {
			q.CloseWithError(0x100, "")
		}
	}
	for _, s := range sockets { // the rest is cut off first, so that it cannot say goodbye
		s.Conn.Close()
		s.Close()
	}
}
