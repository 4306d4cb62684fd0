package h2

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzReceive gives a connection any octets, behind a proper preface or without, once whole and once
// in pieces, and wants the same calls and the same end, and the invariants after each piece.
func FuzzReceive(f *testing.F) {
	p := newPeer(f, nil)
	seed := func(pieces ...byte) {
		f.Add(true, bytes.Clone(p.wire.Bytes()), pieces)
		p.wire.Reset()
	}
	f.Add(false, []byte(http2.ClientPreface), []byte{1})
	f.Add(false, append([]byte(http2.ClientPreface), rawFrame(http2.FrameSettings, 0, 0, nil)...), []byte{0})
	p.request(1, false, "content-length: 4")
	_ = p.WriteDataPadded(1, false, []byte("data"), make([]byte, 4))
	p.headers(1, true, p.fields("trailer: x"))
	seed(3, 1, 4)
	p.request(1, true)
	_ = p.WriteSettings(window(3), http2.Setting{ID: http2.SettingMaxFrameSize, Val: 20000})
	_ = p.WriteWindowUpdate(1, 9)
	_ = p.WriteWindowUpdate(0, maxWindow)
	seed(200)
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields(":method: GET", ":path: /"), PadLength: 3})
	_ = p.WriteContinuation(1, true, p.fields(":scheme: http"))
	_ = p.WritePing(false, [8]byte{1, 2})
	_ = p.WriteRSTStream(1, http2.ErrCodeCancel)
	_ = p.WritePriority(1, http2.PriorityParam{StreamDep: 3})
	_ = p.WriteGoAway(0, 0, []byte("debug"))
	p.wire.Write(rawFrame(http2.FramePriorityUpdate, 0, 0, []byte("\x00\x00\x00\x01u=1")))
	seed(1)
	f.Fuzz(func(t *testing.T, greeted bool, data, pieces []byte) {
		if len(data) > 30000 {
			return // from half a window of DATA on, pieces do matter: they are given back one by one
		}
		whole := fuzzReceive(t, greeted, data, nil)
		if len(pieces) > 0 {
			if diff := cmp.Diff(whole, fuzzReceive(t, greeted, data, pieces)); diff != "" {
				t.Fatalf("pieces of %v make a difference (-whole +pieces):\n%s", pieces, diff)
			}
		}
	})
}

// fuzzReceive returns what the handler was told and how it ended.
func fuzzReceive(t *testing.T, greeted bool, data, pieces []byte) []string {
	a := newActor(t, nil)
	if greeted {
		data = append(append([]byte(http2.ClientPreface), rawFrame(http2.FrameSettings, 0, 0, nil)...), data...)
	}
	var err error
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(pieces) > 0 {
			n = min(n, 1+int(pieces[i%len(pieces)]))
		}
		err = a.conn.Receive(someTime, data[:n])
		data = data[n:]
		checkInvariants(t, a.conn)
		a.flush()
	}
	for id := range a.body {
		a.told(id, "")
	}
	lines := []string{fmt.Sprint(err)}
	for _, id := range slices.Sorted(maps.Keys(a.calls)) {
		lines = append(lines, fmt.Sprintf("%d: %s", id, a.calls[id]))
	}
	a.conn.Close(http2.ErrCodeCancel)
	checkInvariants(t, a.conn)
	return lines
}

