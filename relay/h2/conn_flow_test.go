package h2

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

func window(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}
}

func TestSendWindows(t *testing.T) {
	p := connect(t, nil, window(10))
	s := p.open(1)
	p.events = nil
	if s.Window() != 10 {
		t.Fatalf("window is %d", s.Window())
	}
	p.back.Write(s.AppendData(nil, []byte("0123456789"), false))
	if s.Window() != 0 {
		t.Fatalf("window is %d", s.Window())
	}
	_ = p.WriteWindowUpdate(1, 3)
	_ = p.WriteWindowUpdate(1, 3) // no second word about it
	_ = p.send()
	p.wantEvents("writable 1")
	if s.Window() != 6 {
		t.Fatalf("window is %d", s.Window())
	}
	p.read()

	// The connection's window holds too, and the largest frame.
	_ = p.WriteSettings(window(maxWindow))
	_ = p.send()
	p.wantEvents()
	if s.Window() != maxFrame {
		t.Fatalf("window is %d", s.Window())
	}
	for s.Window() > 0 {
		s.AppendData(nil, make([]byte, s.Window()), false)
	}
	_ = p.WriteWindowUpdate(1, 5)
	_ = p.send()
	p.wantEvents()
	_ = p.WriteWindowUpdate(0, 1<<20)
	_ = p.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 50000})
	_ = p.send()
	p.wantEvents("writable 1")
	if s.Window() != 50000 {
		t.Fatalf("window is %d", s.Window())
	}
}

// TestNegativeWindow is RFC 9113 6.9.2 with its own numbers.
func TestNegativeWindow(t *testing.T) {
	p := connect(t, nil, window(60<<10))
	s := p.open(1)
	for s.Window() > 0 {
		s.AppendData(nil, make([]byte, s.Window()), false)
	}
	p.events = nil
	_ = p.WriteSettings(window(16 << 10))
	_ = p.WriteWindowUpdate(1, 44<<10)
	_ = p.send()
	if s.send != 0 || s.Window() != 0 {
		t.Fatalf("window is %d", s.send)
	}
	p.wantEvents()
	_ = p.WriteWindowUpdate(1, 1)
	_ = p.send()
	p.wantEvents("writable 1")

	// A stream that is opened in between has the new one.
	if n := p.open(3).send; n != 16<<10 {
		t.Fatalf("a new stream's window is %d", n)
	}
	// SETTINGS alone open it too; of several values the last counts.
	s.AppendData(nil, make([]byte, 1), false)
	p.events = nil
	_ = p.WriteSettings(window(0), window(16<<10+7))
	_ = p.send()
	p.wantEvents("writable 1")
	if s.Window() != 7 {
		t.Fatalf("window is %d", s.Window())
	}
}

func TestWindowErrors(t *testing.T) {
	for name, c := range map[string]struct {
		write func(p *peer)
		code  http2.ErrCode // of the connection
		reset string        // or of the stream
	}{
		"connection by 0":   {func(p *peer) { _ = p.WriteWindowUpdate(0, 0) }, http2.ErrCodeProtocol, ""},
		"connection beyond": {func(p *peer) { _ = p.WriteWindowUpdate(0, maxWindow-firstWindow+1) }, http2.ErrCodeFlowControl, ""},
		"stream by 0":       {func(p *peer) { _ = p.WriteWindowUpdate(1, 0) }, 0, "RST_STREAM 1 PROTOCOL_ERROR"},
		"stream beyond":     {func(p *peer) { _ = p.WriteWindowUpdate(1, maxWindow-firstWindow+1) }, 0, "RST_STREAM 1 FLOW_CONTROL_ERROR"},
		"idle":              {func(p *peer) { _ = p.WriteWindowUpdate(3, 1) }, http2.ErrCodeProtocol, ""},
		"settings too high": {func(p *peer) { _ = p.WriteSettings(window(1 << 31)) }, http2.ErrCodeFlowControl, ""},
		"settings beyond": {func(p *peer) {
			_ = p.WriteWindowUpdate(1, 10)
			_ = p.WriteSettings(window(maxWindow - 5))
		}, http2.ErrCodeFlowControl, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, nil)
			p.open(1)
			c.write(p)
			err := p.send()
			if c.reset != "" {
				if err != nil {
					t.Fatal(err)
				}
				p.wantAnswers(c.reset)
				return
			}
			p.wantEnd(c.code, "")
		})
	}

	// As far as it goes is not too far.
	p := connect(t, nil)
	p.open(1)
	_ = p.WriteWindowUpdate(0, maxWindow-firstWindow)
	_ = p.WriteWindowUpdate(1, maxWindow-firstWindow)
	_ = p.WriteWindowUpdate(0x80000001, 0) // the reserved bit is no part of the id
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers("RST_STREAM 1 PROTOCOL_ERROR")
}

