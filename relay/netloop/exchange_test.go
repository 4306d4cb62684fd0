package netloop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestFullDuplex(t *testing.T) {
	eachProtocol(t, func() *Engine {
		return &Engine{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			if err := rc.EnableFullDuplex(); err != nil {
				t.Error(err)
			}
			if err := rc.Flush(); err != nil { // the answer begins before the request ends
				t.Error(err)
			}
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				fmt.Fprintf(w, "got %s\n", lines.Text())
				if err := rc.Flush(); err != nil {
					t.Error(err)
				}
			}
		})}
	}, func(t *testing.T, s *site, c *http.Client, url string) {
		in, out := io.Pipe()
		req, _ := http.NewRequest("POST", url, in)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer := bufio.NewReader(resp.Body)
		for i := range 20 {
			fmt.Fprintf(out, "line %d\n", i)
			wantLine(t, answer, fmt.Sprintf("got line %d", i))
		}
		out.Close()
		if rest, err := io.ReadAll(answer); err != nil || len(rest) > 0 {
			t.Errorf("end: %q, %v", rest, err)
		}
	})
}

// A body that nobody reads holds its own window and nothing else.
func TestRequestBodyIsBounded(t *testing.T) {
	const window = 64<<10 - 1
	read := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /later", func(w http.ResponseWriter, r *http.Request) {
		<-read
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	s := serve(t, &Engine{Handler: mux, BodyBytes: window, Loops: 1})
	c, url := s.client("h2")
	const size = 1 << 20
	type answer struct {
		body string
		err  error
	}
	later := make(chan answer, 1)
	var sent atomic.Int64
	post := func(path string, body io.Reader) answer {
		resp, err := c.Post(url+path, "", body)
		if err != nil {
			return answer{err: err}
		}
		b, err := io.ReadAll(resp.Body)
		return answer{string(b), err}
	}
	go func() { later <- post("/later", &countingReader{r: io.LimitReader(zeros{}, size), n: &sent}) }()
	wait(t, "the window to be used up", func() bool { return sent.Load() >= window })
	for range 5 { // others go on
		if got := post("/", io.LimitReader(zeros{}, size)); got.body != fmt.Sprint(size, nil) {
			t.Fatalf("answer %v", got)
		}
	}
	if n := sent.Load(); n > window+64<<10 {
		t.Errorf("%d bytes were taken of a body that is not read; the window is %d", n, window)
	}
	close(read)
	if got := <-later; got.body != fmt.Sprint(size, nil) {
		t.Fatalf("answer %v", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// Credit that handlers hold must not add up to all of the connection's window.
func TestManyBodiesAtOnce(t *testing.T) {
	s := serve(t, &Engine{Loops: 1, BodyBytes: 64<<10 - 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})})
	c, url := s.client("h2c")
	answers := make(chan string)
	for range 30 {
		go func() {
			resp, err := c.Post(url, "", io.LimitReader(zeros{}, 300<<10))
			if err != nil {
				answers <- err.Error()
				return
			}
			b, _ := io.ReadAll(resp.Body)
			answers <- string(b)
		}()
	}
	for range 30 {
		if got := <-answers; got != fmt.Sprint(300<<10, nil) {
			t.Fatalf("answer %q", got)
		}
	}
}

// What handlers have read and not yet given credit for is given when they wait for more, each of them too
// little to be worth it.
func TestCreditIsGivenBeforeWaiting(t *testing.T) {
	const bodies = 17
	s := serve(t, &Engine{Loops: 1, BodyBytes: 64<<10 - 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})})
	p := s.dialPeer(false)
	for i := range uint32(bodies) {
		p.request(2*i+1, "POST", "/", false)
		p.ok(p.WriteData(2*i+1, false, make([]byte, 15<<10)))
	}
	_ = p.SetReadDeadline(time.Now().Add(10 * time.Second))
	for given := uint32(0); given < bodies*15<<10/2; { // h2 keeps up to half a window back
		f, err := p.ReadFrame()
		if err != nil {
			t.Fatalf("credit for %d of %d octets: %v", given, bodies*15<<10, err)
		}
		if f, ok := f.(*http2.WindowUpdateFrame); ok && f.StreamID == 0 && f.Increment < 3*(64<<10-1) {
			given += f.Increment
		}
	}
}

func TestResetEndsTheRequest(t *testing.T) {
	begun, ended := make(chan struct{}, 1), make(chan error, 3)
	s := serve(t, &Engine{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
		_, err := r.Body.Read(make([]byte, 1))
		ended <- err
		_, err = w.Write(make([]byte, 100<<10))
		ended <- err
	})})
	for _, end := range []string{"reset", "close"} {
		p := s.dialPeer(false)
		p.request(1, "POST", "/", false)
		<-begun
		if end == "reset" {
			p.ok(p.WriteRSTStream(1, http2.ErrCodeCancel))
		} else {
			p.Close()
		}
		for _, what := range []string{"context", "body", "answer"} {
			if err := <-ended; !errors.Is(err, ErrGone) {
				t.Errorf("%s, %s: %v", end, what, err)
			}
		}
		wait(t, "the handler to be counted out", func() bool { return s.engine.Stats().Requests == 0 })
	}
}

