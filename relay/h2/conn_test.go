package h2

import (
	"testing"

	"golang.org/x/net/http2"
)

func TestOpeningSettings(t *testing.T) {
	p := newPeer(t, &Config{MaxStreams: 7, MaxHeaderList: 9000, StreamWindow: 4096, ConnWindow: 1 << 20})
	p.wantAnswers(
		"SETTINGS HEADER_TABLE_SIZE=0 MAX_CONCURRENT_STREAMS=7 INITIAL_WINDOW_SIZE=4096 MAX_HEADER_LIST_SIZE=9000 NO_RFC7540_PRIORITIES=1",
		"WINDOW_UPDATE +983041",
	)
	p = newPeer(t, nil)
	p.wantAnswers("SETTINGS HEADER_TABLE_SIZE=0 MAX_CONCURRENT_STREAMS=1000 INITIAL_WINDOW_SIZE=65535 MAX_HEADER_LIST_SIZE=16384 NO_RFC7540_PRIORITIES=1")
}

func TestPrefaceTrickles(t *testing.T) {
	p := newPeer(t, nil)
	p.answers()
	p.cut = 1
	for i := range len(http2.ClientPreface) {
		p.wire.WriteByte(http2.ClientPreface[i])
		if err := p.send(); err != nil {
			t.Fatalf("after %d octets: %v", i+1, err)
		}
		if p.conn.Ready() {
			t.Fatal("ready before SETTINGS")
		}
		if whole := i+1 == len(http2.ClientPreface); p.conn.Partial() == whole {
			t.Fatalf("after %d octets: Partial() = %v", i+1, whole)
		}
	}
	_ = p.WriteSettings()
	p.request(1, true)
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	if !p.conn.Ready() || p.conn.Partial() {
		t.Fatal("not ready after SETTINGS")
	}
	p.wantAnswers("SETTINGS ack")
	p.wantEvents("request 1 GET /events/a end")
}

func TestPrefaceWrong(t *testing.T) {
	// The mistake is found at its octet, not when there are enough.
	for i := range len(http2.ClientPreface) {
		p := newPeer(t, nil)
		p.wire.WriteString(http2.ClientPreface[:i] + "\x00")
		_ = p.send()
		p.wantEnd(http2.ErrCodeProtocol, "preface")
	}
	for name, first := range map[string][]byte{
		"PING":         rawFrame(http2.FramePing, 0, 0, make([]byte, 8)),
		"SETTINGS ack": rawFrame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil),
		"unknown":      rawFrame(0xbe, 0, 0, nil),
	} {
		p := newPeer(t, nil)
		p.wire.WriteString(http2.ClientPreface)
		p.wire.Write(first)
		_ = p.send()
		t.Log(name)
		p.wantEnd(http2.ErrCodeProtocol, "first frame is not SETTINGS")
	}
}

func TestShutdownTwice(t *testing.T) {
	p := connect(t, nil)
	s := p.open(1)
	p.conn.Shutdown()
	p.wantAnswers("GOAWAY 2147483647 NO_ERROR", `PING "freshet!"`)

	// What the peer sent before it knew is served.
	p.open(3)
	p.streams[3].AppendHeaders(nil, 204, nil, true)
	if p.conn.Done() {
		t.Fatal("done with a stream open")
	}
	// Another ping's return is not it.
	_ = p.WritePing(true, [8]byte{'n', 'o'})
	_ = p.send()
	p.wantAnswers()
	_ = p.WritePing(true, [8]byte([]byte("freshet!")))
	_ = p.send()
	p.wantAnswers("GOAWAY 3 NO_ERROR")

	// What came later is ignored, body and all, and decoded all the same.
	p.events = nil
	p.request(5, false)
	_ = p.WriteData(5, false, []byte("late"))
	p.headers(5, true, p.fields("x: y"))
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantEvents()
	p.wantAnswers()

	if got := s.AppendData(nil, []byte("x"), true); len(got) != 10 {
		t.Fatalf("a stream of before cannot send: %q", got)
	}
	if !p.conn.Done() {
		t.Fatal("not done without streams")
	}
}