func TestReceiveWindows(t *testing.T) {
	p := connect(t, &Config{StreamWindow: 1000})
	s := p.post(1)
	p.onData = func(*Stream, []byte) {} // keeps it
	_ = p.WriteData(1, false, make([]byte, 1000))
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	s.Consume(499)
	p.wantAnswers()
	s.Consume(1)
	p.wantAnswers("WINDOW_UPDATE 1 +500")
	_ = p.WriteData(1, false, make([]byte, 500))
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	_ = p.WriteData(1, false, make([]byte, 1))
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers("RST_STREAM 1 FLOW_CONTROL_ERROR")

	// The connection's: one stream's window each, until they are more.
	p = connect(t, nil)
	p.onData = func(*Stream, []byte) {}
	p.post(1)
	p.post(3)
	for range 3 {
		_ = p.WriteData(1, false, make([]byte, 16384))
	}
	_ = p.WriteData(3, false, make([]byte, 16383))
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	_ = p.WriteData(3, false, make([]byte, 1))
	_ = p.send()
	p.wantEnd(http2.ErrCodeFlowControl, "connection's window")

	// What a stream held comes back when it ends.
	p = connect(t, nil)
	p.onData = func(*Stream, []byte) {}
	s = p.post(1)
	for range 3 {
		_ = p.WriteData(1, false, make([]byte, 16384))
	}
	_ = p.send()
	s.Reset(http2.ErrCodeCancel)
	p.wantAnswers("RST_STREAM 1 CANCEL", "WINDOW_UPDATE +49152")
}

// TestWindowBeforeAck: until the peer has acknowledged our SETTINGS it may not know the window.
func TestWindowBeforeAck(t *testing.T) {
	p := newPeer(t, &Config{StreamWindow: 100})
	p.wire.WriteString(http2.ClientPreface)
	_ = p.WriteSettings()
	p.request(1, false)
	_ = p.WriteData(1, false, make([]byte, 300))
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.answers()
	_ = p.WriteSettingsAck()
	_ = p.send()
	// The window shrank to -200. The 300 octets, too few to be given back of 65,535, must be now.
	p.wantAnswers("WINDOW_UPDATE 1 +300")
	_ = p.WriteData(1, false, make([]byte, 101))
	_ = p.send()
	p.wantAnswers("RST_STREAM 1 FLOW_CONTROL_ERROR")
}

func TestConsumeTooMuch(t *testing.T) {
	p := connect(t, nil)
	s := p.post(1)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s.Consume(1)
}

// TestWindowIsShared: streams that starve for the connection's window get it in turn.
func TestWindowIsShared(t *testing.T) {
	p := connect(t, nil)
	for id := uint32(1); id <= 9; id += 2 {
		p.open(id)
	}
	for s := p.streams[1]; s.Window() > 0; {
		s.AppendData(nil, make([]byte, s.Window()), false)
	}
	for _, s := range p.streams {
		s.Window()
	}
	p.onWritable = func(s *Stream) {
		if n := s.Window(); n > 0 {
			s.AppendData(nil, make([]byte, n), false)
		}
	}
	p.events = nil
	for range 7 {
		_ = p.WriteWindowUpdate(0, 100)
	}
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	// 1 and its peers starve again by taking all there is; stream 1 has used up its own window.
	p.wantEvents("writable 3", "writable 5", "writable 7", "writable 9", "writable 3", "writable 5", "writable 7")

	// A stream that ends, or ends another, in the call disturbs nobody else.
	p.onWritable = func(s *Stream) {
		s.Reset(http2.ErrCodeCancel)
		if s.ID() == 9 {
			p.streams[3].Reset(http2.ErrCodeCancel)
		}
	}
	p.events = nil
	_ = p.WriteWindowUpdate(0, 1)
	_ = p.send()
	p.wantEvents("writable 9", "writable 5", "writable 7")
	if p.conn.starved != 1 {
		t.Fatalf("%d starve", p.conn.starved)
	}
}