// FuzzFrames lets a program of octets play a client with small windows and limits that mostly keeps to
// the rules, and checks what comes back as that client would: frames in their order, and no more DATA than it
// has let in.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte{0, 0, 0, 6, 20, 7, 30, 5, 0, 6, 1, 0, 0, 0, 9, 9, 9})
	f.Add([]byte{1, 2, 90, 2, 90, 3, 1, 2, 60, 12, 0, 0, 11, 0, 13})
	f.Add([]byte{5, 0, 0, 0, 0, 0, 7, 1, 6, 1, 6, 1, 5, 200, 8, 0, 14, 9, 3})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 1000 {
			return
		}
		a := newActor(t, &Config{MaxStreams: 4, MaxHeaderList: 600, StreamWindow: 100, MaxOutput: 1000})
		a.sends = true
		c := newClient(t)
		next := func() (b byte) {
			if len(program) > 0 {
				b, program = program[0], program[1:]
			}
			return b
		}
		c.preface()
		now := someTime
		for len(program) > 0 && a.conn.err == nil {
			c.act(next(), next)
			if c.mutate {
				c.mutate = false
				if b := c.wire.Bytes(); len(b) > 0 {
					b[int(next())%len(b)] ^= next()
					c.lawless = true
				}
			}
			b := c.wire.Bytes()
			for len(b) > 0 {
				n := min(len(b), 1+int(next()))
				now = now.Add(1 << 27) // some eighth of a second
				_ = a.conn.Receive(now, b[:n])
				checkInvariants(t, a.conn)
				b = b[n:]
				c.read(a.flush())
			}
			c.wire.Reset()
		}
		if a.conn.err != nil && !c.goneAway {
			t.Fatalf("%v, and no GOAWAY", a.conn.err)
		}
		a.conn.Close(http2.ErrCodeCancel)
		checkInvariants(t, a.conn)
		if a.open != 0 {
			t.Fatalf("%d streams were never reported gone", a.open)
		}
	})
}

// An actor is a Handler that answers each stream in a way that its id chooses, and checks the order of
// what it is told.
type actor struct {
	t     *testing.T
	conn  *Conn
	sends bool
	open  int // streams requested and not yet gone
	buf   []byte

	calls map[uint32]string // by stream
	body  map[uint32]int    // octets of DATA not yet in calls
	state map[*Stream]*acting
}

type acting struct {
	ended bool
	left  int // octets of the response to send
	keeps int // octets not consumed
}

func newActor(t *testing.T, cfg *Config) *actor {
	a := &actor{t: t, calls: map[uint32]string{}, body: map[uint32]int{}, state: map[*Stream]*acting{}}
	a.conn = New(NewScratch(cfg), a)
	return a
}

// flush returns everything to send, in its order.
func (a *actor) flush() []byte {
	a.sync()
	b := a.buf
	a.buf = nil
	return b
}

func (a *actor) sync() {
	a.buf = append(a.buf, a.conn.Output()...)
	a.conn.Flushed(len(a.conn.Output()))
}

func (a *actor) told(id uint32, what string) {
	if n := a.body[id]; n > 0 {
		a.calls[id] += fmt.Sprintf("data of %d ", n)
		delete(a.body, id)
	}
	a.calls[id] += what
}

func (a *actor) Request(s *Stream, fields []hpack.HeaderField, end bool) {
	if a.calls[s.ID()] != "" || s.Closed() || s.Ended() != end {
		a.t.Fatalf("stream %d is requested twice, or dead", s.ID())
	}
	a.told(s.ID(), fmt.Sprintf("request %v%s ", fields, ending(end)))
	a.open++
	st := &acting{ended: end, left: int(s.ID()%64) * 4}
	a.state[s] = st
	if !a.sends {
		return
	}
	a.sync()
	switch s.ID() / 2 % 8 {
	case 0:
		s.Reset(http2.ErrCodeRefusedStream)
		a.gone(s)
	case 1:
		a.buf = s.AppendHeaders(a.buf, 204, nil, true)
		a.gone(s)
	case 2:
		a.buf = s.AppendHeaders(a.buf, 103, []hpack.HeaderField{{Name: "link", Value: "</x>"}}, false)
		fallthrough
	case 3:
		a.buf = s.AppendHeaders(a.buf, 200, nil, false)
		if s.Window() > 0 {
			a.Writable(s)
		}
	case 4:
		a.buf = s.AppendHeaders(a.buf, 200, nil, false)
		a.buf = s.AppendTrailers(a.buf, []hpack.HeaderField{{Name: "t", Value: "1"}})
		a.gone(s)
	}
}

func (a *actor) gone(s *Stream) {
	if !s.Closed() {
		a.t.Fatalf("stream %d is not closed", s.ID())
	}
	a.open--
	delete(a.state, s)
}

func (a *actor) known(s *Stream) *acting {
	st := a.state[s]
	if st == nil || s.Closed() {
		a.t.Fatalf("call for stream %d, which is gone or was never there", s.ID())
	}
	return st
}

