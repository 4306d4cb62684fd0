package netloop

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

func TestWakesThatComeTogetherAreOne(t *testing.T) {
	r, k := newTickerRig(t, &Engine{})
	c := r.connect()
	for id := uint32(1); id <= 9; id += 2 {
		c.request(id, "/events")
	}
	c.frames()
	writes, frames := c.socket.writes, r.l.count.frames
	for i := range 10 {
		k.send(fmt.Sprintf("event %d\n", i))
	}
	r.settle()
	if n := c.socket.writes - writes; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	if n := r.l.count.frames - frames; n != 5 {
		t.Errorf("%d frames, want one for each of 5 streams", n)
	}
}

func TestTopicsOfAConnectionShareAWrite(t *testing.T) {
	e := &Engine{}
	mux := http.NewServeMux()
	e.Handler = mux
	r := newRig(t, e)
	var topics []*ticker
	for i := range 20 { // more than a connection's seats are searched for one by one
		k := newTicker(e, 0)
		mux.Handle(fmt.Sprintf("/%d", i), k)
		topics = append(topics, k)
	}
	c := r.connect()
	for round := range uint32(2) {
		for i := range topics {
			c.request(1+2*(20*round+uint32(i)), fmt.Sprintf("/%d", i))
		}
	}
	c.frames()
	if n := len(c.seats.all); n != 20 {
		t.Errorf("%d seats for 20 topics", n)
	}
	writes := c.socket.writes
	for _, k := range topics {
		k.send("event\n")
	}
	r.settle()
	if n := len(c.frames()); n != 40 || c.socket.writes != writes+1 {
		t.Errorf("%d frames in %d writes, want 40 in 1", n, c.socket.writes-writes)
	}
	for _, k := range topics {
		k.end()
	}
	r.settle()
	if len(c.seats.all) != 0 || c.seats.byPart != nil {
		t.Errorf("%d seats are left", len(c.seats.all))
	}
}

func TestHoldKeepsWalksApart(t *testing.T) {
	r, k := newTickerRig(t, &Engine{Heartbeat: -1})
	*k = *newTicker(r.e, 300*time.Millisecond)
	c := r.connect()
	c.request(1, "/events")
	c.frames()
	r.pass(time.Second)
	k.send("a\n")
	r.settle()
	want(t, c, "DATA 1 a") // after a silence at once
	k.send("b\n")
	k.send("c\n")
	r.settle()
	r.pass(200 * time.Millisecond)
	k.send("d\n")
	r.settle()
	want(t, c)
	if n := len(r.l.holding); n != 1 {
		t.Errorf("held %d times, want once", n)
	}
	r.pass(100 * time.Millisecond)
	want(t, c, "DATA 1 b\nc\nd")
	r.pass(time.Second)
	want(t, c)
}

// A topic with one subscriber must not wait for all of a topic that has thousands.
func TestHugeTopicDoesNotDelayAnother(t *testing.T) {
	e := &Engine{AddressShare: 1}
	mux := http.NewServeMux()
	e.Handler = mux
	r := newRig(t, e)
	huge, small := newTicker(e, 0), newTicker(e, 0)
	mux.Handle("/huge", huge)
	mux.Handle("/small", small)
	const many = 5000
	for range many {
		r.connect().request(1, "/huge")
	}
	c := r.connect()
	c.request(1, "/small")
	c.frames()

	huge.send("event\n")
	for _, task := range r.l.inbox.take() {
		task.run(r.l)
	}
	r.l.turn() // the huge one has begun
	if n := r.l.count.frames; n > turnMarks+turnMarks/4 {
		t.Errorf("%d deliveries in a turn", n)
	}
	small.send("event\n")
	for _, task := range r.l.inbox.take() {
		task.run(r.l)
	}
	before := r.l.count.frames
	for turn := 1; ; turn++ {
		r.l.turn()
		if len(c.frames()) > 0 {
			if turn > 1 {
				t.Errorf("delivered in turn %d", turn)
			}
			break
		}
		if turn > 2*many {
			t.Fatal("never delivered")
		}
	}
	if n := r.l.count.frames - before; n > turnMarks+turnMarks/4 {
		t.Errorf("behind %d deliveries of the huge one", n)
	}
	r.settle()
	if n := r.l.count.frames; n != many+1 {
		t.Errorf("%d deliveries, want %d", n, many+1)
	}
}