// An answer whose client does not read waits with its handler and holds one buffer.
func TestAnswerUnderFlowControl(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 10<<10)
	done := make(chan struct{})
	s := serve(t, &Engine{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		for p := body; len(p) > 0; { // small and large writes
			n := min(len(p), 7+len(p)%9000)
			if _, err := w.Write(p[:n]); err != nil {
				t.Error(err)
			}
			p = p[n:]
		}
	})})
	p := s.dialPeer(true, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
	p.request(1, "GET", "/", true)
	var got []byte
	for {
		switch f := p.next().(type) {
		case *http2.DataFrame:
			got = append(got, f.Data()...)
			if f.StreamEnded() {
				if !bytes.Equal(got, body) {
					t.Errorf("%d bytes, want %d", len(got), len(body))
				}
				<-done
				return
			}
			if n := len(f.Data()); n > 0 && len(got)%100 == 0 {
				select {
				case <-done:
					if len(got) < len(body)-2*len(buffer{}) {
						t.Fatal("the handler went ahead of its client")
					}
				default:
				}
				// From crumbs to large windows; the engine may not be made to send a million crumbs.
				grow := uint32(100 * (1 + len(got)/100%50))
				p.ok(p.WriteWindowUpdate(1, grow))
				p.ok(p.WriteWindowUpdate(0, grow))
			}
		case *http2.RSTStreamFrame:
			t.Fatalf("reset: %v", f.ErrCode)
		}
	}
}

func TestReadDeadline(t *testing.T) {
	eachProtocol(t, func() *Engine {
		return &Engine{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			buf := make([]byte, 10)
			n, err := io.ReadFull(r.Body, buf)
			if n != 10 || err != nil {
				t.Errorf("read %d, %v", n, err)
			}
			if err := rc.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Error(err)
			}
			_, err = r.Body.Read(buf)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v, want a timeout", err)
			}
		})}
	}, func(t *testing.T, s *site, c *http.Client, url string) {
		in, out := io.Pipe()
		defer out.Close()
		go out.Write(make([]byte, 10))
		resp, err := c.Post(url, "", in)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
}

func TestExpectContinue(t *testing.T) {
	s := serve(t, &Engine{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/want" {
			_, _ = io.Copy(w, r.Body)
		}
	})})
	p := s.dialPeer(false)
	send := func(id uint32, path string) {
		p.ok(p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true,
			BlockFragment: requestBlock("POST", path, hpack.HeaderField{Name: "expect", Value: "100-continue"})}))
	}
	status := func() string {
		f, ok := p.next().(*http2.HeadersFrame)
		if !ok {
			t.Fatalf("frame %v", f)
		}
		fields, err := hpack.NewDecoder(4096, nil).DecodeFull(f.HeaderBlockFragment())
		if err != nil {
			t.Fatal(err)
		}
		return fields[0].Value
	}
	send(1, "/want")
	if got := status(); got != "100" {
		t.Fatalf("status %s, want 100", got)
	}
	p.ok(p.WriteData(1, true, []byte("hello")))
	if got := status(); got != "200" {
		t.Fatalf("status %s, want 200", got)
	}
	if f, ok := p.next().(*http2.DataFrame); !ok || string(f.Data()) != "hello" {
		t.Fatalf("frame %v", f)
	}
	send(3, "/refuse")
	if got := status(); got != "200" {
		t.Fatalf("status %s, want 200", got)
	}
	if f, ok := p.next().(*http2.RSTStreamFrame); !ok || f.ErrCode != http2.ErrCodeNo {
		t.Fatalf("frame %v, want RST_STREAM NO_ERROR for the rest of the request", f)
	}
}

func TestRequestAsTheHandlerSeesIt(t *testing.T) {
	seen := make(chan *http.Request, 1)
	s := serve(t, &Engine{Loops: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen <- r })})
	for _, v := range []struct {
		fields []hpack.HeaderField
		status string
		check  func(r *http.Request) bool
	}{
		{[]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a:1"}, {Name: ":path", Value: "/x/y?q=1"},
			{Name: "cookie", Value: "a=1"}, {Name: "x-many", Value: "1"}, {Name: "cookie", Value: "b=2"}, {Name: "x-many", Value: "2"}},
			"200", func(r *http.Request) bool {
				return r.Host == "a:1" && r.URL.Path == "/x/y" && r.URL.RawQuery == "q=1" && r.RequestURI == "/x/y?q=1" &&
					cmp.Equal(r.Header, http.Header{"Cookie": {"a=1; b=2"}, "X-Many": {"1", "2"}}) &&
					r.ProtoMajor == 2 && r.ContentLength == 0 && r.TLS.NegotiatedProtocol == "h2" && strings.HasPrefix(r.RemoteAddr, "127.0.0.1:")
			}},
		{[]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: "/"}, {Name: "host", Value: "b"}},
			"200", func(r *http.Request) bool { return r.Host == "b" && len(r.Header) == 0 }},
		{[]hpack.HeaderField{{Name: ":method", Value: "OPTIONS"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "*"}},
			"200", func(r *http.Request) bool { return r.URL.Path == "*" }},
		{[]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/%zz"}}, "400", nil},
		{[]hpack.HeaderField{{Name: ":method", Value: "CONNECT"}, {Name: ":authority", Value: "a:1"}}, "501", nil},
	} {
		p := s.dialPeer(true)
		var block bytes.Buffer
		enc := hpack.NewEncoder(&block)
		for _, f := range v.fields {
			_ = enc.WriteField(f)
		}
		p.ok(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}))
		f, ok := p.next().(*http2.HeadersFrame)
		if !ok {
			t.Fatalf("%v: no answer", v.fields)
		}
		fields, err := hpack.NewDecoder(4096, nil).DecodeFull(f.HeaderBlockFragment())
		if err != nil || fields[0].Value != v.status || !f.StreamEnded() {
			t.Errorf("%v: answer %v %v", v.fields, fields, err)
		}
		if v.check != nil {
			if got := <-seen; !v.check(got) {
				t.Errorf("%v: request %+v", v.fields, got)
			}
		}
		p.Close()
	}
}

