package netloop

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
)

// newTickerRig is a rig whose handler subscribes to a ticker.
func newTickerRig(t testing.TB, e *Engine) (*rig, *ticker) {
	mux := http.NewServeMux()
	e.Handler = mux
	r := newRig(t, e)
	k := newTicker(e, 0)
	mux.Handle("/events", k)
	return r, k
}

func want(t testing.TB, c *rigConn, frames ...string) {
	t.Helper()
	if diff := cmp.Diff(frames, c.frames()); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

func TestSilentStreamsBeat(t *testing.T) {
	r, k := newTickerRig(t, &Engine{Heartbeat: 15 * time.Second})
	c := r.connect()
	c.request(1, "/events")
	r.pass(10 * time.Second)
	c.request(3, "/events")
	want(t, c, "HEADERS 1", "HEADERS 3")

	r.pass(4900 * time.Millisecond)
	want(t, c)
	r.pass(2 * time.Second) // up to an eighth late
	want(t, c, "DATA 1 :")
	r.pass(10 * time.Second)
	want(t, c, "DATA 3 :")

	k.send("event\n")
	r.settle()
	want(t, c, "DATA 1 event", "DATA 3 event")
	r.pass(14900 * time.Millisecond)
	want(t, c)
	writes := c.socket.writes
	r.pass(2 * time.Second)
	want(t, c, "DATA 1 :", "DATA 3 :")
	if n := c.socket.writes - writes; n != 1 {
		t.Errorf("two heartbeats of a connection took %d writes", n)
	}
}

func TestHeartbeatsAreSpread(t *testing.T) {
	r, k := newTickerRig(t, &Engine{Heartbeat: 15 * time.Second})
	var conns []*rigConn
	for range 200 {
		c := r.connect()
		c.request(1, "/events")
		conns = append(conns, c)
	}
	k.send("event\n")
	r.settle()
	perTick := make(map[tick]int)
	start := r.l.tick
	for range ticks(17 * time.Second) {
		before := r.l.count.heartbeats
		r.pass(tickLength)
		if n := int(r.l.count.heartbeats - before); n > 0 {
			perTick[r.l.tick-start] += n
		}
	}
	sum, most := 0, 0
	for _, n := range perTick {
		sum += n
		most = max(most, n)
	}
	if sum != len(conns) {
		t.Errorf("%d heartbeats, want one from each of %d", sum, len(conns))
	}
	if most > len(conns)/10 {
		t.Errorf("%d of %d heartbeats in one tick", most, len(conns))
	}
}

func TestStreamThatOpensNoWindowIsStalled(t *testing.T) {
	r, k := newTickerRig(t, &Engine{Stall: 5 * time.Second, Heartbeat: -1})
	c := r.connect(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
	c.request(1, "/events")
	c.request(3, "/events")
	want(t, c, "HEADERS 1", "HEADERS 3")
	r.pass(20 * time.Second) // nothing to send: no stall
	k.send("0123456789abcdef\n")
	r.settle()
	want(t, c, "DATA 1 0123456789", "DATA 3 0123456789")
	_ = c.WriteWindowUpdate(3, 100)
	c.deliver()
	want(t, c, "DATA 3 abcdef")
	r.pass(4900 * time.Millisecond)
	want(t, c)
	r.pass(200 * time.Millisecond)
	want(t, c, "RST 1 CANCEL")
	if got := k.closes(); len(got) != 1 || !errors.Is(got[0], ErrStalled) {
		t.Errorf("closed with %v", got)
	}
	k.send("next\n")
	r.settle()
	want(t, c, "DATA 3 next")
}

func TestConnectionThatTakesNothingIsClosed(t *testing.T) {
	r, k := newTickerRig(t, &Engine{Stall: 5 * time.Second, Heartbeat: -1})
	c := r.connect()
	other := r.connect()
	c.request(1, "/events")
	other.request(1, "/events")
	want(t, c, "HEADERS 1")
	want(t, other, "HEADERS 1")
	c.socket.room = 12
	for i := range 100 {
		k.send(fmt.Sprintf("event %02d\n", i))
		r.settle()
	}
	if n := len(c.unsent); n > 100 {
		t.Errorf("%d bytes wait for a peer that takes none", n)
	}
	if n := len(other.frames()); n != 100 {
		t.Errorf("the other one has %d frames of 100", n)
	}
	r.pass(4 * time.Second)
	c.makeRoom(1) // it takes something
	r.pass(4 * time.Second)
	if c.socket.closed {
		t.Fatal("closed before its time")
	}
	r.pass(time.Second + 2*tickLength)
	if !c.socket.closed {
		t.Error("not closed")
	}
	if got := k.closes(); len(got) != 1 || !errors.Is(got[0], ErrStalled) {
		t.Errorf("closed with %v", got)
	}
	if n := r.e.Stats().Loops[0].Connections; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestSocketThatFreesUpIsSentTheRest(t *testing.T) {
	r, k := newTickerRig(t, &Engine{})
	c := r.connect()
	c.request(1, "/events")
	want(t, c, "HEADERS 1")
	c.socket.room = 4
	k.send("one\n")
	r.settle()
	k.send("two\n")
	r.settle()
	k.send("three\n")
	r.settle()
	c.makeRoom(1)
	c.makeRoom(plenty)
	var kept []string
	// The first frame's head came in pieces, so the framer has to be given it whole.
	kept = append(kept, c.frames()...)
	if diff := cmp.Diff([]string{"DATA 1 one", "DATA 1 two\nthree"}, kept); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
}

func TestPrefaceMustComeInTime(t *testing.T) {
	r, _ := newTickerRig(t, &Engine{Handshake: 5 * time.Second})
	c := r.bare()
	preface := http2.ClientPreface
	for i := range 6 {
		if i < 5 && c.socket.fin {
			t.Fatalf("closed after %d s", i)
		}
		c.sent.p = append(c.sent.p, preface[i])
		c.deliver()
		r.pass(time.Second)
	}
	want(t, c, "GOAWAY SETTINGS_TIMEOUT")
	if !c.socket.fin {
		t.Error("not closed")
	}
	r.pass(lingerTime + 2*tickLength)
	if !c.socket.closed {
		t.Error("not closed after it lingered")
	}
	if open, _ := r.e.admission.counts(); open != 0 {
		t.Errorf("%d connections are counted", open)
	}
}

func TestBegunHeaderMustEndInTime(t *testing.T) {
	r, k := newTickerRig(t, &Engine{HeaderRead: 5 * time.Second, Heartbeat: -1})
	c := r.connect()
	c.request(1, "/events")
	r.pass(time.Minute)
	want(t, c, "HEADERS 1")
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: requestBlock("GET", "/")[:1]})
	c.deliver()
	r.pass(4 * time.Second)
	_ = c.WriteContinuation(3, false, requestBlock("GET", "/")[1:2])
	c.deliver()
	r.pass(500 * time.Millisecond)
	want(t, c)
	r.pass(time.Second)
	want(t, c, "GOAWAY ENHANCE_YOUR_CALM")
	if len(k.closes()) != 1 {
		t.Error("the body was not closed")
	}
}

// A peer that sends many requests may have one begun whenever we look, without any of them being late.
func TestEachHeaderHasItsOwnTime(t *testing.T) {
	r, _ := newTickerRig(t, &Engine{HeaderRead: 5 * time.Second, Heartbeat: -1})
	c := r.connect()
	block := requestBlock("GET", "/events")
	for id := uint32(1); id < 21; id += 2 {
		_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:1], EndStream: true})
		c.deliver()
		r.pass(3 * time.Second)
		_ = c.WriteContinuation(id, true, block[1:])
	}
	c.deliver()
	r.settle()
	want(t, c, "HEADERS 1", "HEADERS 3", "HEADERS 5", "HEADERS 7", "HEADERS 9", "HEADERS 11", "HEADERS 13", "HEADERS 15", "HEADERS 17", "HEADERS 19")
}

