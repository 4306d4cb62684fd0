package h2

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestH2spec runs the whole conformance suite against the state machine behind the plainest loop
// there can be. It takes no option that leaves a case out.
func TestH2spec(t *testing.T) {
	program, err := exec.LookPath("h2spec")
	if err != nil {
		t.Skip("h2spec is not installed: make tools, or go install github.com/summerwind/h2spec/cmd/h2spec@latest")
	}
	for _, strict := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "strict"}[strict], func(t *testing.T) {
			t.Parallel()
			port := serveBlocking(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			args := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(port)}
			if strict {
				args = append(args, "--strict")
			}
			out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
			// Skipped counts as failed: a case that h2spec could not begin proves nothing.
			if err != nil || !bytes.Contains(out, []byte(" 0 skipped, 0 failed")) {
				t.Fatalf("h2spec: %v\n%s", err, out)
			}
			t.Logf("%s", bytes.TrimSpace(out[bytes.LastIndex(out, []byte("Finished")):]))
		})
	}
}

// serveBlocking listens on loopback until the test ends, with a goroutine per connection that reads,
// calls Receive and writes.
func serveBlocking(t *testing.T) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { serveOne(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

func serveOne(conn net.Conn) {
	defer conn.Close()
	h := &answerer{left: make(map[*Stream]string)}
	// One stream fewer than h2spec is willing to try, so that it tries to open one too many.
	c := New(NewScratch(&Config{MaxStreams: 100}), h)
	defer c.Close(http2.ErrCodeCancel)
	in := make([]byte, 4096)
	for {
		h.buf = append(h.buf, c.Output()...)
		c.Flushed(len(c.Output()))
		if len(h.buf) > 0 {
			if _, err := conn.Write(h.buf); err != nil {
				return
			}
			h.buf = h.buf[:0]
		}
		if c.Done() {
			return
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(in)
		if err != nil {
			return
		}
		_ = c.Receive(time.Now(), in[:n])
	}
}

// An answerer gives every whole request the same response, as the windows let it.
type answerer struct {
	buf  []byte
	left map[*Stream]string // of the responses' bodies
}

func (h *answerer) Request(s *Stream, _ []hpack.HeaderField, end bool) {
	if end {
		h.answer(s)
	}
}

func (h *answerer) Data(s *Stream, p []byte, end bool) {
	s.Consume(len(p))
	if end {
		h.answer(s)
	}
}

func (h *answerer) Trailers(s *Stream, _ []hpack.HeaderField) { h.answer(s) }

func (h *answerer) Reset(s *Stream, _ http2.ErrCode) { delete(h.left, s) }

func (h *answerer) answer(s *Stream) {
	h.sync(s)
	h.buf = s.AppendHeaders(h.buf, 200, []hpack.HeaderField{{Name: "content-type", Value: "text/plain"}}, false)
	h.left[s] = "a freshet is the sudden rise of a river"
	h.Writable(s)
}

func (h *answerer) Writable(s *Stream) {
	h.sync(s)
	body := h.left[s]
	n := min(s.Window(), len(body))
	if n == 0 {
		return
	}
	h.buf = s.AppendData(h.buf, []byte(body[:n]), n == len(body))
	if h.left[s] = body[n:]; s.Closed() {
		delete(h.left, s)
	}
}

// sync keeps the order in which bytes were made.
func (h *answerer) sync(s *Stream) {
	h.buf = append(h.buf, s.Conn().Output()...)
	s.Conn().Flushed(len(s.Conn().Output()))
}