// The streams that are replayed much must not delay what is live.
func TestReplayDoesNotDelayLiveEvents(t *testing.T) {
	e := &Engine{AddressShare: 1, Heartbeat: -1}
	mux := http.NewServeMux()
	e.Handler = mux
	r := newRig(t, e)
	long, live := newTicker(e, 0), newTicker(e, 0)
	mux.Handle("/long", long)
	mux.Handle("/live", live)
	c := r.connect()
	c.request(1, "/live")
	c.frames()
	for range 20000 {
		long.log = append(long.log, "an event that is to be replayed\n"...)
	}
	var conns []*rigConn
	for range 300 {
		o := r.bare()
		o.sent.p = subscribeAll(nil, 0)
		o.deliver()
		conns = append(conns, o)
	}
	for _, o := range conns {
		o.sent.p = nil
		_ = o.WriteHeaders(headersTo(1, "/long"))
		_ = o.WriteHeaders(headersTo(3, "/live"))
		o.socket.in = o.sent.p
		o.note(true, false)
	}
	for long.starts < len(conns) || live.starts < len(conns)+1 {
		for _, task := range r.l.inbox.take() {
			task.run(r.l)
		}
		r.l.turn()
	}
	if r.l.toMore.len() < 200 {
		t.Fatalf("only %d replays are under way", r.l.toMore.len())
	}
	live.send("event\n")
	for _, task := range r.l.inbox.take() {
		task.run(r.l)
	}
	before := r.l.count.written
	r.l.turn()
	want(t, c, "DATA 1 event")
	if n := r.l.count.written - before; n > (turnBatches+1)*turnBytes {
		t.Errorf("%d bytes of replays were written in the turn of a live event", n)
	}
	r.settle()
	for _, o := range conns {
		n := 0
		for {
			f, err := o.ReadFrame()
			if err != nil {
				break
			}
			if f.Header().Type == http2.FrameData && f.Header().StreamID == 1 {
				n += int(f.Header().Length)
			}
		}
		if n != len(long.log) {
			t.Fatalf("%d bytes were replayed, want %d", n, len(long.log))
		}
	}
}

// Streams that end while their seat is walked, and connections that end while their part is, make no other one
// miss its turn.
func TestEndingInTheMiddleOfAWalk(t *testing.T) {
	e := &Engine{AddressShare: 1, Heartbeat: -1}
	mux := http.NewServeMux()
	e.Handler = mux
	r := newRig(t, e)
	f := e.NewFanout(0)
	var log atomic.Int32
	mux.HandleFunc("/{ends}", func(w http.ResponseWriter, r *http.Request) {
		if err := Take(w, r, &countdown{log: &log, ends: r.PathValue("ends") == "ends"}, f); err != nil {
			t.Error(err)
		}
	})
	c := r.connect()
	for id, path := range []string{"/ends", "/stays", "/ends", "/stays", "/stays"} {
		c.request(uint32(2*id+1), path)
	}
	c.frames()
	log.Add(1)
	f.Wake()
	r.settle()
	got := c.frames()
	slices.Sort(got)
	if diff := cmp.Diff([]string{"DATA 1 x END", "DATA 3 x", "DATA 5 x END", "DATA 7 x", "DATA 9 x"}, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}

	var conns []*rigConn
	for range 3 * turnMarks {
		o := r.connect()
		o.request(1, "/stays")
		o.frames()
		conns = append(conns, o)
	}
	log.Add(1)
	f.Wake()
	for _, task := range r.l.inbox.take() {
		task.run(r.l)
	}
	r.l.turn()
	if n := f.parts[0].left; n < turnMarks {
		t.Fatalf("only %d seats are left to be marked", n)
	}
	gone := conns[turnMarks/2 : turnMarks-50] // they have had their turn; the last ones move to their places
	for _, o := range gone {
		o.abort(ErrGone)
	}
	r.settle()
	for i, o := range conns {
		if got := o.frames(); len(got) != 1 && !slices.Contains(gone, o) {
			t.Fatalf("connection %d of %d got %q", i, len(conns), got)
		}
	}
}

// A countdown sends one octet for each count, and may end with the first.
type countdown struct {
	log  *atomic.Int32
	at   int32
	ends bool
}

func (b *countdown) Start(int) { b.at = b.log.Load() }

func (b *countdown) Next(int) ([]byte, bool) {
	if b.at == b.log.Load() {
		return nil, false
	}
	b.at++
	return []byte("x"), b.ends
}

func (b *countdown) Heartbeat() []byte { return nil }
func (b *countdown) Close(error)       {}