func (a *actor) Data(s *Stream, p []byte, end bool) {
	st := a.known(s)
	if st.ended || len(p) == 0 && !end {
		a.t.Fatalf("stream %d: data after the end, or none", s.ID())
	}
	st.ended = end
	a.body[s.ID()] += len(p)
	if end {
		a.told(s.ID(), "end ")
	}
	st.keeps += len(p)
	if s.ID()%3 != 0 {
		s.Consume(st.keeps)
		st.keeps = 0
	}
	if a.sends && s.ID()%5 == 0 && a.body[s.ID()] > 50 {
		s.Reset(http2.ErrCodeCancel)
		a.gone(s)
	}
}

func (a *actor) Trailers(s *Stream, fields []hpack.HeaderField) {
	st := a.known(s)
	if st.ended {
		a.t.Fatalf("stream %d: trailers after the end", s.ID())
	}
	st.ended = true
	a.told(s.ID(), fmt.Sprintf("trailers %v ", fields))
}

func (a *actor) Reset(s *Stream, code http2.ErrCode) {
	if a.state[s] == nil || !s.Closed() {
		a.t.Fatalf("reset of stream %d, which is gone already or is not", s.ID())
	}
	a.open--
	delete(a.state, s)
	a.told(s.ID(), fmt.Sprintf("reset %v ", code))
}

func (a *actor) Writable(s *Stream) {
	st := a.known(s)
	if s.Window() <= 0 {
		a.t.Fatalf("stream %d is said to be writable", s.ID())
	}
	a.sync()
	for {
		n := min(s.Window(), st.left)
		if n == 0 && st.left > 0 {
			return
		}
		st.left -= n
		a.buf = s.AppendData(a.buf, make([]byte, n), st.left == 0)
		if st.left == 0 {
			a.gone(s)
			return
		}
	}
}

// A client is the other end: it knows the state of each of its streams, and what it may be sent.
type client struct {
	t             *testing.T
	*http2.Framer // writes to wire
	wire          bytes.Buffer
	encoder       *hpack.Encoder
	block         bytes.Buffer
	reader        *http2.Framer
	back          bytes.Buffer

	conn, initial int64 // what it may be sent
	streams       map[uint32]*clientStream
	order         []uint32
	mutate        bool // the next frame is to be spoilt
	lawless       bool // one was, so that what it thinks of windows need not be so
	goneAway      bool // it got GOAWAY
	saidSettings  []int64
}

type clientStream struct {
	window  int64
	ended   bool // our side
	headers bool // got
	over    bool // their side: by END_STREAM, or they reset it
	reset   bool // we reset it; what they sent before they knew may still come
}

func newClient(t *testing.T) *client {
	c := &client{t: t, conn: firstWindow, initial: firstWindow, streams: map[uint32]*clientStream{}}
	c.Framer = http2.NewFramer(&c.wire, nil)
	c.AllowIllegalWrites = true
	c.encoder = hpack.NewEncoder(&c.block)
	c.reader = http2.NewFramer(nil, &c.back)
	c.reader.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return c
}

func (c *client) preface() {
	c.wire.WriteString(http2.ClientPreface)
	_ = c.WriteSettings()
	c.saidSettings = []int64{c.initial}
}

func (c *client) encode(lines ...hpack.HeaderField) []byte {
	c.block.Reset()
	for _, f := range lines {
		_ = c.encoder.WriteField(f)
	}
	return bytes.Clone(c.block.Bytes())
}

// pick returns a stream that was opened.
func (c *client) pick(b byte) (uint32, *clientStream) {
	id := c.order[int(b)%len(c.order)]
	return id, c.streams[id]
}

