package h3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// A client that moves to another address goes on, by itself (RFC 9000 9) and when a NAT moves it.
func TestMigration(t *testing.T) {
	p := serve(t, nil, nil)
	c := p.dial(nil, nil)
	s := c.Subscribe()
	p.topic.Send("0")
	s.WantEvent("0")
	for i := 1; i <= 3; i++ {
		second := &quic.Transport{Conn: listen(t, "127.0.0.1:0")}
		defer func() { second.Close(); second.Conn.Close() }()
		path, err := c.conn.AddPath(second)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.topic.Send("%d before", i)
		if err := path.Probe(ctx); err != nil {
			t.Fatal(err)
		}
		p.topic.Send("%d probed", i)
		if err := path.Switch(); err != nil {
			t.Fatal(err)
		}
		p.topic.Send("%d after", i)
		s.WantEvent("%d before", i)
		s.WantEvent("%d probed", i)
		s.WantEvent("%d after", i)
	}
	if n := len(p.topic.bodies); n != 1 {
		t.Errorf("%d subscriptions, want 1", n)
	}
	c.CloseAndWait(p)
}

// nat stands between one client and a server, and can change the address that the server sees.
type nat struct {
	inside  net.PacketConn
	server  net.Addr
	mu      sync.Mutex
	outside net.PacketConn
	client  net.Addr
}

func newNAT(t *testing.T, server net.Addr) *nat {
	n := &nat{inside: listen(t, "127.0.0.1:0"), server: server}
	n.Rebind(t)
	go func() {
		b := make([]byte, 2048)
		for {
			k, from, err := n.inside.ReadFrom(b)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.client = from
			_, _ = n.outside.WriteTo(b[:k], n.server)
			n.mu.Unlock()
		}
	}()
	t.Cleanup(func() { n.inside.Close(); n.outside.Close() })
	return n
}

func (n *nat) Rebind(t *testing.T) {
	fresh := listen(t, "127.0.0.1:0")
	n.mu.Lock()
	old := n.outside
	n.outside = fresh
	n.mu.Unlock()
	if old != nil {
		old.Close()
	}
	go func() {
		b := make([]byte, 2048)
		for {
			k, _, err := fresh.ReadFrom(b)
			if err != nil {
				return
			}
			n.mu.Lock()
			to := n.client
			n.mu.Unlock()
			_, _ = n.inside.WriteTo(b[:k], to)
		}
	}()
}

func TestRebinding(t *testing.T) {
	p := serve(t, nil, nil)
	n := newNAT(t, p.addr)
	through := *p
	through.addr = n.inside.LocalAddr()
	c := through.dial(nil, &quic.Config{KeepAlivePeriod: 50 * time.Millisecond})
	s := c.Subscribe()
	p.topic.Send("before")
	s.WantEvent("before")
	n.Rebind(t)
	for i := range 20 {
		p.topic.Send("%d", i)
		s.WantEvent("%d", i)
	}
	if n := len(p.topic.bodies); n != 1 {
		t.Errorf("%d subscriptions, want 1", n)
	}
	c.CloseAndWait(p)
}

// latencies subscribes to topics over a rough network and returns how long events took, sorted. With
// shared all topics are on one stream, as they are on HTTP/2's one TCP connection.
func latencies(t *testing.T, topics int, shared bool) []time.Duration {
	var mu sync.Mutex
	var all []time.Duration
	synctest.Test(t, func(t *testing.T) {
		nw := newNetwork()
		p := serve(t, nw.endpoint(t, 1), nil)
		c := p.dial(nw.endpoint(t, 2), nil)
		streams := topics
		if shared {
			streams = 1
		}
		var feeds []*topic
		var subs []*subscription
		for range streams {
			feed := &topic{fanout: p.NewFanout(0)}
			p.topic = feed // what the next one subscribes to
			subs = append(subs, c.Subscribe())
			feeds = append(feeds, feed)
		}
		nw.Rough(0.02, 50*time.Millisecond, 10*time.Millisecond)
		start := time.Now()
		const events = 20
		var wg sync.WaitGroup
		for i, s := range subs {
			wg.Go(func() {
				for n := range events * topics / streams {
					got, err := s.next()
					if err != nil {
						t.Errorf("stream %d: %v", i, err)
						return
					}
					var seq int
					var sent int64
					fmt.Sscanf(got, "%d %d", &seq, &sent)
					if seq != n {
						t.Errorf("stream %d: got event %d, want %d", i, seq, n)
						return
					}
					mu.Lock()
					all = append(all, time.Since(start)-time.Duration(sent))
					mu.Unlock()
				}
			})
		}
		counts := make([]int, streams)
		for range events {
			for i := range topics {
				f := i % streams
				feeds[f].Send("%d %d %s", counts[f], time.Since(start), strings.Repeat("x", 150))
				counts[f]++
				time.Sleep(10 * time.Millisecond)
			}
		}
		wg.Wait()
		if nw.dropped == 0 {
			t.Error("the network lost nothing")
		}
		nw.Rough(0, 0, 0)
		c.Close()
		p.Stop()
	})
	slices.Sort(all)
	return all
}

