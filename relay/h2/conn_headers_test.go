package h2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

func TestRequestInPieces(t *testing.T) {
	for _, cut := range []int{0, 1, 2, 10, 100} {
		p := connect(t, nil)
		p.cut = cut
		block := p.fields(":method: POST", ":scheme: https", ":authority: relay.test", ":path: /events/a", "content-length: 5", "cookie: "+strings.Repeat("c", 300))
		_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:9], PadLength: 7, Priority: http2.PriorityParam{StreamDep: 9, Weight: 3}})
		_ = p.WriteContinuation(1, false, nil)
		_ = p.WriteContinuation(1, false, block[9:100])
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
		if !p.conn.Partial() {
			t.Fatal("not Partial within a header block")
		}
		_ = p.WriteContinuation(1, true, block[100:])
		_ = p.WriteDataPadded(1, false, []byte("he"), make([]byte, 3))
		_ = p.WriteData(1, false, []byte("llo"))
		p.headers(1, true, p.fields("checksum: 7"))
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
		if p.conn.Partial() || p.conn.carry != nil {
			t.Fatal("something is left of the header block")
		}
		if cut == 0 {
			p.wantEvents("request 1 POST /events/a", `data 1 "he"`, `data 1 "llo"`, `trailers 1 [header field "checksum" = "7"]`)
		} else if last := p.events[len(p.events)-1]; !strings.HasPrefix(last, "trailers 1 ") {
			t.Fatalf("cut at %d: %q", cut, p.events)
		}
		if !p.streams[1].Ended() {
			t.Fatal("not ended")
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	ok := []string{":method: GET", ":scheme: https", ":authority: relay.test", ":path: /a"}
	without := func(name string) (lines []string) {
		for _, l := range ok {
			if !strings.HasPrefix(l, name+":") {
				lines = append(lines, l)
			}
		}
		return lines
	}
	with := func(more ...string) []string { return append(ok[:4:4], more...) }
	for name, lines := range map[string][]string{
		"no method":            without(":method"),
		"no scheme":            without(":scheme"),
		"no path":              without(":path"),
		"empty path":           append(without(":path"), ":path: "),
		"relative path":        append(without(":path"), ":path: a"),
		"path with a blank":    append(without(":path"), ":path: /a b"),
		"asterisk for GET":     append(without(":path"), ":path: *"),
		"method no token":      append(without(":method"), ":method: G T"),
		"two paths":            with(":path: /b"),
		"pseudo behind field":  with("a: b", ":authority: x"),
		"unknown pseudo":       with(":x: y"),
		"status":               with(":status: 200"),
		"extended CONNECT":     with(":protocol: websocket"),
		"CONNECT with path":    append(without(":method"), ":method: CONNECT"),
		"userinfo":             append(without(":authority"), ":authority: me@relay.test"),
		"other host":           with("host: evil.test"),
		"two hosts":            append(without(":authority"), "host: a", "host: b"),
		"upper case":           with("Accept: x"),
		"name no token":        with("a b: x"),
		"newline in value":     with("a: x\ny"),
		"blank before value":   with("a:  x"),
		"blank behind value":   with("a: x\t"),
		"connection":           with("connection: close"),
		"transfer-encoding":    with("transfer-encoding: chunked"),
		"upgrade":              with("upgrade: h2c"),
		"keep-alive":           with("keep-alive: 5"),
		"te":                   with("te: gzip"),
		"content-length -1":    with("content-length: -1"),
		"content-length +1":    with("content-length: +1"),
		"content-length empty": with("content-length: "),
		"content-length 2^63":  with("content-length: 9223372036854775808"),
		"two content-lengths":  with("content-length: 1", "content-length: 2"),
		"end before length":    with("content-length: 1"),
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, nil)
			p.headers(1, true, p.fields(lines...))
			p.request(3, true) // the connection, and its decoder, go on
			if err := p.send(); err != nil {
				t.Fatal(err)
			}
			p.wantAnswers("RST_STREAM 1 PROTOCOL_ERROR")
			p.wantEvents("request 3 GET /events/a end")
		})
	}
}

func TestUnusualRequests(t *testing.T) {
	for want, lines := range map[string][]string{
		"request 1 OPTIONS * end": {":method: OPTIONS", ":scheme: http", ":path: *", "host: a"},
		"request 1 CONNECT  end":  {":method: CONNECT", ":authority: a:1"},
		"request 1 GET /é end":    {":method: GET", ":scheme: x", ":path: /é", "te: trailers", "content-length: 0", "content-length: 0"},
		"request 1 GET / end":     {":method: GET", ":scheme: https", ":path: /", ":authority: A.test", "host: a.Test", "empty: "},
	} {
		p := connect(t, nil)
		p.headers(1, true, p.fields(lines...))
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
		p.wantAnswers()
		p.wantEvents(want)
	}
}

