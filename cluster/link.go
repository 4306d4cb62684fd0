package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"freshet/cluster/agree"
)

// A link is a duplex stream of frames between two relays: a length of four bytes, big endian, and that many bytes of a
// message; or under pingMark the clock of a ping, which the other side sends back negated. Both sides ping every
// pingEvery, and a side that hears nothing for silence ends the link. Most pings have the clock 0, which nobody sends
// back: among a thousand relays answers that only tell the delay would be half the work of an idle relay. link_deflate.go says how frames are compressed.
const (
	pingEvery  = 300 * time.Millisecond
	pingDelay  = 10 // every so many pings, the first one too, ask for the delay
	silence    = time.Second
	maxFrame   = 64 << 20 // a whole ring with room to spare
	trusted    = 1 << 20  // of a frame's length is believed before its bytes come
	maxPending = 32 << 20 // bytes queued for a peer that has taken none for a second; above, the link ends and begins anew
	maxBacklog = 1 << 30  // bytes queued for a peer that is only slow: the rings that it must have, all at once
	piece      = 64 << 10 // bytes that are written at once, so that it is known whether they are taken
	pingMark   = 1 << 31
)

var (
	errSilent   = errors.New("link: nothing heard for a second")
	errSlow     = errors.New("link: the peer does not take what is sent")
	errLarge    = errors.New("link: a message is longer than a link carries")
	errReplaced = errors.New("link: replaced by a newer one")
)

// wire is what a link runs on: one HTTP/2 stream.
type wire struct {
	io.Reader
	io.Writer
	flush    func() error
	close    func()  // ends reads and writes that are under way
	compress bool    // both sides can
	coders   *coders // nil: this side's coders have no memory
	traffic  *traffic
}

// link is one connection to a peer.
type link struct {
	peer  string
	wire  wire
	began time.Time

	mu      sync.Mutex // guards pending and closed
	pending []byte     // frames to be written
	closed  error
	wake    chan struct{} // capacity 1: there is something to write, or it is closed
	done    chan struct{} // closed with closed
	ended   chan struct{} // closed when run is about to return: no message comes any more

	taking  atomic.Bool   // the reader waits until a message is taken
	heard   atomic.Int64  // Unix nanoseconds of the last byte
	taken   atomic.Int64  // Unix nanoseconds of the last piece that the peer took, or when there was none to take
	delay   atomic.Int64  // of an echo, there and back, nanoseconds
	in, out atomic.Uint64 // bytes as they travel
	text    atomic.Uint64 // bytes of frames that were sent
	writing atomic.Int64  // bytes of frames that the peer is about to take
}

// ear notes that something was heard: each piece that comes is a sign of life.
type ear struct{ l *link }

func (e ear) Read(b []byte) (int, error) {
	n, err := e.l.wire.Read(b)
	if n > 0 {
		e.l.heard.Store(time.Now().UnixNano())
		e.l.in.Add(uint64(n))
		e.l.wire.traffic.in.Add(uint64(n))
	}
	return n, err
}

// mouth counts what is said.
type mouth struct{ l *link }

func (m mouth) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		n, err := m.l.wire.Write(b[written:min(written+piece, len(b))])
		written += n
		m.l.out.Add(uint64(n))
		m.l.wire.traffic.out.Add(uint64(n))
		if err != nil {
			return written, err
		}
		m.l.taken.Store(time.Now().UnixNano())
	}
	return written, nil
}

func newLink(peer string, w wire) *link {
	if w.traffic == nil {
		w.traffic = new(traffic)
	}
	l := &link{peer: peer, wire: w, began: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{})}
	l.heard.Store(l.began.UnixNano())
	l.taken.Store(l.began.UnixNano())
	return l
}

// send queues a message. It never blocks; a peer that lets too much pile up loses the link.
func (l *link) send(m agree.Message) {
	l.mu.Lock()
	if l.closed != nil {
		l.mu.Unlock()
		return
	}
	at := len(l.pending)
	if at == 0 {
		l.taken.Store(time.Now().UnixNano())
	}
	l.pending = append(l.pending, 0, 0, 0, 0)
	l.pending = agree.AppendMessage(l.pending, m)
	n := len(l.pending) - at - 4
	binary.BigEndian.PutUint32(l.pending[at:], uint32(n))
	stuck := time.Now().UnixNano()-l.taken.Load() > int64(silence)
	slow := len(l.pending) > maxPending && stuck || len(l.pending) > maxBacklog
	l.mu.Unlock()
	l.stir()
	switch {
	case n > maxFrame:
		l.end(errLarge)
	case slow:
		l.end(errSlow)
	}
}

// lag is how many bytes the peer has not taken yet.
func (l *link) lag() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending) + int(l.writing.Load())
}