// On a network that loses, delays and reorders every transcript is complete, and what is lost of one
// stream does not hold up the others.
func TestRoughNetwork(t *testing.T) {
	part := func(d []time.Duration, percent int) time.Duration { return d[len(d)*percent/100] }
	apart := latencies(t, 50, false)
	shared := latencies(t, 50, true)
	if t.Failed() {
		return
	}
	mean := func(d []time.Duration) (sum time.Duration) {
		for _, v := range d {
			sum += v
		}
		return sum / time.Duration(len(d))
	}
	tell := func(name string, d []time.Duration) {
		t.Logf("%s: p50 %v, p90 %v, p99 %v, mean %v", name, part(d, 50), part(d, 90), part(d, 99), mean(d))
	}
	tell("streams of their own", apart)
	tell("all on one, as over TCP", shared)
	if mean(apart) >= mean(shared) || part(apart, 90) >= part(shared, 90) {
		t.Error("what is lost holds up other streams as well")
	}
}

// However wide the peer's window is, a network that takes nothing costs what may wait in quic-go and
// no more.
func TestUnsentIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nw := newNetwork()
		nw.Rough(0, 10*time.Millisecond, 0)
		p := serve(t, nw.endpoint(t, 1), nil)
		c := p.dial(nw.endpoint(t, 2), &quic.Config{InitialStreamReceiveWindow: 8 << 20, InitialConnectionReceiveWindow: 8 << 20})
		s := c.Subscribe()
		p.topic.Send("one")
		s.WantEvent("one")
		nw.Cut(c.transport.Conn.LocalAddr(), true)
		const events = 2000
		for i := range events {
			p.topic.Send("%d %s", i, strings.Repeat("x", 1000))
		}
		time.Sleep(time.Second)
		p.topic.mu.Lock()
		taken := p.topic.bodies[0].at
		p.topic.mu.Unlock()
		const inFlight = 64 << 10 // no more than the first congestion window
		if most := p.UnsentBytes + apartChunk + inFlight; taken > most {
			t.Errorf("%d bytes were taken from the body, want at most %d", taken, most)
		}
		nw.Cut(c.transport.Conn.LocalAddr(), false)
		for i := range events {
			s.WantEvent("%d %s", i, strings.Repeat("x", 1000))
		}
		c.Close()
		p.Stop()
	})
}

// Streams stay open for an hour without an event, whatever idle timeout the peer wants, and a
// connection without a stream does not.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nw := newNetwork()
		nw.Rough(0, 20*time.Millisecond, 0)
		p := serve(t, nw.endpoint(t, 1), nil)
		usual := p.dial(nw.endpoint(t, 2), nil).Subscribe()
		hasty := p.dial(nw.endpoint(t, 3), &quic.Config{MaxIdleTimeout: 6 * time.Second}).Subscribe()
		idle := p.dial(nw.endpoint(t, 4), &quic.Config{KeepAlivePeriod: 5 * time.Second})
		res, err := idle.do(context.Background(), "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		beats := make(chan int)
		go func() {
			n := 0
			for {
				line, err := usual.lines.ReadString('\n')
				if err != nil || strings.HasPrefix(line, "data") {
					beats <- n
					return
				}
				n++
			}
		}()
		time.Sleep(time.Hour)
		p.topic.Send("still here")
		hasty.WantEvent("still here")
		if n := <-beats; n < 220 || n > 240 {
			t.Errorf("%d heartbeats in an hour, want one each 15 to 16 seconds", n)
		}
		select {
		case <-idle.conn.Context().Done():
		default:
			t.Error("a connection without a stream is open after an hour")
		}
		if n := len(p.topic.bodies); n != 2 {
			t.Errorf("%d subscriptions, want 2", n)
		}
		p.Stop()
	})
}

// A server that died says nothing. With the same secret its successor tells the clients as soon as
// they ask for something.
func TestStatelessReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nw := newNetwork()
		nw.Rough(0, 10*time.Millisecond, 0)
		secret := func(s *Server) { s.Secret = []byte(strings.Repeat("s", 32)) }
		first := serve(t, nw.endpoint(t, 1), secret)
		c := first.dial(nw.endpoint(t, 2), &quic.Config{KeepAlivePeriod: 2 * time.Second})
		s := c.Subscribe()
		first.topic.Send("one")
		s.WantEvent("one")
		nw.Cut(first.addr, true)
		first.stop()
		time.Sleep(time.Second)
		synctest.Wait()
		first.Stop()
		nw.Cut(first.addr, false)
		second := serve(t, nw.endpoint(t, 1), secret)
		// A keep-alive is too small to be answered (RFC 9000 10.3.3). Anything else is not.
		asked := time.Now()
		_, err := c.do(context.Background(), "GET", "/"+strings.Repeat("x", 100), nil)
		var reset *quic.StatelessResetError
		if !errors.As(err, &reset) {
			t.Errorf("the request failed with %v, want a stateless reset", err)
		}
		if _, err := s.next(); !errors.As(err, &reset) {
			t.Errorf("the stream ended with %v, want a stateless reset", err)
		}
		if took := time.Since(asked); took > 100*time.Millisecond {
			t.Errorf("the client learned of it after %v", took)
		}
		second.Stop()
	})
}
