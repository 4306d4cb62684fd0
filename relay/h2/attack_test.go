package h2

import (
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// attack repeats what write writes, a thousandth of a second apart, until the connection ends, and
// wants that to come before so many repetitions, with no more memory than a few answers on the way.
// Answers are read, unless deaf.
func (p *peer) attack(t *testing.T, most int, deaf bool, write func(i int)) {
	t.Helper()
	output := 0
	for i := range most {
		write(i)
		p.now = p.now.Add(time.Millisecond)
		if p.send() != nil {
			t.Logf("ended after %d, with %d octets of answers", i+1, output)
			return
		}
		output = max(output, len(p.conn.Output()))
		if !deaf {
			p.answers()
		}
	}
	t.Fatalf("still connected after %d", most)
}

func TestAttacks(t *testing.T) {
	small := &Config{MaxStreams: 100}
	for name, c := range map[string]struct {
		cfg    *Config
		most   int
		deaf   bool
		before func(p *peer)
		write  func(p *peer, i int)
		code   http2.ErrCode
		reason string
	}{
		"rapid reset (CVE-2023-44487)": {
			cfg: small, most: 400,
			write: func(p *peer, i int) {
				p.request(uint32(2*i+1), true)
				_ = p.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
			},
			code: http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		// Each of these makes us reset the stream, which frees its place for the next.
		"made you reset: window update by 0 (CVE-2025-8671)": {
			cfg: small, most: 400,
			write: func(p *peer, i int) {
				p.request(uint32(2*i+1), true)
				_ = p.WriteWindowUpdate(uint32(2*i+1), 0)
			},
			code: http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		"made you reset: window overflow": {
			cfg: small, most: 400,
			write: func(p *peer, i int) {
				p.request(uint32(2*i+1), true)
				_ = p.WriteWindowUpdate(uint32(2*i+1), maxWindow)
			},
			code: http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		"made you reset: data after the end": {
			cfg: small, most: 400,
			write: func(p *peer, i int) {
				p.request(uint32(2*i+1), true)
				_ = p.WriteData(uint32(2*i+1), true, []byte("x"))
			},
			code: http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		"made you reset: headers after the end, though answered": {
			cfg: small, most: 400,
			write: func(p *peer, i int) {
				p.onRequest = func(s *Stream) { s.AppendHeaders(nil, 200, nil, false) }
				p.request(uint32(2*i+1), true)
				p.headers(uint32(2*i+1), true, nil)
			},
			code: http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		"malformed requests": {
			cfg: small, most: 400,
			write: func(p *peer, i int) { p.headers(uint32(2*i+1), true, p.fields("A: b")) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		"header lists to be refused": {
			cfg: &Config{MaxStreams: 100, MaxHeaderList: 100}, most: 400,
			write: func(p *peer, i int) { p.request(uint32(2*i+1), true) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		"more streams than promised": {
			cfg: small, most: 600,
			write: func(p *peer, i int) { p.request(uint32(2*i+1), true) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		"frames on streams that are gone": {
			cfg: small, most: 500,
			before: func(p *peer) { p.open(1).Reset(http2.ErrCodeCancel) },
			write:  func(p *peer, _ int) { _ = p.WriteRSTStream(1, http2.ErrCodeCancel) },
			code:   http2.ErrCodeEnhanceYourCalm, reason: "before their response",
		},
		"PING": {
			most:  300,
			write: func(p *peer, _ int) { _ = p.WritePing(false, [8]byte{}) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control and empty frames: limit is 250 at once and 25 a second",
		},
		"PING ack": {
			most:  300,
			write: func(p *peer, _ int) { _ = p.WritePing(true, [8]byte{}) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"SETTINGS": {
			most:  300,
			write: func(p *peer, i int) { _ = p.WriteSettings(window(uint32(i))) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"SETTINGS ack": {
			most:  300,
			write: func(p *peer, _ int) { _ = p.WriteSettingsAck() },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"many settings in a frame": {
			most:  1,
			write: func(p *peer, _ int) { _ = p.WriteSettings(make([]http2.Setting, 101)...) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "more than 100 settings",
		},
		"PRIORITY": {
			most:  300,
			write: func(p *peer, i int) { _ = p.WritePriority(uint32(2*i+1), http2.PriorityParam{Weight: 7}) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"PRIORITY_UPDATE": {
			most: 300,
			write: func(p *peer, i int) {
				p.wire.Write(rawFrame(http2.FramePriorityUpdate, 0, 0, []byte("\x00\x00\x00\x01u=1")))
			},
			code: http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"unknown frames": {
			most:  300,
			write: func(p *peer, _ int) { p.wire.Write(rawFrame(0xfa, 3, 1, make([]byte, 16384))) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"GOAWAY": {
			most:  300,
			write: func(p *peer, _ int) { _ = p.WriteGoAway(0, http2.ErrCodeNo, make([]byte, 1000)) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"empty DATA": {
			most:   300,
			before: func(p *peer) { p.post(1) },
			write:  func(p *peer, _ int) { _ = p.WriteData(1, false, nil) },
			code:   http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"DATA of padding": {
			most:   300,
			before: func(p *peer) { p.post(1) },
			write:  func(p *peer, _ int) { _ = p.WriteDataPadded(1, false, nil, make([]byte, 255)) },
			code:   http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"empty CONTINUATION": {
			most: 300,
			before: func(p *peer) {
				_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields(":method: GET")})
			},
			write: func(p *peer, _ int) { _ = p.WriteContinuation(1, false, nil) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"endless CONTINUATION": {
			most: 5,
			before: func(p *peer) {
				_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.fields(":method: GET")})
			},
			write: func(p *peer, _ int) { _ = p.WriteContinuation(1, false, make([]byte, 16384)) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "header block is longer than",
		},
		"WINDOW_UPDATE of the connection": {
			cfg: small, most: 1000,
			write: func(p *peer, _ int) { _ = p.WriteWindowUpdate(0, 1) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "window updates",
		},
		"WINDOW_UPDATE of a stream": {
			cfg: small, most: 1000,
			before: func(p *peer) { p.open(1) },
			write:  func(p *peer, _ int) { _ = p.WriteWindowUpdate(1, 1) },
			code:   http2.ErrCodeEnhanceYourCalm, reason: "window updates",
		},
		"WINDOW_UPDATE of a stream that is gone": {
			cfg: small, most: 1000,
			before: func(p *peer) { p.open(1).Reset(http2.ErrCodeCancel) },
			write:  func(p *peer, _ int) { _ = p.WriteWindowUpdate(1, 1) },
			code:   http2.ErrCodeEnhanceYourCalm, reason: "window updates",
		},
		"windows of one octet": {
			// The stream has much to send, and gets to send it octet by octet.
			cfg: small, most: 1000,
			before: func(p *peer) {
				_ = p.WriteSettings(window(1))
				send := func(s *Stream) {
					for n := s.Window(); n > 0; n = s.Window() {
						s.AppendData(nil, make([]byte, n), false)
					}
				}
				p.onWritable = send
				send(p.open(1))
			},
			write: func(p *peer, _ int) { _ = p.WriteWindowUpdate(1, 1) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "small windows",
		},
		"windows of one octet by SETTINGS": {
			most: 300,
			before: func(p *peer) {
				p.onWritable = func(s *Stream) { s.AppendData(nil, make([]byte, s.Window()), false) }
				_ = p.WriteSettings(window(0))
				p.open(1).Window()
			},
			write: func(p *peer, i int) { _ = p.WriteSettings(window(uint32(i + 1))) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "control",
		},
		"asking and not reading": {
			cfg:  &Config{MaxOutput: 1000, Control: Budget{Burst: 1 << 20}},
			most: 100, deaf: true,
			write: func(p *peer, _ int) { _ = p.WritePing(false, [8]byte{}) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "answers are not read",
		},
		"asking for resets and not reading": {
			cfg:  &Config{MaxOutput: 1000, Resets: Budget{Burst: 1 << 20}},
			most: 100, deaf: true,
			write: func(p *peer, i int) { p.headers(uint32(2*i+1), true, nil) },
			code:  http2.ErrCodeEnhanceYourCalm, reason: "answers are not read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, c.cfg)
			if c.before != nil {
				c.before(p)
				if err := p.send(); err != nil {
					t.Fatal(err)
				}
				p.answers()
			}
			p.attack(t, c.most, c.deaf, func(i int) { c.write(p, i) })
			p.wantEnd(c.code, c.reason)
			p.conn.Close(c.code)
			checkInvariants(t, p.conn)
		})
	}
}

// TestBudgetsAreForAttacks: what honest clients do for minutes overdraws nothing.
func TestBudgetsAreForAttacks(t *testing.T) {
	p := connect(t, nil)
	id := uint32(1)
	for range 300 {
		p.now = p.now.Add(time.Second)
		for range 5 {
			_ = p.WritePing(false, [8]byte{})
		}
		// Requests that are answered, then left by the client before their end.
		for range 200 {
			s := p.open(id)
			s.AppendHeaders(nil, 200, nil, false)
			s.AppendData(nil, []byte("retry: 3000\nevent: freshet.open\ndata:\nid: 1-2\n\n"), false)
			_ = p.WriteWindowUpdate(0, 49)
			_ = p.WriteWindowUpdate(id, 49)
			_ = p.WriteRSTStream(id, http2.ErrCodeCancel)
			_ = p.WriteWindowUpdate(id, 49) // too late
			id += 2
		}
		p.events = p.events[:0]
		clear(p.streams)
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
		p.conn.Flushed(len(p.conn.Output()))
	}

	// A thousand that leave at once, before any answer.
	p = connect(t, nil)
	for id := uint32(1); id < 2000; id += 2 {
		p.open(id)
	}
	for id := uint32(1); id < 2000; id += 2 {
		_ = p.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	if err := p.send(); err != nil {
		t.Fatal(err)
	}

	// One whose updates follow each DATA frame, of which there are many.
	p = connect(t, nil)
	s := p.open(1)
	for range 20000 {
		s.AppendData(nil, make([]byte, 20), false)
		_ = p.WriteWindowUpdate(0, 20)
		_ = p.WriteWindowUpdate(1, 20)
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBudgetsFillUp: a budget that was spent is worth its rate a second later, and its burst at most.
func TestBudgetsFillUp(t *testing.T) {
	p := connect(t, &Config{Control: Budget{Burst: 10, Rate: 3}})
	p.now = p.now.Add(time.Hour)
	for _, n := range []int{10, 3, 3, 6} {
		if n == 6 {
			p.now = p.now.Add(2 * time.Second)
		} else if n == 3 {
			p.now = p.now.Add(time.Second)
		}
		for range n {
			_ = p.WritePing(true, [8]byte{})
		}
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
		p.now = p.now.Add(-time.Minute) // a clock that goes back pays nothing
		_ = p.conn.Receive(p.now, nil)
		p.now = p.now.Add(time.Minute)
	}
	_ = p.WritePing(true, [8]byte{})
	_ = p.send()
	p.wantEnd(http2.ErrCodeEnhanceYourCalm, "limit is 10 at once and 3 a second")
}