func (l *link) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// end closes the link; only the first cause counts.
func (l *link) end(cause error) {
	l.mu.Lock()
	first := l.closed == nil
	if first {
		l.closed = cause
		l.pending = nil
		close(l.done)
	}
	l.mu.Unlock()
	if first {
		l.wire.close()
	}
}

// run carries frames both ways until the link ends, and says why. receive is called by one goroutine, in order.
func (l *link) run(ctx context.Context, receive func(agree.Message)) error {
	var both sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { l.end(context.Cause(ctx)) })
	defer stop()
	both.Go(func() { l.end(l.write()) })
	both.Go(func() { l.end(l.read(receive)) })
	l.watch()
	both.Wait()
	close(l.ended)
	return l.closed
}

// watch ends the link when nothing was heard for too long.
func (l *link) watch() {
	t := time.NewTicker(pingEvery / 3)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-l.done:
			return
		case now := <-t.C:
			// This process may have been stopped: then what was heard meanwhile is not read yet.
			// Or this side is slow to take what came: the rest is not read yet.
			if now.Sub(last) > silence/2 || l.taking.Load() {
				l.heard.Store(now.UnixNano())
			}
			last = now
			if now.UnixNano()-l.heard.Load() > int64(silence) {
				l.end(errSilent)
				return
			}
		}
	}
}

func (l *link) write() error {
	ping, pings := time.NewTicker(pingEvery), 0
	defer ping.Stop()
	var w io.Writer = mouth{l}
	rest := func(time.Time) {}
	if l.wire.compress {
		d := &deflater{w: w, shared: l.wire.coders}
		defer d.release()
		w, rest = d, d.rest
	}
	var frames []byte
	for {
		select {
		case <-l.done:
			return nil
		case <-l.wake:
		case now := <-ping.C:
			rest(now)
			clock := int64(0)
			if pings%pingDelay == 0 {
				clock = now.UnixNano()
			}
			pings++
			l.mu.Lock()
			l.pending = appendClock(l.pending, clock)
			l.mu.Unlock()
		}
		l.mu.Lock()
		frames, l.pending = l.pending, frames[:0]
		l.mu.Unlock()
		if len(frames) == 0 {
			continue
		}
		l.writing.Store(int64(len(frames)))
		if _, err := w.Write(frames); err != nil {
			return fmt.Errorf("link: write: %w", err)
		}
		if err := l.wire.flush(); err != nil {
			return fmt.Errorf("link: write: %w", err)
		}
		l.writing.Store(0)
		l.text.Add(uint64(len(frames)))
		l.wire.traffic.text.Add(uint64(len(frames)))
		if cap(frames) > 1<<20 {
			frames = nil // a catch-up's buffer is not kept
		}
	}
}

// appendClock writes a ping: this side's clock, which the other sends back negated.
func appendClock(b []byte, at int64) []byte {
	b = binary.BigEndian.AppendUint32(b, pingMark|8)
	return binary.BigEndian.AppendUint64(b, uint64(at))
}

func (l *link) read(receive func(agree.Message)) error {
	in := bufio.NewReaderSize(ear{l}, 32<<10)
	var r io.Reader = in
	if l.wire.compress {
		r = newInflater(in)
	}
	var head [4]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return fmt.Errorf("link: read: %w", err)
		}
		n := binary.BigEndian.Uint32(head[:])
		if n == pingMark|8 {
			var clock [8]byte
			if _, err := io.ReadFull(r, clock[:]); err != nil {
				return fmt.Errorf("link: read: %w", err)
			}
			l.echo(int64(binary.BigEndian.Uint64(clock[:])))
			continue
		}
		if n > maxFrame {
			return fmt.Errorf("link: a frame of %d bytes, at most %d are taken", n, maxFrame)
		}
		b, err := frame(r, int(n))
		if err != nil {
			return fmt.Errorf("link: read: %w", err)
		}
		m, err := agree.ParseMessage(b)
		if err != nil {
			return fmt.Errorf("link: %w", err)
		}
		l.taking.Store(true)
		receive(m)
		l.taking.Store(false)
		l.heard.Store(time.Now().UnixNano())
	}
}

// frame reads n bytes into memory of their own, since messages keep slices of it. What is only announced takes no memory.
func frame(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, trusted))
	for have := 0; ; {
		k, err := io.ReadFull(r, b[have:])
		if err != nil {
			return nil, err
		}
		if have += k; have == n {
			return b, nil
		}
		b = append(b, make([]byte, min(have, n-have))...)
	}
}

// echo answers a ping, or takes the answer to one's own.
func (l *link) echo(clock int64) {
	switch {
	case clock < 0:
		l.delay.Store(time.Now().UnixNano() + clock)
		return
	case clock == 0:
		return
	}
	l.mu.Lock()
	l.pending = appendClock(l.pending, -clock)
	l.mu.Unlock()
	l.stir()
}
