package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A peer is the client's half of a connection, a puppet: it writes any frame, right or wrong, and
// reads back what the Conn answered and what its Handler was told.
type peer struct {
	t    testing.TB
	conn *Conn
	now  time.Time
	cut  int // octets given to Receive at once; 0: all

	*http2.Framer              // writes to wire
	wire          bytes.Buffer // written and not yet sent
	err           error        // of the last Receive

	encoder *hpack.Encoder
	block   bytes.Buffer
	reader  *http2.Framer // of what the Conn sends
	back    bytes.Buffer

	// What the Handler is told: one line each, in the order of calls.
	events []string
	// What the test does at a call, after it was noted.
	onRequest  func(*Stream)
	onData     func(*Stream, []byte)
	onWritable func(*Stream)
	onReset    func(*Stream)
	streams    map[uint32]*Stream
}

var someTime = time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)

// newPeer is a peer that has written nothing.
func newPeer(t testing.TB, cfg *Config) *peer {
	p := &peer{t: t, now: someTime, streams: make(map[uint32]*Stream)}
	p.conn = New(NewScratch(cfg), p)
	p.Framer = http2.NewFramer(&p.wire, nil)
	p.Framer.AllowIllegalWrites = true
	p.encoder = hpack.NewEncoder(&p.block)
	p.reader = http2.NewFramer(nil, &p.back)
	p.reader.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return p
}

// connect is a peer that has exchanged SETTINGS, its own being given.
func connect(t testing.TB, cfg *Config, settings ...http2.Setting) *peer {
	t.Helper()
	p := newPeer(t, cfg)
	p.wire.WriteString(http2.ClientPreface)
	_ = p.WriteSettings(settings...)
	_ = p.WriteSettingsAck()
	p.encoder.SetMaxDynamicTableSize(0)
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.answers()
	return p
}

// send hands the Conn what was written, and checks its invariants after each piece.
func (p *peer) send() error {
	p.t.Helper()
	b := bytes.Clone(p.wire.Bytes())
	p.wire.Reset()
	for len(b) > 0 {
		n := len(b)
		if p.cut > 0 {
			n = min(n, p.cut)
		}
		p.err = p.conn.Receive(p.now, b[:n])
		b = b[n:]
		checkInvariants(p.t, p.conn)
	}
	return p.err
}

// fields encodes a header block from "name: value" lines.
func (p *peer) fields(lines ...string) []byte {
	p.block.Reset()
	for _, line := range lines {
		i := strings.Index(line[1:], ":") + 1
		_ = p.encoder.WriteField(hpack.HeaderField{Name: line[:i], Value: strings.TrimPrefix(line[i+1:], " ")})
	}
	return bytes.Clone(p.block.Bytes())
}

// request writes the HEADERS of a request.
func (p *peer) request(id uint32, end bool, more ...string) {
	lines := append([]string{":method: GET", ":scheme: https", ":authority: relay.test", ":path: /events/a"}, more...)
	p.headers(id, end, p.fields(lines...))
}

func (p *peer) headers(id uint32, end bool, block []byte) {
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: true, BlockFragment: block})
}

// open sends a request without a body and returns its stream.
func (p *peer) open(id uint32) *Stream {
	p.t.Helper()
	p.request(id, true)
	if err := p.send(); err != nil {
		p.t.Fatal(err)
	}
	s := p.streams[id]
	if s == nil {
		p.t.Fatalf("stream %d was not opened", id)
	}
	return s
}

// answers takes Output away and returns it, one line a frame.
func (p *peer) answers() []string {
	p.t.Helper()
	p.back.Write(p.conn.Output())
	p.conn.Flushed(len(p.conn.Output()))
	return p.read()
}

// read parses what was written to back.
func (p *peer) read() (lines []string) {
	p.t.Helper()
	for p.back.Len() > 0 {
		f, err := p.reader.ReadFrame()
		if err != nil {
			p.t.Fatalf("the Conn sent what is no frame: %v", err)
		}
		lines = append(lines, describe(f))
	}
	return lines
}

// describe is a frame in a line.
func describe(f http2.Frame) string {
	var b strings.Builder
	h := f.Header()
	fmt.Fprintf(&b, "%v", h.Type)
	if h.StreamID != 0 {
		fmt.Fprintf(&b, " %d", h.StreamID)
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			b.WriteString(" ack")
		}
		_ = f.ForeachSetting(func(s http2.Setting) error {
			fmt.Fprintf(&b, " %v=%d", s.ID, s.Val)
			return nil
		})
	case *http2.MetaHeadersFrame:
		for _, hf := range f.Fields {
			fmt.Fprintf(&b, " %s=%s", strings.TrimPrefix(hf.Name, ":"), hf.Value)
		}
		if f.StreamEnded() {
			b.WriteString(" end")
		}
	case *http2.DataFrame:
		fmt.Fprintf(&b, " %q", f.Data())
		if f.StreamEnded() {
			b.WriteString(" end")
		}
	case *http2.PingFrame:
		if f.IsAck() {
			b.WriteString(" ack")
		}
		fmt.Fprintf(&b, " %q", f.Data[:])
	case *http2.WindowUpdateFrame:
		fmt.Fprintf(&b, " +%d", f.Increment)
	case *http2.RSTStreamFrame:
		fmt.Fprintf(&b, " %v", f.ErrCode)
	case *http2.GoAwayFrame:
		fmt.Fprintf(&b, " %d %v", f.LastStreamID, f.ErrCode)
	}
	return b.String()
}

