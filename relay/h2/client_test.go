package h2

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestGoClient is a client that we did not write: Go's own.
func TestGoClient(t *testing.T) {
	ends := make(chan bool, 1)
	port := serveBlocking(t, func(c *Conn) { ends <- c.tableless && c.decoder == nil && c.Streams() == 0 })
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: transport}
	url := fmt.Sprintf("http://127.0.0.1:%d/events/a", port)

	do := func(method, body string, trailer bool) error {
		var r io.Reader
		if body != "" {
			r = io.MultiReader(strings.NewReader(body)) // hides the length
		}
		req, err := http.NewRequestWithContext(t.Context(), method, url, r)
		if err != nil {
			return err
		}
		if trailer {
			req.Trailer = http.Header{"Sum": {"7"}}
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err == nil && (res.StatusCode != 200 || len(b) != 39 || res.ProtoMajor != 2) {
			err = fmt.Errorf("%s %s: %q", res.Proto, res.Status, b)
		}
		return err
	}
	// The first alone, so that there is one connection.
	if err := do("GET", "", false); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for i := range 50 {
		clients.Go(func() {
			for range 4 {
				var err error
				switch i % 3 {
				case 0:
					err = do("GET", "", false)
				case 1:
					err = do("POST", strings.Repeat("body", 50000), false)
				case 2:
					err = do("POST", "a body", true)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	transport.CloseIdleConnections()
	select {
	case ok := <-ends:
		if !ok {
			t.Error("the client kept its dynamic table, or a stream is left")
		}
	case <-time.After(10 * time.Second):
		t.Error("the connection never ended")
	}
}

// TestGoClientLeaves cancels requests whose bodies and responses are on their way.
func TestGoClientLeaves(t *testing.T) {
	port := serveBlocking(t, nil)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	var writers sync.WaitGroup
	defer writers.Wait()
	for range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		body, w := io.Pipe()
		req, err := http.NewRequestWithContext(ctx, "POST", url, body)
		if err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			_, _ = w.Write([]byte("begun"))
			cancel()
		})
		if _, err := transport.RoundTrip(req); err == nil {
			t.Fatal("a response to half a request")
		}
		_ = w.Close()
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
}

// serveBlocking listens on loopback until the test ends, with a goroutine per connection that reads,
// calls Receive and writes. Once a connection has ended, seen is called with it.
func serveBlocking(t *testing.T, seen func(*Conn)) (port int) {
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
			conns.Go(func() { serveOne(conn, seen) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

func serveOne(conn net.Conn, seen func(*Conn)) {
	defer conn.Close()
	h := &answerer{left: make(map[*Stream]string)}
	// One stream fewer than h2spec is willing to try, so that it tries to open one too many.
	c := New(NewScratch(&Config{MaxStreams: 100}), h)
	defer func() {
		if seen != nil {
			seen(c)
		}
		c.Close(http2.ErrCodeCancel)
	}()
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
			// Closing with octets unread would make the kernel reset the connection, and take from
			// the peer what it has not read yet, GOAWAY above all.
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = io.Copy(io.Discard, conn)
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