// TestFlowModel compares the windows of a connection under any frames with plain arithmetic.
func TestFlowModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := connect(t, nil)
		conn, initial := int64(firstWindow), int64(firstWindow)
		streams := map[uint32]int64{}
		starving := map[uint32]bool{}
		var told []uint32
		p.onWritable = func(s *Stream) { told = append(told, s.ID()) }
		next := uint32(1)
		pick := func(rt *rapid.T) *Stream {
			if next == 1 {
				rt.Skip("no stream")
			}
			return p.streams[1+2*rapid.Uint32Range(0, (next-3)/2).Draw(rt, "stream")]
		}
		check := func(rt *rapid.T) {
			if err := p.send(); err != nil {
				rt.Fatal(err)
			}
			for _, id := range told {
				if !starving[id] || min(streams[id], conn) <= 0 {
					rt.Fatalf("stream %d told: starved %v, windows %d and %d", id, starving[id], streams[id], conn)
				}
				delete(starving, id)
			}
			told = nil
			for id := range starving {
				if min(streams[id], conn) > 0 {
					rt.Fatalf("stream %d was not told of its window", id)
				}
			}
			p.answers()
		}
		rt.Repeat(map[string]func(*rapid.T){
			"open": func(rt *rapid.T) {
				if next > 20 {
					rt.Skip("enough")
				}
				p.open(next)
				streams[next] = initial
				next += 2
			},
			"send": func(rt *rapid.T) {
				s := pick(rt)
				want := max(0, min(conn, streams[s.ID()], maxFrame))
				if got := s.Window(); int64(got) != want {
					rt.Fatalf("stream %d: window %d; want %d", s.ID(), got, want)
				}
				if want > 0 {
					n := rapid.Int64Range(min(100, want), want).Draw(rt, "octets")
					if got := s.AppendData(nil, make([]byte, n), false); len(got) != int(n)+frameHead {
						rt.Fatalf("%d octets for %d", len(got), n)
					}
					conn -= n
					streams[s.ID()] -= n
				}
				if min(conn, streams[s.ID()]) <= 0 {
					starving[s.ID()] = true
				}
			},
			"update connection": func(rt *rapid.T) {
				n := rapid.Uint32Range(1, 1<<17).Draw(rt, "by")
				_ = p.WriteWindowUpdate(0, n)
				conn += int64(n)
				check(rt)
			},
			"update stream": func(rt *rapid.T) {
				s := pick(rt)
				n := rapid.Uint32Range(1, 1<<17).Draw(rt, "by")
				_ = p.WriteWindowUpdate(s.ID(), n)
				streams[s.ID()] += int64(n)
				check(rt)
			},
			"settings": func(rt *rapid.T) {
				n := rapid.Uint32Range(0, 1<<18).Draw(rt, "window")
				_ = p.WriteSettings(window(n))
				for id := range streams {
					streams[id] += int64(n) - initial
				}
				initial = int64(n)
				check(rt)
			},
			"": func(*rapid.T) { checkInvariants(t, p.conn) },
		})
	})
}

func TestAppendDataBeyondWindow(t *testing.T) {
	p := connect(t, nil, window(4))
	s := p.open(1)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s.AppendData(nil, []byte("12345"), false)
}

func TestEmptyEndNeedsNoWindow(t *testing.T) {
	p := connect(t, nil, window(0))
	s := p.open(1)
	want := rawFrame(http2.FrameData, http2.FlagDataEndStream, 1, nil)
	if got := s.AppendData(nil, nil, true); !bytes.Equal(got, want) {
		t.Fatalf("%x; want %x", got, want)
	}
}
