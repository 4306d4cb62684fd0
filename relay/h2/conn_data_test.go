package h2

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
)

// post opens a stream whose request has a body.
func (p *peer) post(id uint32, more ...string) *Stream {
	p.t.Helper()
	p.request(id, false, more...)
	if err := p.send(); err != nil {
		p.t.Fatal(err)
	}
	p.events = nil
	return p.streams[id]
}

func TestDataAsItArrives(t *testing.T) {
	p := connect(t, nil)
	p.post(1, "content-length: 6")
	_ = p.WriteDataPadded(1, false, []byte("abc"), make([]byte, 2))
	_ = p.WriteData(1, true, []byte("def"))
	p.cut = 1
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantEvents(`data 1 "a"`, `data 1 "b"`, `data 1 "c"`, `data 1 "d"`, `data 1 "e"`, `data 1 "f" end`)

	// The end of a padded frame is behind its padding.
	p = connect(t, nil)
	p.post(1)
	p.cut = 0
	_ = p.WriteDataPadded(1, true, []byte("abc"), make([]byte, 2))
	b := bytes.Clone(p.wire.Bytes())
	p.wire.Reset()
	p.wire.Write(b[:len(b)-1])
	_ = p.send()
	p.wantEvents(`data 1 "abc"`)
	p.wire.Write(b[len(b)-1:])
	_ = p.send()
	p.wantEvents(`data 1 "" end`)

	p = connect(t, nil)
	p.post(1)
	_ = p.WriteDataPadded(1, true, nil, nil)
	_ = p.send()
	p.wantEvents(`data 1 "" end`)
}

func TestContentLength(t *testing.T) {
	for name, c := range map[string]struct {
		write func(p *peer)
		want  []string
	}{
		"too much": {func(p *peer) { _ = p.WriteData(1, false, []byte("abcd")) }, nil},
		"too much later": {func(p *peer) {
			_ = p.WriteData(1, false, []byte("ab"))
			_ = p.WriteData(1, true, []byte("cd"))
		}, []string{`data 1 "ab"`}},
		"too little":     {func(p *peer) { _ = p.WriteData(1, true, []byte("ab")) }, nil},
		"nothing at all": {func(p *peer) { _ = p.WriteData(1, true, nil) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, nil)
			p.post(1, "content-length: 3")
			c.write(p)
			if err := p.send(); err != nil {
				t.Fatal(err)
			}
			p.wantEvents(append(c.want, "reset 1 PROTOCOL_ERROR")...)
			p.wantAnswers("RST_STREAM 1 PROTOCOL_ERROR")
		})
	}
	p := connect(t, nil)
	p.post(1, "content-length: 3")
	_ = p.WriteData(1, false, []byte("abc"))
	_ = p.WriteData(1, true, nil)
	_ = p.send()
	p.wantEvents(`data 1 "abc"`, `data 1 "" end`)
	p.wantAnswers()
}

func TestDataWhereItMayNotBe(t *testing.T) {
	type end struct {
		code   http2.ErrCode
		answer string
	}
	for name, c := range map[string]struct {
		write func(p *peer)
		end   end
	}{
		"stream 0":       {func(p *peer) { _ = p.WriteData(0, false, []byte("x")) }, end{code: http2.ErrCodeProtocol}},
		"idle stream":    {func(p *peer) { _ = p.WriteData(9, false, []byte("x")) }, end{code: http2.ErrCodeProtocol}},
		"server's":       {func(p *peer) { _ = p.WriteData(2, false, []byte("x")) }, end{code: http2.ErrCodeProtocol}},
		"no pad length":  {func(p *peer) { p.wire.Write(rawFrame(http2.FrameData, http2.FlagDataPadded, 1, nil)) }, end{code: http2.ErrCodeFrameSize}},
		"all padding":    {func(p *peer) { p.wire.Write(rawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{1})) }, end{code: http2.ErrCodeProtocol}},
		"after its end":  {func(p *peer) { _ = p.WriteData(3, false, []byte("x")) }, end{answer: "RST_STREAM 3 STREAM_CLOSED"}},
		"after RST":      {func(p *peer) { _ = p.WriteRSTStream(1, 8); _ = p.WriteData(1, true, nil) }, end{answer: "RST_STREAM 1 STREAM_CLOSED"}},
		"too long frame": {func(p *peer) { _ = p.WriteData(1, false, make([]byte, 16385)) }, end{code: http2.ErrCodeFrameSize}},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, nil)
			p.post(1)
			p.open(3)
			c.write(p)
			err := p.send()
			if c.end.answer != "" {
				if err != nil {
					t.Fatal(err)
				}
				p.wantAnswers(c.end.answer)
				return
			}
			p.wantEnd(c.end.code, "")
		})
	}
}

// TestPaddingIsGivenBack: nobody but us can, as the handler never sees it.
func TestPaddingIsGivenBack(t *testing.T) {
	p := connect(t, nil)
	p.post(1)
	for range 1000 {
		_ = p.WriteDataPadded(1, false, []byte("x"), make([]byte, 255))
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
		p.answers()
	}
	if p.streams[1].Closed() || p.streams[1].held() != 0 {
		t.Fatal("padding used up the window")
	}
}

// TestStreamEndsWithinAFrame drops what is left of a DATA frame without losing count.
func TestStreamEndsWithinAFrame(t *testing.T) {
	p := connect(t, nil)
	p.post(1)
	p.onData = func(s *Stream, _ []byte) { s.Reset(http2.ErrCodeCancel) }
	_ = p.WriteDataPadded(1, true, make([]byte, 9000), make([]byte, 200))
	p.cut = 100
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	if len(p.events) != 1 {
		t.Fatalf("%d calls of Data", len(p.events))
	}
	p.wantAnswers("RST_STREAM 1 CANCEL")
	p.cut, p.events = 0, nil
	p.onData = nil
	_ = p.WritePing(false, [8]byte{})
	_ = p.send()
	p.wantAnswers(`PING ack "\x00\x00\x00\x00\x00\x00\x00\x00"`)
}
