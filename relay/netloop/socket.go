package netloop

import (
	"net"
	"sync"
)

// A socket is the transport of a connection that a loop owns. Only the loop calls it, and
// no call blocks.
type socket interface {
	// read returns errWouldBlock when there is nothing, io.EOF when there will be nothing.
	read(p []byte) (int, error)
	// write takes what it can, and errWouldBlock says that this was not all.
	write(p []byte) (int, error)
	// closeWrite sends FIN after what was written.
	closeWrite() error
	close() error
}

// errWouldBlock says that a socket has nothing to read or no room. crypto/tls goes on after a
// net.Error from Read that is Temporary; it forgets nothing it has read so far.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "netloop: the operation would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// A goSocket is a socket over any net.Conn: two goroutines block in its place, one in Read for
// as long as the connection lives and one in Write while there is something to write.
// It is what systems without epoll use, and connections without a descriptor.
type goSocket struct {
	// Static after construction.
	net    net.Conn
	notify func(readable, writable bool) // from any goroutine

	mu       sync.Mutex
	consumed sync.Cond // in is empty, or the socket closed
	buffer   []byte    // the reader's
	in       []byte    // the part of buffer not yet read by the loop
	inErr    error
	out      []byte // being written; its array is reused
	writing  bool
	full     bool // the loop was told errWouldBlock and waits for room
	outErr   error
	finish   bool // FIN after out
	closed   bool
}

const (
	goSocketRead  = 4 << 10
	goSocketWrite = 64 << 10
)

func newGoSocket(nc net.Conn, notify func(readable, writable bool)) *goSocket {
	s := &goSocket{net: nc, notify: notify, buffer: make([]byte, goSocketRead)}
	s.consumed.L = &s.mu
	return s
}

// watch begins to report. The goroutine ends with the connection.
func (s *goSocket) watch() { go s.readLoop() }

func (s *goSocket) readLoop() {
	for {
		n, err := s.net.Read(s.buffer)
		s.mu.Lock()
		s.in, s.inErr = s.buffer[:n], err
		s.mu.Unlock()
		s.notify(true, false)
		if err != nil {
			return
		}
		s.mu.Lock()
		for len(s.in) > 0 && !s.closed {
			s.consumed.Wait()
		}
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return
		}
	}
}

func (s *goSocket) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.in) == 0 {
		if s.inErr != nil {
			return 0, s.inErr
		}
		return 0, errWouldBlock
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	if len(s.in) == 0 {
		s.consumed.Signal()
	}
	return n, nil
}

func (s *goSocket) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outErr != nil {
		return 0, s.outErr
	}
	if s.writing {
		s.full = true
		return 0, errWouldBlock
	}
	n := min(len(p), goSocketWrite)
	s.out = append(s.out[:0], p[:n]...)
	s.writing = true
	go s.writeOut()
	if n < len(p) {
		s.full = true
		return n, errWouldBlock
	}
	return n, nil
}

func (s *goSocket) writeOut() {
	_, err := s.net.Write(s.out)
	s.mu.Lock()
	s.writing, s.outErr = false, err
	if s.finish {
		s.shut()
	}
	full := s.full
	s.full = false
	s.mu.Unlock()
	if full || err != nil {
		s.notify(false, true)
	}
}

func (s *goSocket) closeWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		s.finish = true
		return nil
	}
	return s.shut()
}

// shut sends FIN if the transport can. s.mu is held.
func (s *goSocket) shut() error {
	if half, ok := s.net.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (s *goSocket) close() error {
	s.mu.Lock()
	s.closed = true
	s.consumed.Signal()
	s.mu.Unlock()
	return s.net.Close()
}
