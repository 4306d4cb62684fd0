package faultnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much one side may have written that the other has not read, or whose reading it has not heard of.
const window = 256 << 10

// conn is one end of a connection.
type conn struct {
	host          *Host
	local, remote net.Addr
	in, out       *half
	reading       deadline
	writing       deadline
	once          sync.Once
	closed        chan struct{}
}

// newConns makes both ends; there is the path from near to far.
func newConns(nearHost, farHost *Host, near, far netip.AddrPort, there, back *path) (*conn, *conn) {
	to, from := newHalf(there, back), newHalf(back, there)
	a, b := net.TCPAddrFromAddrPort(near), net.TCPAddrFromAddrPort(far)
	end := func(h *Host, local, remote net.Addr, in, out *half) *conn {
		c := &conn{host: h, local: local, remote: remote, in: in, out: out, closed: make(chan struct{})}
		c.reading.passed, c.writing.passed = make(chan struct{}), make(chan struct{})
		return c
	}
	return end(nearHost, a, b, from, to), end(farHost, b, a, to, from)
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) Close() error {
	c.end(io.EOF)
	return nil
}

// reset ends a connection as a kernel does for a process that is gone.
func (c *conn) reset() { c.end(syscall.ECONNRESET) }

func (c *conn) end(how error) {
	c.once.Do(func() {
		close(c.closed)
		c.reading.set(time.Time{})
		c.writing.set(time.Time{})
		c.out.finish(how)
		c.in.abandon()
		c.host.drop(c)
	})
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b, c)
	if err != nil && err != io.EOF {
		err = &net.OpError{Op: "read", Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b, c)
	if err != nil {
		err = &net.OpError{Op: "write", Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
	}
	return n, err
}

func (c *conn) SetDeadline(t time.Time) error {
	c.reading.set(t)
	c.writing.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.reading.set(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writing.set(t)
	return nil
}

// deadline is a channel that closes when a time has come.
type deadline struct {
	mu     sync.Mutex // guards what follows
	timer  *time.Timer
	passed chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	switch {
	case t.IsZero():
	case time.Until(t) <= 0:
		close(d.passed)
	default:
		passed := d.passed
		d.timer = time.AfterFunc(time.Until(t), func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.passed != passed {
				return
			}
			select {
			case <-passed:
			default:
				close(passed)
			}
		})
	}
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

// chunk is bytes on their way.
type chunk struct {
	b   []byte
	due time.Time
}

// half is one direction of a connection.
type half struct {
	path, back       *path
	readable         chan struct{} // capacity 1: look again
	writable         chan struct{}
	mu               sync.Mutex // guards what follows; nothing is called with it held
	chunks           []chunk
	due              time.Time // of the last chunk
	written          uint64
	taken            uint64 // by the reader
	acked            uint64 // of taken, what the writer has heard of
	end              error  // after the chunks; io.EOF or a reset
	endDue           time.Time
	abandoned, stuck bool // the reader is gone; the reader has been counted as held
}

func newHalf(p, back *path) *half {
	return &half{path: p, back: back, readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
}

func stir(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// look takes what has arrived. With nothing there it says how long until something will, 0: not known.
func (h *half) look(b []byte, f *fault) (n int, wait time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.still() {
		if !h.stuck {
			h.stuck = true
			h.path.held.Add(1)
		}
		return 0, 0, nil
	}
	h.stuck = false
	now := time.Now()
	for len(h.chunks) > 0 && n < len(b) {
		c := &h.chunks[0]
		if late := c.due.Sub(now); late > 0 {
			return n, late, nil
		}
		k := copy(b[n:], c.b)
		n += k
		h.taken += uint64(k)
		if c.b = c.b[k:]; len(c.b) == 0 {
			h.chunks[0] = chunk{}
			h.chunks = h.chunks[1:]
		}
	}
	if n == 0 && len(h.chunks) == 0 && h.end != nil {
		if late := h.endDue.Sub(now); late > 0 {
			return 0, late, nil
		}
		return 0, 0, h.end
	}
	return n, 0, nil
}

func (h *half) read(b []byte, c *conn) (int, error) {
	for {
		passed := c.reading.wait()
		select {
		case <-c.closed:
			return 0, net.ErrClosed
		case <-passed:
			return 0, os.ErrDeadlineExceeded
		default:
		}
		if len(b) == 0 {
			return 0, nil
		}
		f := h.path.now.Load()
		n, wait, err := h.look(b, f)
		if n > 0 || err != nil {
			stir(h.readable) // another reader may find more
			stir(h.writable)
			return n, err
		}
		var arrival <-chan time.Time
		if wait > 0 {
			arrival = time.After(wait)
		}
		select {
		case <-h.readable:
		case <-arrival:
		case <-f.changed:
		case <-passed:
		case <-c.closed:
		}
	}
}

// put sends as much of b as the window has room for.
func (h *half) put(b []byte, back *fault) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end != nil {
		return 0, net.ErrClosed
	}
	if !back.cut { // a kernel acknowledges for a process that does not run
		h.acked = h.taken
		if h.abandoned {
			return 0, syscall.EPIPE
		}
	}
	n := min(len(b), window-int(h.written-h.acked))
	if n <= 0 {
		return 0, nil
	}
	h.written += uint64(n)
	h.path.streamBytes.Add(uint64(n))
	if due := time.Now().Add(h.path.now.Load().late()); due.After(h.due) {
		h.due = due
	}
	h.chunks = append(h.chunks, chunk{append([]byte(nil), b[:n]...), h.due})
	return n, nil
}

func (h *half) write(b []byte, c *conn) (int, error) {
	sent := 0
	for {
		passed := c.writing.wait()
		select {
		case <-c.closed:
			return sent, net.ErrClosed
		case <-passed:
			return sent, os.ErrDeadlineExceeded
		default:
		}
		f := h.back.now.Load()
		n, err := h.put(b[sent:], f)
		sent += n
		if n > 0 {
			stir(h.readable)
		}
		if err != nil || sent == len(b) {
			stir(h.writable) // another writer may find room
			return sent, err
		}
		if n > 0 {
			continue
		}
		select {
		case <-h.writable:
		case <-f.changed:
		case <-passed:
		case <-c.closed:
		}
	}
}

// finish says that the writer is gone; a reset takes along what is under way.
func (h *half) finish(how error) {
	h.mu.Lock()
	h.end = how
	if how != io.EOF {
		h.chunks = nil
	}
	h.endDue = time.Now().Add(h.path.now.Load().late())
	if h.endDue.Before(h.due) && how == io.EOF {
		h.endDue = h.due
	}
	h.mu.Unlock()
	stir(h.readable)
	stir(h.writable)
}

// abandon says that the reader is gone.
func (h *half) abandon() {
	h.mu.Lock()
	h.abandoned = true
	h.chunks = nil
	h.mu.Unlock()
	stir(h.readable)
	stir(h.writable)
}