// wantAnswers compares what the Conn has sent since the last look.
func (p *peer) wantAnswers(want ...string) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.answers()); diff != "" {
		p.t.Fatalf("answers (-want +got):\n%s", diff)
	}
}

// wantEvents compares what the Handler has been told since the last look.
func (p *peer) wantEvents(want ...string) {
	p.t.Helper()
	got := p.events
	p.events = nil
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Fatalf("events (-want +got):\n%s", diff)
	}
}

// wantEnd says that the connection has ended with the code, and that GOAWAY told the peer.
func (p *peer) wantEnd(code http2.ErrCode, reason string) {
	p.t.Helper()
	var e *Error
	if !errors.As(p.err, &e) || e.Code != code || !strings.Contains(e.Reason, reason) {
		p.t.Fatalf("Receive = %v; want %v with %q", p.err, code, reason)
	}
	answers := p.answers()
	if last := answers[len(answers)-1]; !strings.HasPrefix(last, "GOAWAY ") || !strings.HasSuffix(last, " "+code.String()) {
		p.t.Fatalf("last answer is %q; want GOAWAY with %v", last, code)
	}
	if err := p.conn.Receive(p.now, []byte{0}); !errors.Is(err, p.err) {
		p.t.Fatalf("next Receive = %v; want %v again", err, p.err)
	}
}

func (p *peer) note(format string, args ...any) {
	p.events = append(p.events, fmt.Sprintf(format, args...))
}

func ending(end bool) string {
	if end {
		return " end"
	}
	return ""
}

func (p *peer) Request(s *Stream, fields []hpack.HeaderField, end bool) {
	var method, path string
	for _, f := range fields {
		switch f.Name {
		case ":method":
			method = f.Value
		case ":path":
			path = f.Value
		}
	}
	p.streams[s.ID()] = s
	p.note("request %d %s %s%s", s.ID(), method, path, ending(end))
	if p.onRequest != nil {
		p.onRequest(s)
	}
}

func (p *peer) Data(s *Stream, b []byte, end bool) {
	p.note("data %d %q%s", s.ID(), b, ending(end))
	if p.onData != nil {
		p.onData(s, b)
		return
	}
	s.Consume(len(b))
}

func (p *peer) Trailers(s *Stream, fields []hpack.HeaderField) {
	p.note("trailers %d %v", s.ID(), fields)
}

func (p *peer) Reset(s *Stream, code http2.ErrCode) {
	p.note("reset %d %v", s.ID(), code)
	if p.onReset != nil {
		p.onReset(s)
	}
}

func (p *peer) Writable(s *Stream) {
	p.note("writable %d", s.ID())
	if p.onWritable != nil {
		p.onWritable(s)
	}
}

// checkInvariants fails the test if what must always hold of a Conn does not.
func checkInvariants(t testing.TB, c *Conn) {
	t.Helper()
	l := &c.scratch.limits
	var starving uint32
	var held int64
	var last uint32
	for _, s := range c.streams {
		switch {
		case s.id <= last || s.id&1 == 0 || s.id > c.taken || c.taken > c.lastID:
			t.Fatalf("stream %d after %d; taken %d, seen %d", s.id, last, c.taken, c.lastID)
		case s.is(closed) || s.conn != c:
			t.Fatalf("stream %d is in the table and closed, or another's", s.id)
		case s.held() < 0 || s.credit < 0:
			t.Fatalf("stream %d: held %d, credit %d", s.id, s.held(), s.credit)
		case s.length < -1:
			t.Fatalf("stream %d: content-length is overrun by %d", s.id, -s.length)
		}
		last = s.id
		held += int64(s.held())
		if s.is(starved) {
			starving++
		}
	}
	if c.starved != starving {
		t.Fatalf("starved is %d, streams say %d", c.starved, starving)
	}
	if c.err == nil {
		if got := int64(c.recv) + int64(c.credit) + held; got != int64(l.connWindow) {
			t.Fatalf("connection's window: %d to come + %d credit + %d held = %d; want %d", c.recv, c.credit, held, got, l.connWindow)
		}
		if len(c.out) > l.output+512 { // what one frame can cause
			t.Fatalf("%d octets of output; limit %d", len(c.out), l.output)
		}
	}
	if len(c.streams) > l.streams || cap(c.streams) > 64+4*max(len(c.streams), 16) {
		t.Fatalf("%d streams in a table of %d; limit %d", len(c.streams), cap(c.streams), l.streams)
	}
	if len(c.carry) > l.block || c.carry != nil && c.phase != inFrame && c.continuing == 0 || int(c.base) > len(c.carry) {
		t.Fatalf("%d octets carried, base %d, phase %d, continuing %d", len(c.carry), c.base, c.phase, c.continuing)
	}
	for i, n := range c.budget {
		if n > int32(l.budget[i].Burst)+earnings {
			t.Fatalf("budget of %s is %d; burst %d", budgetNames[i], n, l.budget[i].Burst)
		}
	}
	if len(c.out) == 0 && c.out != nil {
		t.Fatal("an empty output keeps its buffer")
	}
}

// rawFrame is a frame with whatever header.
func rawFrame(kind http2.FrameType, f http2.Flags, id uint32, payload []byte) []byte {
	return append(appendHead(nil, len(payload), kind, f, id), payload...)
}

func uint32Bytes(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
