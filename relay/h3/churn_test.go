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
	"testing/synctest"
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
	synctest.Test(t, func(t *testing.T) {
		nw := newNetwork()
		nw.Rough(0, time.Millisecond, 0)
		p := serve(t, nw.endpoint(t, 1), func(s *Server) { s.AddressShare, s.Handshakes = 1, 8*conns })
		var goroutines int
		var memory uint64
		for n := 1; n <= waves; n++ {
			p.wave(nw, conns)
			time.Sleep(2 * p.Idle) // after which those are gone who said nothing
			synctest.Wait()
			if s := p.Stats(); s.Connections != 0 || s.Streams != 0 || p.topic.open() != 0 || p.Places.Taken() != 0 {
				t.Fatalf("after wave %d there are %d connections, %d streams, %d bodies and %d places",
					n, s.Connections, s.Streams, p.topic.open(), p.Places.Taken())
			}
			p.topic.mu.Lock()
			p.topic.bodies, p.topic.log = nil, nil
			p.topic.mu.Unlock()
			if n == warm {
				goroutines, memory = runtime.NumGoroutine(), live()
			}
		}
		if now := runtime.NumGoroutine(); now > goroutines+10 { // there are others than ours
			t.Errorf("%d goroutines after %d connections, %d after %d", now, waves*conns, goroutines, warm*conns)
		}
		if now, most := live(), memory+256<<10+128*uint64((waves-warm)*conns); now > most {
			t.Errorf("%d bytes after %d connections, %d after %d", now, waves*conns, memory, warm*conns)
		}
		p.Stop()
	})
}

// live is what garbage collection leaves, in bytes.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// wave has so many clients connect at once and subscribe, all of them hear one event, and then they leave.
func (p *puppet) wave(nw *network, conns int) {
	t := p.t
	sockets := make([]*quic.Transport, 10)
	for i := range sockets {
		sockets[i] = &quic.Transport{Conn: nw.endpoint(t, byte(2+i))}
	}
	config := &tls.Config{ServerName: "localhost", NextProtos: []string{"h3"}, InsecureSkipVerify: true,
		CurvePreferences: []tls.CurveID{tls.CurveP256}} // the cheapest of handshakes: it is not what is tested
	ctx := context.Background()
	clients := make([]*quic.Conn, conns)
	streams := make([]*http.Response, conns)
	each := func(do func(i int) error) {
		t.Helper()
		var all sync.WaitGroup
		for i := range conns {
			all.Go(func() {
				if err := do(i); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	each(func(i int) (err error) {
		if clients[i], err = sockets[i%len(sockets)].Dial(ctx, p.addr, config, &quic.Config{}); err != nil {
			return err
		}
		c := &client{t: t, conn: clients[i], http: newClientConn(clients[i]), url: "https://localhost"}
		streams[i], err = c.do(ctx, http.MethodGet, "/topic", nil)
		return err
	})
	if n := p.Stats().Connections; n != conns {
		t.Fatalf("%d connections, want %d", n, conns)
	}
	p.topic.Send("to all")
	each(func(i int) error {
		event := make([]byte, len("data: to all\n\n"))
		if _, err := io.ReadFull(streams[i].Body, event); err != nil {
			return err
		}
		switch i % 8 {
		case 0: // will say nothing
			return nil
		case 1: // its stream is reset first
			streams[i].Body.Close()
			time.Sleep(time.Millisecond)
		}
		return clients[i].CloseWithError(0x100, "")
	})
	for _, s := range sockets {
		nw.Cut(s.Conn.LocalAddr(), true) // so that the others cannot say goodbye
		s.Close()
		s.Conn.Close()
		nw.Cut(s.Conn.LocalAddr(), false)
	}
	for _, s := range streams {
		s.Body.Close() // net/http3's client has a goroutine for each until then
	}
}
