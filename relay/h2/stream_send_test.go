package h2

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestResponse(t *testing.T) {
	p := connect(t, nil)
	s := p.open(1)
	dst := s.AppendHeaders(nil, 103, []hpack.HeaderField{{Name: "link", Value: "</a>"}}, false)
	if s.is(answered) {
		t.Fatal("an informational response counts")
	}
	dst = s.AppendHeaders(dst, 200, []hpack.HeaderField{{Name: "content-type", Value: "text/plain"}}, false)
	dst = s.AppendData(dst, []byte("one"), false)
	dst = s.AppendData(dst, nil, false)
	dst = s.AppendTrailers(dst, []hpack.HeaderField{{Name: "sum", Value: "7"}})
	p.back.Write(dst)
	p.wantAnswers("HEADERS 1 status=103 link=</a>", "HEADERS 1 status=200 content-type=text/plain",
		`DATA 1 "one"`, `DATA 1 ""`, "HEADERS 1 sum=7 end")
	if !s.Closed() || p.conn.Streams() != 0 {
		t.Fatal("not closed")
	}
}

// TestEarlyResponse ends before the request does: the reset comes behind the response's last frame,
// whatever else is in Output.
func TestEarlyResponse(t *testing.T) {
	for name, end := range map[string]func(s *Stream, dst []byte) []byte{
		"headers": func(s *Stream, dst []byte) []byte { return s.AppendHeaders(dst, 403, nil, true) },
		"block":   func(s *Stream, dst []byte) []byte { return s.AppendBlock(dst, AppendFields(nil, 403, nil), true) },
		"data": func(s *Stream, dst []byte) []byte {
			return s.AppendData(s.AppendHeaders(dst, 403, nil, false), nil, true)
		},
		"trailers": func(s *Stream, dst []byte) []byte {
			return s.AppendTrailers(s.AppendHeaders(dst, 403, nil, false), nil)
		},
	} {
		p := connect(t, nil)
		s := p.post(1)
		p.back.Write(end(s, nil))
		got := p.read()
		if n := len(got); n < 2 || !strings.HasSuffix(got[n-2], " end") || got[n-1] != "RST_STREAM 1 NO_ERROR" {
			t.Errorf("%s: %q", name, got)
		}
		p.wantEvents()
		p.wantAnswers()
	}
}

func TestLongHeaders(t *testing.T) {
	p := connect(t, nil)
	s := p.open(1)
	long := hpack.HeaderField{Name: "x", Value: strings.Repeat("~", 40000)}
	dst := s.AppendHeaders([]byte{}, 200, []hpack.HeaderField{long}, false)
	for i, want := range []struct {
		kind   http2.FrameType
		flags  http2.Flags
		length uint32
	}{
		{http2.FrameHeaders, 0, 16384},
		{http2.FrameContinuation, 0, 16384},
		{http2.FrameContinuation, http2.FlagContinuationEndHeaders, 40000 + 8 - 32768},
	} {
		h := parseHead((*[frameHead]byte)(dst))
		if h.kind != want.kind || h.flags != want.flags || h.length != want.length || h.id != 1 {
			t.Fatalf("frame %d is %+v; want %+v", i, h, want)
		}
		dst = dst[frameHead+h.length:]
	}
	if len(dst) != 0 {
		t.Fatalf("%d octets more", len(dst))
	}
	p.back.Write(s.AppendTrailers(nil, []hpack.HeaderField{long}))
	if got := p.read(); len(got) != 1 || !strings.HasSuffix(got[0], "~ end") {
		t.Fatal("long trailers are lost")
	}
}

// TestAppendDataIsWhatAFramerWrites compares it with the reference, octet by octet.
func TestAppendDataIsWhatAFramerWrites(t *testing.T) {
	p := connect(t, nil)
	var want bytes.Buffer
	f := http2.NewFramer(&want, nil)
	var got []byte
	for _, c := range []struct {
		id   uint32
		data string
		end  bool
	}{{1, "a", false}, {70001, strings.Repeat("b", 16384), false}, {maxID, "", true}} {
		got = p.open(c.id).AppendData(got, []byte(c.data), c.end)
		_ = f.WriteData(c.id, c.end, []byte(c.data))
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Fatal("not the same")
	}
}

func TestSendingAllocatesNothing(t *testing.T) {
	p := connect(t, nil)
	_ = p.WriteWindowUpdate(0, 1<<30)
	p.request(1, true)
	_ = p.WriteWindowUpdate(1, 1<<30)
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	s := p.streams[1]
	buf := make([]byte, 0, 4096)
	event := make([]byte, 200)
	block := AppendFields(nil, 200, nil)
	if n := testing.AllocsPerRun(1000, func() {
		dst := s.AppendBlock(buf, block, false)
		dst = s.AppendHeaders(dst, 200, nil, false)
		s.AppendData(dst, event[:min(len(event), s.Window())], false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	update := rawFrame(http2.FrameWindowUpdate, 0, 1, uint32Bytes(200))
	connUpdate := rawFrame(http2.FrameWindowUpdate, 0, 0, uint32Bytes(200))
	if n := testing.AllocsPerRun(1000, func() {
		s.AppendData(buf, event, false)
		_ = p.conn.Receive(someTime, update)
		_ = p.conn.Receive(someTime, connUpdate)
	}); n != 0 {
		t.Errorf("%v allocations for window updates", n)
	}
}