func TestShutdownHurried(t *testing.T) {
	p := connect(t, nil)
	p.open(1)
	p.conn.Shutdown()
	p.conn.Shutdown()
	p.conn.Shutdown()
	p.wantAnswers("GOAWAY 2147483647 NO_ERROR", `PING "freshet!"`, "GOAWAY 1 NO_ERROR")
	_ = p.WritePing(true, [8]byte([]byte("freshet!")))
	_ = p.send()
	p.wantAnswers()
}

func TestPeerLeaves(t *testing.T) {
	p := connect(t, nil)
	s := p.open(1)
	_ = p.WriteGoAway(0, http2.ErrCodeNo, []byte("bye, and some words to skip"))
	_ = p.WritePing(false, [8]byte{1})
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers(`PING ack "\x01\x00\x00\x00\x00\x00\x00\x00"`)
	if p.conn.Done() {
		t.Fatal("done with a stream open")
	}
	s.AppendHeaders(nil, 200, nil, true)
	if !p.conn.Done() {
		t.Fatal("not done")
	}
}

func TestGoAwayByTheLoop(t *testing.T) {
	p := connect(t, nil)
	s := p.open(1)
	p.conn.GoAway(http2.ErrCodeEnhanceYourCalm, "too many handlers")
	p.conn.GoAway(http2.ErrCodeInternal, "a second one says nothing")
	p.err = p.conn.Receive(p.now, nil)
	p.wantEnd(http2.ErrCodeEnhanceYourCalm, "too many handlers")

	p.events = nil
	p.conn.Close(http2.ErrCodeCancel)
	p.wantEvents("reset 1 CANCEL")
	if !s.Closed() || p.conn.Streams() != 0 || !p.conn.Done() {
		t.Fatal("something is left")
	}
}

// TestClosedInACall ends the connection from within Receive; nothing of what else was received counts.
func TestClosedInACall(t *testing.T) {
	p := connect(t, nil)
	p.onRequest = func(s *Stream) {
		if s.ID() == 3 {
			p.conn.Close(http2.ErrCodeCancel)
		}
	}
	p.request(1, true)
	p.request(3, true)
	p.request(5, true)
	if err := p.send(); err == nil {
		t.Fatal("Receive says nothing")
	}
	p.wantEvents("request 1 GET /events/a end", "request 3 GET /events/a end", "reset 3 CANCEL", "reset 1 CANCEL")
}

// TestClosedStream calls everything on a stream that is gone.
func TestClosedStream(t *testing.T) {
	p := connect(t, nil)
	s := p.open(1)
	s.Reset(http2.ErrCodeCancel)
	p.wantAnswers("RST_STREAM 1 CANCEL")
	p.events = nil
	s.Reset(http2.ErrCodeCancel)
	s.Consume(5)
	dst := s.AppendHeaders(nil, 200, nil, false)
	dst = s.AppendBlock(dst, []byte{0x88}, true)
	dst = s.AppendData(dst, []byte("x"), true)
	dst = s.AppendTrailers(dst, nil)
	if len(dst) > 0 || s.Window() != 0 || !s.Closed() {
		t.Fatalf("it lives: %q, window %d", dst, s.Window())
	}
	p.wantAnswers()
	p.wantEvents()
	checkInvariants(t, p.conn)
}

func TestEachWhileStreamsEnd(t *testing.T) {
	p := connect(t, nil)
	for id := uint32(1); id < 20; id += 2 {
		p.open(id)
	}
	var seen []uint32
	p.conn.Each(func(s *Stream) {
		seen = append(seen, s.ID())
		s.Reset(http2.ErrCodeCancel)
		if other := p.streams[s.ID()+2]; other != nil && s.ID()%4 == 1 {
			other.Reset(http2.ErrCodeCancel)
		}
	})
	if len(seen) != 5 || p.conn.Streams() != 0 {
		t.Fatalf("saw %v; %d streams are left", seen, p.conn.Streams())
	}
}
