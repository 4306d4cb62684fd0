package netloop

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The test program is also the crowd: started again with this variable set it opens connections,
// subscribes, and reads, so that what it costs is not counted as the engine's.
const crowdVariable = "NETLOOP_TEST_CROWD"

func TestMain(m *testing.M) {
	if os.Getenv(crowdVariable) != "" {
		runCrowd(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
		return
	}
	if limit := os.Getenv(shortVariable); limit != "" {
		serveShort(limit)
		return
	}
	os.Exit(m.Run())
}

// A crowd is the other process.
type crowd struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

// startCrowd makes connections with so many streams each subscribe and read until the test ends. A mode is
// "tcp" (read only), "h2c", "h2", or "deaf", which is h2 and never reads.
func startCrowd(t testing.TB, mode, addr string, connections, streams int) *crowd {
	t.Helper()
	cmd := exec.Command(os.Args[0], mode, addr, strconv.Itoa(connections), strconv.Itoa(streams))
	cmd.Env = append(os.Environ(), crowdVariable+"=1", "GOGC=400")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &crowd{t: t, cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout)}
	t.Cleanup(c.leave)
	if line, err := c.stdout.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("crowd: %q, %v", line, err)
	}
	return c
}

func (c *crowd) leave() {
	c.stdin.Close()
	_ = c.cmd.Wait()
}

// bytes is how many bytes of the protocol (below TLS) the crowd has read.
func (c *crowd) bytes() int64 {
	c.t.Helper()
	if _, err := io.WriteString(c.stdin, "bytes\n"); err != nil {
		c.t.Fatal(err)
	}
	var n int64
	if _, err := fmt.Fscanln(c.stdout, &n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

func runCrowd(mode, addr, connections, streams string) {
	n, _ := strconv.Atoi(connections)
	m, _ := strconv.Atoi(streams)
	var total atomic.Int64
	ready := make(chan error, 1)
	places := make(chan struct{}, 64)
	for range n {
		places <- struct{}{}
		go func() {
			nc, err := dialCrowd(mode, addr, m)
			<-places
			ready <- err
			if err != nil || mode == "deaf" {
				return
			}
			buf := make([]byte, 1<<10)
			if m > 1 {
				buf = make([]byte, 64<<10)
			}
			for {
				k, err := nc.Read(buf)
				total.Add(int64(k))
				if err != nil {
					return
				}
			}
		}()
	}
	go func() {
		for range n {
			if err := <-ready; err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
		fmt.Println("ready")
	}()
	in := bufio.NewReader(os.Stdin)
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		fmt.Println(total.Load())
	}
}

func dialCrowd(mode, addr string, streams int) (net.Conn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil || mode == "tcp" {
		return nc, err
	}
	if mode == "h2" || mode == "deaf" {
		tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err := tc.Handshake(); err != nil {
			return nil, err
		}
		nc = tc
	}
	_, err = nc.Write(subscribeAll(nil, streams))
	return nc, err
}

// subscribeAll is everything a client sends that subscribes to so many streams and never runs out of windows.
func subscribeAll(dst []byte, streams int) []byte {
	w := sliceWriter{dst}
	w.p = append(w.p, http2.ClientPreface...)
	f := http2.NewFramer(&w, nil)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	_ = f.WriteWindowUpdate(0, 1<<31-1-65535)
	_ = f.WriteSettingsAck()
	for i := range streams {
		_ = f.WriteHeaders(http2.HeadersFrameParam{
			StreamID: uint32(2*i + 1), BlockFragment: requestBlock("GET", "/events"), EndHeaders: true, EndStream: true,
		})
	}
	return w.p
}

type sliceWriter struct{ p []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.p = append(w.p, p...)
	return len(p), nil
}

// requestBlock is the header block of a request, with nothing for the dynamic table.
func requestBlock(method, path string, more ...hpack.HeaderField) []byte {
	var w sliceWriter
	e := hpack.NewEncoder(&w)
	e.SetMaxDynamicTableSize(0)
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "test"}, {Name: ":path", Value: path},
	}, more...) {
		_ = e.WriteField(f)
	}
	return w.p
}

// A peer is a client that a test moves frame by frame.
type peer struct {
	t testing.TB
	net.Conn
	*http2.Framer
}

// dialPeerOver connects by TLS through write.
func (s *site) dialPeerOver(write func(w io.Writer, p []byte) (int, error)) *peer {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.secure)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	tc := tls.Client(writer{nc, write}, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if _, err := io.WriteString(tc, http2.ClientPreface); err != nil {
		s.t.Fatal(err)
	}
	p := &peer{t: s.t, Conn: tc, Framer: http2.NewFramer(tc, tc)}
	p.ok(p.WriteSettings())
	return p
}

type writer struct {
	net.Conn
	write func(w io.Writer, p []byte) (int, error)
}

func (w writer) Write(p []byte) (int, error) { return w.write(w.Conn, p) }

// dialPeer connects in plain text, or with secure by TLS, and sends the preface with settings.
func (s *site) dialPeer(secure bool, settings ...http2.Setting) *peer {
	s.t.Helper()
	addr := s.plain
	if secure {
		addr = s.secure
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	if secure {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	}
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		s.t.Fatal(err)
	}
	p := &peer{t: s.t, Conn: nc, Framer: http2.NewFramer(nc, nc)}
	p.ok(p.WriteSettings(settings...))
	return p
}

func (p *peer) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// request opens a stream.
func (p *peer) request(id uint32, method, path string, end bool) {
	p.t.Helper()
	p.ok(p.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: requestBlock(method, path), EndHeaders: true, EndStream: end,
	}))
}

// next returns the next frame that is not one of the connection's ordinary business. It is valid until the next call.
func (p *peer) next() http2.Frame {
	p.t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		f, err := p.ReadFrame()
		if err != nil {
			p.t.Fatalf("read frame: %v", err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame, *http2.PingFrame:
		case *http2.WindowUpdateFrame:
			if f.StreamID != 0 {
				return f
			}
		default:
			return f
		}
	}
}

// wantGoAway reads until GOAWAY of the code.
func (p *peer) wantGoAway(code http2.ErrCode) {
	p.t.Helper()
	for {
		if f, ok := p.next().(*http2.GoAwayFrame); ok {
			if f.ErrCode != code {
				p.t.Errorf("GOAWAY %v, want %v", f.ErrCode, code)
			}
			return
		}
	}
}

// wantEOF reads until the connection ends, by FIN or reset.
func wantEOF(t testing.TB, nc net.Conn) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := io.Copy(io.Discard, nc)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Errorf("the connection was not closed")
	}
}
