package h2

import (
	"strconv"
	"testing"

	"golang.org/x/net/http2"
)

func itoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func TestFramesThatAreWrong(t *testing.T) {
	for name, c := range map[string]struct {
		frame []byte
		code  http2.ErrCode
	}{
		"too long":              {appendHead(nil, 16385, 0xfa, 0, 0), http2.ErrCodeFrameSize},
		"PING of 7":             {rawFrame(http2.FramePing, 0, 0, make([]byte, 7)), http2.ErrCodeFrameSize},
		"PING of a stream":      {rawFrame(http2.FramePing, 0, 1, make([]byte, 8)), http2.ErrCodeProtocol},
		"PRIORITY of 4":         {rawFrame(http2.FramePriority, 0, 1, make([]byte, 4)), http2.ErrCodeFrameSize},
		"PRIORITY of 0":         {rawFrame(http2.FramePriority, 0, 0, make([]byte, 5)), http2.ErrCodeProtocol},
		"RST_STREAM of 3":       {rawFrame(http2.FrameRSTStream, 0, 1, make([]byte, 3)), http2.ErrCodeFrameSize},
		"RST_STREAM of 0":       {rawFrame(http2.FrameRSTStream, 0, 0, make([]byte, 4)), http2.ErrCodeProtocol},
		"RST_STREAM of idle":    {rawFrame(http2.FrameRSTStream, 0, 9, make([]byte, 4)), http2.ErrCodeProtocol},
		"WINDOW_UPDATE of 5":    {rawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 5)), http2.ErrCodeFrameSize},
		"SETTINGS of 5":         {rawFrame(http2.FrameSettings, 0, 0, make([]byte, 5)), http2.ErrCodeFrameSize},
		"SETTINGS of a stream":  {rawFrame(http2.FrameSettings, 0, 1, nil), http2.ErrCodeProtocol},
		"SETTINGS ack of 6":     {rawFrame(http2.FrameSettings, 1, 0, make([]byte, 6)), http2.ErrCodeFrameSize},
		"SETTINGS push 2":       {rawFrame(http2.FrameSettings, 0, 0, appendSetting(nil, http2.SettingEnablePush, 2)), http2.ErrCodeProtocol},
		"SETTINGS frame small":  {rawFrame(http2.FrameSettings, 0, 0, appendSetting(nil, http2.SettingMaxFrameSize, 16383)), http2.ErrCodeProtocol},
		"SETTINGS frame large":  {rawFrame(http2.FrameSettings, 0, 0, appendSetting(nil, http2.SettingMaxFrameSize, 1<<24)), http2.ErrCodeProtocol},
		"GOAWAY of 7":           {rawFrame(http2.FrameGoAway, 0, 0, make([]byte, 7)), http2.ErrCodeFrameSize},
		"GOAWAY of a stream":    {rawFrame(http2.FrameGoAway, 0, 1, make([]byte, 8)), http2.ErrCodeProtocol},
		"PUSH_PROMISE":          {rawFrame(http2.FramePushPromise, 4, 1, make([]byte, 8)), http2.ErrCodeProtocol},
		"CONTINUATION":          {rawFrame(http2.FrameContinuation, 4, 1, nil), http2.ErrCodeProtocol},
		"HEADERS of 0":          {rawFrame(http2.FrameHeaders, 5, 0, nil), http2.ErrCodeProtocol},
		"HEADERS padded":        {rawFrame(http2.FrameHeaders, 5|http2.FlagHeadersPadded, 3, []byte{9, 0x82}), http2.ErrCodeProtocol},
		"HEADERS padded, begun": {rawFrame(http2.FrameHeaders, http2.FlagHeadersPadded, 3, []byte{9, 0x82}), http2.ErrCodeProtocol},
		"HEADERS without pad":   {rawFrame(http2.FrameHeaders, 5|http2.FlagHeadersPadded, 3, nil), http2.ErrCodeProtocol},
		"HEADERS short":         {rawFrame(http2.FrameHeaders, 5|http2.FlagHeadersPriority, 3, []byte{0, 0, 0, 0}), http2.ErrCodeProtocol},
	} {
		for _, cut := range []int{0, 1} {
			t.Run(name, func(t *testing.T) {
				p := connect(t, nil)
				p.open(1)
				p.cut = cut
				p.wire.Write(c.frame)
				_ = p.send()
				p.wantEnd(c.code, "")
			})
		}
	}
}

func TestFramesThatAreIgnored(t *testing.T) {
	p := connect(t, nil)
	p.open(1)
	p.events = nil
	p.cut = 3
	p.wire.Write(rawFrame(0xfa, 0xff, 1, make([]byte, 100)))
	p.wire.Write(rawFrame(http2.FramePriorityUpdate, 0, 0, []byte("\x00\x00\x00\x01u=1")))
	p.wire.Write(rawFrame(http2.FramePing, 0xfe, 0, make([]byte, 8)))               // flags that mean nothing
	p.wire.Write(rawFrame(http2.FrameWindowUpdate, 0xff, 1, []byte{0x80, 0, 0, 1})) // the reserved bit
	_ = p.WritePriority(7, http2.PriorityParam{StreamDep: 1})
	_ = p.WriteSettings(http2.Setting{ID: 0xfefe, Val: 1})
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers(`PING ack "\x00\x00\x00\x00\x00\x00\x00\x00"`, "SETTINGS ack")
	p.wantEvents()
	if got := p.streams[1].send; got != firstWindow+1 {
		t.Fatalf("window is %d", got)
	}
}

func TestResetByPeer(t *testing.T) {
	p := connect(t, nil)
	p.open(1)
	p.open(3)
	p.events = nil
	_ = p.WriteRSTStream(1, http2.ErrCodeCancel)
	_ = p.WritePriority(3, http2.PriorityParam{StreamDep: 3})
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantEvents("reset 1 CANCEL", "reset 3 PROTOCOL_ERROR")
	p.wantAnswers("RST_STREAM 3 PROTOCOL_ERROR")
	if p.conn.Streams() != 0 {
		t.Fatalf("%d streams", p.conn.Streams())
	}
}

// TestFlushedInParts takes Output as a socket does.
func TestFlushedInParts(t *testing.T) {
	p := connect(t, nil)
	var got []byte
	for i := range 20 {
		_ = p.WritePing(false, [8]byte{byte(i)})
		_ = p.send()
		n := min(7, len(p.conn.Output()))
		got = append(got, p.conn.Output()[:n]...)
		p.conn.Flushed(n)
	}
	got = append(got, p.conn.Output()...)
	p.conn.Flushed(len(p.conn.Output()))
	p.back.Write(got)
	if lines := p.read(); len(lines) != 20 || lines[19] != `PING ack "\x13\x00\x00\x00\x00\x00\x00\x00"` {
		t.Fatalf("%q", lines)
	}
	if p.conn.out != nil {
		t.Fatal("a buffer stays")
	}
}