func TestResponseFields(t *testing.T) {
	got := responseFields(http.Header{
		"Content-Type": {"a/b"}, "Connection": {"close"}, "Transfer-Encoding": {"chunked"}, "Keep-Alive": {"1"},
		"X-Bad": {"a\r\nb: c", "good"}, "Bad Name": {"x"}, "Trailer:X": {"x"}, "Date": {"today"}, "X-Space": {" x "},
	})
	fields := map[string]string{}
	for _, f := range got {
		fields[f.Name] += f.Value
	}
	if diff := cmp.Diff(map[string]string{"content-type": "a/b", "x-bad": "good", "date": "today", "x-space": "x"}, fields); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := responseFields(http.Header{}); len(got) != 1 || got[0].Name != "date" {
		t.Errorf("fields %v, want a date", got)
	}
}

func TestDeclaredLength(t *testing.T) {
	eachProtocol(t, func() *Engine {
		return &Engine{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			if r.URL.Path == "/long" {
				if _, err := io.WriteString(w, "123456"); !errors.Is(err, http.ErrContentLength) {
					t.Errorf("write: %v", err)
				}
			}
			_, _ = io.WriteString(w, "123")
			if r.URL.Path == "/whole" {
				_, _ = io.WriteString(w, "45")
			}
		})}
	}, func(t *testing.T, s *site, c *http.Client, url string) {
		resp := get(t, c, url+"/whole")
		if b, err := io.ReadAll(resp.Body); string(b) != "12345" || err != nil || resp.ContentLength != 5 {
			t.Errorf("%q %v", b, err)
		}
		resp, err := c.Get(url + "/short")
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Error("a short answer was taken for whole")
		}
	})
}

// Resets leave handlers running; their number is bounded all the same (CVE-2023-44487).
func TestHandlersOfResetStreamsAreBounded(t *testing.T) {
	release := make(chan struct{})
	var running, most atomic.Int64
	s := serve(t, &Engine{Loops: 1, Streams: 10, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release
		running.Add(-1)
	})})
	p := s.dialPeer(false)
	go func() {
		for id := uint32(1); id < 10000; id += 2 {
			if p.WriteHeaders(headersTo(id, "/")) != nil || p.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return
			}
		}
	}()
	p.wantGoAway(http2.ErrCodeEnhanceYourCalm)
	if n := most.Load(); n > 20 {
		t.Errorf("%d handlers ran for a connection that may have 10 streams", n)
	}
	close(release)
	wait(t, "the handlers to end", func() bool { return s.engine.Stats().Requests == 0 })
}

func TestRequestsAreLimited(t *testing.T) {
	release := make(chan struct{})
	var once atomic.Bool
	s := serve(t, &Engine{Loops: 1, Requests: 5, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release })})
	defer func() {
		if !once.Swap(true) {
			close(release)
		}
	}()
	p := s.dialPeer(false)
	for id := uint32(1); id <= 11; id += 2 {
		p.request(id, "GET", "/", true)
	}
	f, ok := p.next().(*http2.RSTStreamFrame)
	if !ok || f.ErrCode != http2.ErrCodeRefusedStream || f.StreamID != 11 {
		t.Fatalf("frame %v, want REFUSED_STREAM on 11", f)
	}
	if n := s.engine.Stats().Refused.Requests; n != 1 {
		t.Errorf("%d requests refused, want 1", n)
	}
	once.Store(true)
	close(release)
	for range 5 {
		if f, ok := p.next().(*http2.HeadersFrame); !ok {
			t.Fatalf("frame %v", f)
		}
	}
	wait(t, "the handlers to end", func() bool { return s.engine.Stats().Requests == 0 })
	p.request(13, "GET", "/", true)
	if f, ok := p.next().(*http2.HeadersFrame); !ok || f.StreamID != 13 {
		t.Fatalf("frame %v", f)
	}
}