// act writes what the octet op says; arg gives octets for it.
func (c *client) act(op byte, arg func() byte) {
	if len(c.order) == 0 {
		op = 1 // all else is about streams
	}
	switch op % 16 {
	case 0, 1, 2: // a request
		id := uint32(1)
		if n := len(c.order); n > 0 {
			id = c.order[n-1] + 2 + 2*uint32(arg()%3)
		}
		end := op%16 == 0
		c.streams[id] = &clientStream{window: c.initial, ended: end}
		c.order = append(c.order, id)
		block := c.encode(hpack.HeaderField{Name: ":method", Value: "POST"}, hpack.HeaderField{Name: ":scheme", Value: "https"},
			hpack.HeaderField{Name: ":path", Value: "/" + string(rune('a'+arg()%26))})
		cut := min(len(block), int(arg()))
		_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: cut == len(block), BlockFragment: block[:cut], PadLength: arg() % 4})
		if cut < len(block) {
			_ = c.WriteContinuation(id, true, block[cut:])
		}
	case 3, 4: // part of a body
		if id, s := c.pick(arg()); !s.ended {
			s.ended = op%16 == 4
			_ = c.WriteDataPadded(id, s.ended, make([]byte, arg()), make([]byte, arg()%5))
		}
	case 5: // another window for all streams
		v := int64(arg()) * 3
		_ = c.WriteSettings(window(uint32(v)))
		c.saidSettings = append(c.saidSettings, v)
	case 6: // a stream's window
		id, s := c.pick(arg())
		n := uint32(arg()) + 1
		s.window += int64(n)
		_ = c.WriteWindowUpdate(id, n)
	case 7:
		n := uint32(arg()) + 1
		c.conn += int64(n)
		_ = c.WriteWindowUpdate(0, n)
	case 8:
		id, s := c.pick(arg())
		s.reset, s.ended = true, true
		_ = c.WriteRSTStream(id, http2.ErrCodeCancel)
	case 9:
		_ = c.WritePing(arg()%2 == 0, [8]byte([]byte("freshet!")))
	case 10: // trailers
		if id, s := c.pick(arg()); !s.ended {
			s.ended = true
			_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: true, EndHeaders: true, BlockFragment: c.encode(hpack.HeaderField{Name: "t", Value: "1"})})
		}
	case 11:
		_ = c.WritePriority(uint32(arg()), http2.PriorityParam{StreamDep: 300})
	case 12:
		_ = c.WriteSettingsAck()
		c.encoder.SetMaxDynamicTableSize(0)
	case 13:
		_ = c.WriteRawFrame(http2.FrameType(0xe0+arg()%4), http2.Flags(arg()), uint32(arg()), make([]byte, arg()))
	case 14:
		_ = c.WriteGoAway(0, http2.ErrCodeNo, make([]byte, arg()))
	case 15:
		c.mutate = true
		c.act(arg()%15, arg)
	}
}

// read checks what the connection sends.
func (c *client) read(b []byte) {
	c.back.Write(b)
	for c.back.Len() > 0 {
		f, err := c.reader.ReadFrame()
		if err != nil {
			c.t.Fatalf("it sent what is no frame: %v", err)
		}
		if c.goneAway {
			c.t.Fatalf("%s after GOAWAY with an error", describe(f))
		}
		h := f.Header()
		s := c.streams[h.StreamID]
		if h.StreamID != 0 && s == nil && !c.lawless {
			c.t.Fatalf("%s: not a stream of mine", describe(f))
		}
		if s == nil {
			s = &clientStream{headers: true}
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() && !c.lawless {
				v := c.saidSettings[0]
				c.saidSettings = c.saidSettings[1:]
				for _, s := range c.streams {
					s.window += v - c.initial
				}
				c.initial = v
			}
		case *http2.MetaHeadersFrame:
			if s.over && !s.reset && !c.lawless {
				c.t.Fatalf("%s after the end", describe(f))
			}
			s.headers = true
			s.over = s.over || f.StreamEnded()
		case *http2.DataFrame:
			s.window -= int64(h.Length)
			c.conn -= int64(h.Length)
			if c.lawless {
				break
			}
			if !s.headers || s.over && !s.reset {
				c.t.Fatalf("%s before headers or after the end", describe(f))
			}
			if h.Length > 0 && (s.window < 0 || c.conn < 0) {
				c.t.Fatalf("%s is more than I let in: %d, %d", describe(f), s.window, c.conn)
			}
			s.over = s.over || f.StreamEnded()
		case *http2.RSTStreamFrame:
			if s.over && !s.ended && f.ErrCode != http2.ErrCodeNo && !s.reset && !c.lawless {
				c.t.Fatalf("%s after the end", describe(f))
			}
			s.over, s.ended = true, true
		case *http2.GoAwayFrame:
			c.goneAway = f.ErrCode != http2.ErrCodeNo
		case *http2.PingFrame, *http2.WindowUpdateFrame:
		default:
			c.t.Fatalf("%s: a server sends no such thing", describe(f))
		}
	}
}
