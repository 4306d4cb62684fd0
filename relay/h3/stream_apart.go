package h3

import (
	"errors"
	"os"
	"sync"
	"time"
)

// apartChunk is how much a stream that is apart is asked for at once, in bytes.
const apartChunk = 16 << 10

// chunks are the buffers of streams that are apart.
var chunks = sync.Pool{New: func() any {
	b := make([]byte, 0, apartChunk+16)
	return &b
}}

// goApart gives the stream to a goroutine of its own, which may wait for the peer.
func (s *stream) goApart() {
	s.flags |= apart
	stats := &s.conn.server.stats
	stats.apart.Add(1)
	stats.partings.Add(1)
	s.conn.server.writers.Go(s.writeApart)
}

// returned is the task that gives a stream back to its loop.
type returned struct {
	stream *stream
	err    error // nil = it has caught up, or its body has ended
}

func (r *returned) run(l *loop) {
	s := r.stream
	s.flags &^= apart
	s.wrote = l.wheel.now
	l.server.stats.apart.Add(-1)
	switch {
	case r.err != nil:
		if s.cause == nil && errors.Is(r.err, ErrStalled) {
			s.cause = ErrStalled
		}
		s.drop(s.goneCause(r.err))
	case s.cause != nil:
		s.drop(s.cause)
	case s.ended:
		s.finish()
	default:
		l.mark(s) // it slept through wake-ups
	}
}

// writeApart writes until the body has no more, the stream is no more, or the peer takes nothing.
func (s *stream) writeApart() {
	err := s.catchUp()
	s.conn.loop.inbox.push(&returned{s, err})
}

func (s *stream) catchUp() error {
	if s.frame != nil {
		err := s.writeAll(s.frame)
		if s.frame = nil; err != nil {
			return err
		}
	}
	buffer := chunks.Get().(*[]byte)
	defer chunks.Put(buffer)
	for !s.ended {
		p, end := s.body.Next(apartChunk)
		s.ended = end
		if len(p) == 0 {
			break
		}
		*buffer = appendData((*buffer)[:0], p)
		if err := s.writeAll(*buffer); err != nil {
			return err
		}
	}
	return nil
}

// writeAll returns when all of p but the last packet's worth has been packed, or with ErrStalled
// when the peer took nothing of it for too long.
func (s *stream) writeAll(p []byte) error {
	for len(p) > 0 {
		_ = s.quic.SetWriteDeadline(time.Now().Add(s.conn.server.Stall))
		n, err := s.quic.Write(p)
		p = p[n:]
		s.unsure = min(n, packetBytes)
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n == 0:
			return ErrStalled
		}
	}
	return nil
}

// packetBytes is what quic-go copies when it lets Write return.
const packetBytes = 1452
