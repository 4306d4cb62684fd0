package h3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

func TestStream(t *testing.T) {
	p := serve(t, nil, nil)
	p.topic.Send("before")
	c := p.dial(nil, nil)
	s := c.Subscribe()
	s.WantEvent("before")
	for i := range 100 {
		p.topic.Send("%d", i)
		s.WantEvent("%d", i)
	}
	p.topic.Send("last")
	p.topic.End()
	s.WantEvent("last")
	s.WantEnd()
	within(t, "the body is closed", func() bool { return p.topic.open() == 0 })
	if causes := p.topic.causes(); len(causes) != 1 || causes[0] != nil {
		t.Errorf("closed with %v, want nil", causes)
	}
}

// Once the topic has ended a stream may have no byte at all.
func TestStreamWithoutBytes(t *testing.T) {
	p := serve(t, nil, nil)
	p.topic.End()
	p.dial(nil, nil).Subscribe().WantEnd()
}

func TestManyStreams(t *testing.T) {
	p := serve(t, nil, nil)
	const conns, each = 10, 101 // more than quic-go's default of 100
	var all []*subscription
	for range conns {
		c := p.dial(nil, &quic.Config{MaxIncomingStreams: -1})
		for range each {
			all = append(all, c.Subscribe())
		}
	}
	within(t, "all are there", func() bool { return p.topic.fanout.Streams() == conns*each })
	for i := range 5 {
		p.topic.Send("%d", i)
	}
	for _, s := range all {
		for i := range 5 {
			s.WantEvent("%d", i)
		}
	}
	if n := p.Stats().Streams; n != conns*each {
		t.Errorf("%d streams, want %d", n, conns*each)
	}
}

// A replay is longer than any window, and comes whole.
func TestReplay(t *testing.T) {
	p := serve(t, nil, nil)
	const events = 2000
	for i := range events {
		p.topic.Send("%d %s", i, strings.Repeat("x", 1000))
	}
	s := p.dial(nil, nil).Subscribe()
	for i := range events {
		s.WantEvent("%d %s", i, strings.Repeat("x", 1000))
	}
	if p.Stats().Partings == 0 {
		t.Error("two megabytes were given to quic-go at once")
	}
	within(t, "it is back in its loop", func() bool { return p.Stats().Apart == 0 })
	p.topic.Send("live")
	s.WantEvent("live")
}

// A peer that never opens its window holds up nobody, neither on its connection nor elsewhere, and is
// closed after the stall.
func TestClosedWindow(t *testing.T) {
	p := serve(t, nil, func(s *Server) { s.Stall = 2 * time.Second })
	slow := p.dial(nil, &quic.Config{InitialStreamReceiveWindow: 2048, MaxStreamReceiveWindow: 2048})
	stalled := slow.Subscribe() // and is not read
	other := slow.Subscribe()
	far := p.dial(nil, nil).Subscribe()
	for i := range 200 {
		p.topic.Send("%d %s", i, strings.Repeat("x", 100))
		other.WantEvent("%d %s", i, strings.Repeat("x", 100))
		far.WantEvent("%d %s", i, strings.Repeat("x", 100))
	}
	if stats := p.Stats(); stats.Stalled != 0 || stats.Apart != 1 {
		t.Errorf("%d stalled and %d apart: the others waited for it", stats.Stalled, stats.Apart)
	}
	within(t, "the stalled one is closed", func() bool { return p.Stats().Stalled == 1 })
	if causes := p.topic.causes(); len(causes) != 1 || !errors.Is(causes[0], ErrStalled) {
		t.Errorf("closed with %v, want ErrStalled", causes)
	}
	if _, err := io.ReadAll(stalled.lines); err == nil {
		t.Error("the stalled stream ended as if it were whole")
	}
	p.topic.Send("after")
	other.WantEvent("after")
	far.WantEvent("after")
}

// A peer that reads slowly, but does, gets everything.
func TestNarrowWindow(t *testing.T) {
	p := serve(t, nil, nil)
	for i := range 300 {
		p.topic.Send("%d %s", i, strings.Repeat("x", 300))
	}
	s := p.dial(nil, &quic.Config{InitialStreamReceiveWindow: 1000, MaxStreamReceiveWindow: 1000}).Subscribe()
	for i := range 300 {
		s.WantEvent("%d %s", i, strings.Repeat("x", 300))
	}
	p.topic.End()
	s.WantEnd()
}

func TestPeerLeaves(t *testing.T) {
	for _, how := range []string{"stream", "connection"} {
		t.Run(how, func(t *testing.T) {
			p := serve(t, nil, nil)
			c := p.dial(nil, nil)
			s := c.Subscribe()
			p.topic.Send("one")
			s.WantEvent("one")
			if how == "stream" {
				s.cancel()
			} else {
				c.Close()
			}
			within(t, "the body is closed", func() bool { return p.topic.open() == 0 })
			if causes := p.topic.causes(); !errors.Is(causes[0], ErrGone) {
				t.Errorf("closed with %v, want ErrGone", causes)
			}
			if n := p.topic.fanout.Streams(); n != 0 {
				t.Errorf("%d streams are left in the fanout", n)
			}
		})
	}
}

func TestOrdinaryRequests(t *testing.T) {
	p := serve(t, nil, func(s *Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
		})
	})
	c := p.dial(nil, nil)
	res, err := c.do(context.Background(), http.MethodPost, "/x?y=z", strings.NewReader(strings.Repeat("b", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if want := "POST /x?y=z " + strings.Repeat("b", 1<<20); string(body) != want || res.ProtoMajor != 3 {
		t.Errorf("got %s and %d bytes", res.Proto, len(body))
	}
}

func TestTakeRefusesForeign(t *testing.T) {
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	if err := Take(nil, r, nil, nil); !errors.Is(err, ErrForeign) {
		t.Errorf("Take: %v", err)
	}
}

// From the wake-up to quic-go nothing is allocated; what quic-go takes is its own affair.
func TestWakeAllocatesNothing(t *testing.T) {
	l := newLoop(&Server{Heartbeat: -1}, 0)
	p := &part{loop: l}
	c := &conn{}
	for range 100 {
		p.add(&stream{conn: c})
	}
	if n := testing.AllocsPerRun(100, func() {
		p.begin(l)
		for p.left > 0 {
			p.mark(l, 10)
		}
		p.queued, l.toMark = false, l.toMark[:0]
		for c.marked != nil {
			s := c.marked
			c.marked, s.next = s.next, nil
			s.flags &^= marked
		}
		l.dirty, l.last, c.queued = nil, nil, false
	}); n != 0 {
		t.Errorf("%v allocations a wake-up", n)
	}
}

func BenchmarkAppendData(b *testing.B) {
	out := make([]byte, 0, 4096)
	p := make([]byte, 200)
	for b.Loop() {
		out = appendData(out[:0], p)
	}
}