func TestHeaderListTooLong(t *testing.T) {
	cfg := &Config{MaxHeaderList: 1000}
	for name, value := range map[string]string{
		"a little":   strings.Repeat("x", 900),
		"one string": strings.Repeat("e", 1900), // a string above the limit alone
	} {
		p := connect(t, cfg)
		p.request(1, false, "cookie: "+value)
		p.request(3, true)
		_ = p.WriteData(1, true, []byte("still on its way"))
		if err := p.send(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.wantAnswers("HEADERS 1 status=431 end", "RST_STREAM 1 NO_ERROR")
		p.wantEvents("request 3 GET /events/a end")
	}

	// As many fields as make it too long, each of one octet on the wire.
	p := connect(t, cfg)
	block := append(p.fields(":method: GET", ":scheme: https", ":path: /"), []byte(strings.Repeat("\x90", 500))...)
	p.headers(1, true, block)
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers("HEADERS 1 status=431 end")

	// Trailers have nobody left to answer.
	p = connect(t, cfg)
	p.request(1, false)
	p.headers(1, true, p.fields("t: "+strings.Repeat("x", 1500)))
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers("RST_STREAM 1 ENHANCE_YOUR_CALM")
	p.wantEvents("request 1 GET /events/a", "reset 1 ENHANCE_YOUR_CALM")

	// A limit is no licence to send what cannot fit by far.
	for _, write := range []func(p *peer){
		func(p *peer) { p.headers(1, true, make([]byte, 2001)) },
		func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: make([]byte, 1500)})
			_ = p.WriteContinuation(1, false, make([]byte, 501))
		},
	} {
		p = connect(t, cfg)
		write(p)
		_ = p.send()
		p.wantEnd(http2.ErrCodeEnhanceYourCalm, "header block is longer than")
	}
}

func TestTrailers(t *testing.T) {
	for name, c := range map[string]struct {
		end   bool
		lines []string
		want  string
	}{
		"no end":       {false, []string{"a: b"}, "PROTOCOL_ERROR"},
		"pseudo":       {true, []string{":path: /"}, "PROTOCOL_ERROR"},
		"upper case":   {true, []string{"A: b"}, "PROTOCOL_ERROR"},
		"outer blanks": {true, []string{"a: b "}, "PROTOCOL_ERROR"},
	} {
		p := connect(t, nil)
		p.request(1, false)
		p.headers(1, c.end, p.fields(c.lines...))
		if err := p.send(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.wantAnswers("RST_STREAM 1 " + c.want)
		p.wantEvents("request 1 GET /events/a", "reset 1 "+c.want)
	}
	p := connect(t, nil)
	p.request(1, false, "content-length: 2")
	_ = p.WriteData(1, false, []byte("x"))
	p.headers(1, true, nil)
	_ = p.send()
	p.wantAnswers("RST_STREAM 1 PROTOCOL_ERROR")
}

func TestStreamIDs(t *testing.T) {
	for name, c := range map[string]struct {
		write func(p *peer)
		code  http2.ErrCode
	}{
		"even":        {func(p *peer) { p.request(2, true) }, http2.ErrCodeProtocol},
		"zero":        {func(p *peer) { p.request(0, true) }, http2.ErrCodeProtocol},
		"going down":  {func(p *peer) { p.request(9, true); p.request(7, true) }, http2.ErrCodeProtocol},
		"reset":       {func(p *peer) { p.request(1, true); _ = p.WriteRSTStream(1, 8); p.request(1, true) }, http2.ErrCodeStreamClosed},
		"other block": {func(p *peer) { p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1}); p.request(3, true) }, http2.ErrCodeProtocol},
		"self":        {func(p *peer) { _ = p.WritePriority(5, http2.PriorityParam{StreamDep: 5}) }, http2.ErrCodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, nil)
			c.write(p)
			_ = p.send()
			p.wantEnd(c.code, "")
		})
	}

	// Ids may be passed over.
	p := connect(t, nil)
	p.open(5)
	p.open(2147483647)
	p.wantAnswers()
}

// TestLateFrames are frames for a stream that we ended before the peer knew.
func TestLateFrames(t *testing.T) {
	p := connect(t, nil)
	p.request(1, false)
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	s := p.streams[1]
	p.back.Write(s.AppendHeaders(nil, 401, nil, true))
	p.wantAnswers("HEADERS 1 status=401 end", "RST_STREAM 1 NO_ERROR")
	p.events = nil

	before := p.conn.recv + p.conn.credit
	_ = p.WriteData(1, false, []byte("credentials"))
	_ = p.WriteWindowUpdate(1, 10)
	p.headers(1, true, p.fields("t: x"))
	_ = p.WriteRSTStream(1, http2.ErrCodeCancel)
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers()
	p.wantEvents()
	if after := p.conn.recv + p.conn.credit; after != before {
		t.Fatalf("the connection's window lost %d octets", before-after)
	}
}

func TestTooManyStreams(t *testing.T) {
	p := connect(t, &Config{MaxStreams: 2})
	p.open(1)
	p.open(3)
	p.request(5, true)
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers("RST_STREAM 5 REFUSED_STREAM")
	p.streams[1].Reset(http2.ErrCodeCancel)
	p.open(7)
	p.wantAnswers("RST_STREAM 1 CANCEL")
	p.conn.Shutdown()
	p.conn.Shutdown()
	p.wantAnswers("GOAWAY 2147483647 NO_ERROR", `PING "freshet!"`, "GOAWAY 7 NO_ERROR")
}

func TestHeadersOnHalfClosed(t *testing.T) {
	p := connect(t, nil)
	p.open(1)
	p.headers(1, true, p.fields("a: b"))
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantAnswers("RST_STREAM 1 STREAM_CLOSED")
}