// Whatever joins, leaves, blocks and wakes in whatever order: every stream gets every byte of its topic
// that came after it did, and each body is closed once.
func TestFanoutModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e := &Engine{AddressShare: 1, Heartbeat: -1, Log: nil}
		mux := http.NewServeMux()
		e.Handler = mux
		r := newRig(t, e)
		var topics []*ticker
		for i := range 3 {
			k := newTicker(e, 0)
			mux.Handle(fmt.Sprintf("/%d", i), k)
			topics = append(topics, k)
		}
		type sub struct {
			conn  *rigConn
			id    uint32
			topic int
			got   []byte
			ended bool
			reset bool
		}
		var conns []*rigConn
		next := map[*rigConn]uint32{}
		subs := map[*rigConn]map[uint32]*sub{}
		connect := func() *rigConn {
			c := r.connect()
			conns = append(conns, c)
			next[c] = 1
			subs[c] = map[uint32]*sub{}
			return c
		}
		collect := func(c *rigConn) {
			for _, w := range dataFrames(c) {
				s := subs[c][w.id]
				s.got = append(s.got, w.data...)
				s.ended = s.ended || w.end
			}
		}
		connect()
		count := 0
		rt.Repeat(map[string]func(*rapid.T){
			"connect": func(rt *rapid.T) {
				if len(conns) < 5 {
					connect()
				}
			},
			"subscribe": func(rt *rapid.T) {
				c := rapid.SampledFrom(conns).Draw(rt, "conn")
				if c.phase != open {
					return
				}
				s := &sub{conn: c, id: next[c], topic: rapid.IntRange(0, 2).Draw(rt, "topic")}
				next[c] += 2
				subs[c][s.id] = s
				c.request(s.id, fmt.Sprintf("/%d", s.topic))
			},
			"send": func(rt *rapid.T) {
				count++
				topics[rapid.IntRange(0, 2).Draw(rt, "topic")].send(fmt.Sprintf("event %d\n", count))
				if rapid.Bool().Draw(rt, "settle") {
					r.settle()
				} else {
					for _, task := range r.l.inbox.take() {
						task.run(r.l)
					}
				}
			},
			"block": func(rt *rapid.T) {
				rapid.SampledFrom(conns).Draw(rt, "conn").socket.room = rapid.IntRange(0, 50).Draw(rt, "room")
			},
			"unblock": func(rt *rapid.T) {
				rapid.SampledFrom(conns).Draw(rt, "conn").makeRoom(plenty)
			},
			"reset": func(rt *rapid.T) {
				c := rapid.SampledFrom(conns).Draw(rt, "conn")
				if next[c] == 1 || c.phase != open {
					return
				}
				id := 2*rapid.Uint32Range(0, next[c]/2-1).Draw(rt, "stream") + 1
				if s := subs[c][id]; !s.reset {
					s.reset = true
					_ = c.WriteRSTStream(id, 8)
					c.deliver()
				}
			},
		})
		for _, c := range conns {
			c.makeRoom(plenty)
		}
		for _, k := range topics {
			k.end()
		}
		r.settle()
		all := 0
		for _, c := range conns {
			collect(c)
			for _, s := range subs[c] {
				all++
				if s.reset {
					continue
				}
				if diff := cmp.Diff(string(topics[s.topic].log), string(s.got)); diff != "" || !s.ended {
					rt.Fatalf("stream %d of topic %d, ended: %v (-want +got):\n%s", s.id, s.topic, s.ended, diff)
				}
			}
			if len(c.seats.all) > 0 || c.streams > 0 {
				rt.Fatalf("%d seats and %d streams are left", len(c.seats.all), c.streams)
			}
		}
		var causes []error
		for _, k := range topics {
			causes = append(causes, k.closes()...)
			if k.fanout.Streams() != 0 {
				rt.Fatalf("%d streams are left in a fanout", k.fanout.Streams())
			}
		}
		if len(causes) != all {
			rt.Fatalf("%d bodies were closed, want %d", len(causes), all)
		}
		if i := slices.IndexFunc(causes, func(err error) bool { return err != nil && !errors.Is(err, ErrGone) }); i >= 0 {
			rt.Fatalf("closed with %v", causes[i])
		}
	})
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	e := &Engine{AddressShare: 1, Heartbeat: -1}
	mux := http.NewServeMux()
	e.Handler = mux
	r := newRig(t, e)
	g := newStage(e)
	mux.Handle("/events", g)
	for range 10 {
		c := r.connect()
		for id := uint32(1); id < 20; id += 2 {
			c.request(id, "/events")
		}
		c.conn.socket = &sink{}
	}
	frames := r.l.count.frames
	if n := testing.AllocsPerRun(10, func() {
		g.send()
		r.settle()
	}); n > 0 {
		t.Errorf("100 deliveries allocate %v times", n)
	}
	if n := r.l.count.frames - frames; n != 11*100 {
		t.Errorf("%d deliveries, want 1100", n)
	}
}

// A sink takes everything.
type sink struct{ fakeSocket }

func (*sink) write(p []byte) (int, error) { return len(p), nil }
