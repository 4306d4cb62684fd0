package netloop

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// A rig is a loop that a test turns by hand, with sockets that are buffers and a clock that moves when
// the test says so.
type rig struct {
	t testing.TB
	e *Engine
	l *loop
}

func newRig(t testing.TB, e *Engine) *rig {
	e.Loops = 1
	if e.Handler == nil {
		e.Handler = http.NotFoundHandler()
	}
	e.setup()
	l := e.loops[0]
	l.poll = noPoller{}
	l.inbox.rise()
	l.elapsed, l.tick = 0, 0
	return &rig{t, e, l}
}

// noPoller is the poller of a loop that does not wait.
type noPoller struct{}

func (noPoller) adopt(net.Conn, *conn) (socket, error) { panic("not used") }
func (noPoller) watch(*conn) error                     { return nil }
func (noPoller) forget(*conn)                          {}
func (noPoller) wait(time.Duration) error              { return nil }
func (noPoller) wake()                                 {}
func (noPoller) close() error                          { return nil }

// A fakeSocket takes room bytes, and has in to be read.
type fakeSocket struct {
	in     []byte
	out    bytes.Buffer
	room   int
	writes int
	fin    bool
	closed bool
}

func (s *fakeSocket) read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, errWouldBlock
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *fakeSocket) write(p []byte) (int, error) {
	s.writes++
	n := min(len(p), s.room)
	s.room -= n
	s.out.Write(p[:n])
	if n < len(p) {
		return n, errWouldBlock
	}
	return n, nil
}

func (s *fakeSocket) closeWrite() error { s.fin = true; return nil }
func (s *fakeSocket) close() error      { s.closed = true; return nil }

const plenty = 1 << 40

// A rigConn is a connection of a rig, seen from both sides.
type rigConn struct {
	*conn
	r      *rig
	socket *fakeSocket
	sent   sliceWriter // by the client, not yet in the socket
	*http2.Framer
}

// connect makes a HTTP/2 connection whose client has sent its preface with the settings.
func (r *rig) connect(settings ...http2.Setting) *rigConn {
	c := r.bare()
	c.sent.p = append(c.sent.p, http2.ClientPreface...)
	_ = c.WriteSettings(settings...)
	c.deliver()
	return c
}

// bare makes one whose client has sent nothing.
func (r *rig) bare() *rigConn {
	c := &rigConn{r: r, socket: &fakeSocket{room: plenty}}
	c.conn = newConn(r.e, inProcess{}, pipeEnd{})
	if why := r.e.admission.admit(c.conn, nil, nil); why != admitted {
		r.t.Fatalf("not admitted: %v", why)
	}
	r.e.admission.endHandshake(c.conn)
	c.conn.net, c.conn.loop, c.conn.socket = nil, r.l, c.socket
	c.Framer = http2.NewFramer(&c.sent, &c.socket.out)
	r.l.push((*arrived)(c.conn))
	r.settle()
	return c
}

// pipeEnd is a net.Conn that has nothing but addresses.
type pipeEnd struct{ net.Conn }

func (pipeEnd) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (pipeEnd) LocalAddr() net.Addr  { return inProcess{} }
func (pipeEnd) Close() error         { return nil }

// deliver lets the loop read what the client has written.
func (c *rigConn) deliver() {
	c.socket.in = append(c.socket.in, c.sent.p...)
	c.sent.p = nil
	c.note(true, false)
	c.r.settle()
}

// request opens a stream without a body.
func (c *rigConn) request(id uint32, path string) {
	_ = c.WriteHeaders(headersTo(id, path))
	c.deliver()
}

func headersTo(id uint32, path string) http2.HeadersFrameParam {
	return http2.HeadersFrameParam{
		StreamID: id, BlockFragment: requestBlock("GET", path), EndHeaders: true, EndStream: true,
	}
}

// A delivery is a DATA frame as the client got it.
type delivery struct {
	id   uint32
	data string
	end  bool
}

// dataFrames reads the DATA frames that the server has sent.
func dataFrames(c *rigConn) []delivery {
	var all []delivery
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return all
		}
		if f, ok := f.(*http2.DataFrame); ok {
			all = append(all, delivery{f.StreamID, string(f.Data()), f.StreamEnded()})
		}
	}
}

// makeRoom lets the socket take n bytes more.
func (c *rigConn) makeRoom(n int) {
	c.socket.room = n
	c.note(false, true)
	c.r.settle()
}

// settle turns the loop until it has nothing to do and no handler runs.
func (r *rig) settle() {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		tasks := r.l.inbox.take()
		for _, t := range tasks {
			t.run(r.l)
		}
		r.l.turn()
		busy := r.l.toRead.len()+r.l.toMark.len()+r.l.toServe.len()+r.l.toMore.len() > 0
		if len(tasks) == 0 && !busy && r.e.handlersOpen.Load() == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the loop does not come to rest")
		}
	}
}

// pass lets time pass, tick by tick.
func (r *rig) pass(d time.Duration) {
	for end := r.l.elapsed + d; r.l.elapsed < end; {
		r.l.elapsed += tickLength
		r.l.now = r.l.now.Add(tickLength)
		r.l.tick++
		r.l.wheel.advance(r.l.tick, r.l.ring)
		r.settle()
	}
}

// frames reads what the server has sent, as words such as "DATA 1 hello" and "GOAWAY CANCEL".
func (c *rigConn) frames() []string {
	c.r.t.Helper()
	var all []string
	for {
		f, err := c.ReadFrame()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return all
		}
		if err != nil {
			c.r.t.Fatal(err)
		}
		var word string
		switch f := f.(type) {
		case *http2.SettingsFrame, *http2.PingFrame, *http2.WindowUpdateFrame:
			continue
		case *http2.DataFrame:
			word = strings.TrimSuffix("DATA "+string(f.Data()), "\n")
		case *http2.RSTStreamFrame:
			word = "RST " + f.ErrCode.String()
		case *http2.GoAwayFrame:
			word = "GOAWAY " + f.ErrCode.String()
		default:
			word = f.Header().Type.String()
		}
		if id := f.Header().StreamID; id != 0 {
			kind, rest, _ := strings.Cut(word, " ")
			word = strings.TrimSpace(kind + " " + strconv.Itoa(int(id)) + " " + rest)
		}
		if f.Header().Type == http2.FrameData && f.Header().Flags.Has(http2.FlagDataEndStream) {
			word = strings.TrimSpace(word) + " END"
		}
		all = append(all, word)
	}
}