func TestIdleConnectionIsClosed(t *testing.T) {
	r, k := newTickerRig(t, &Engine{Idle: time.Minute, Heartbeat: -1})
	c := r.connect()
	c.request(1, "/events")
	r.pass(3 * time.Minute)
	want(t, c, "HEADERS 1")
	k.end()
	r.settle()
	want(t, c, "DATA 1 END")
	r.pass(59 * time.Second)
	want(t, c)
	r.pass(2 * time.Second)
	want(t, c, "GOAWAY NO_ERROR")
}

// A handler that goes on after its stream was reset keeps the connection from being idle, not for ever.
func TestIdleBeginsAfterTheLastHandler(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, &Engine{Idle: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })})
	c := r.connect()
	_ = c.WriteHeaders(headersTo(1, "/"))
	_ = c.WriteRSTStream(1, http2.ErrCodeCancel)
	c.socket.in, c.sent.p = append(c.socket.in, c.sent.p...), nil
	c.note(true, false)
	for range 2 * ticks(time.Minute) {
		r.l.tick++
		r.l.wheel.advance(r.l.tick, r.l.ring)
		r.l.turn()
	}
	if c.phase != open {
		t.Fatal("closed with a handler running")
	}
	close(release)
	r.settle()
	r.pass(59 * time.Second)
	want(t, c)
	r.pass(2 * time.Second)
	want(t, c, "GOAWAY NO_ERROR")
}
