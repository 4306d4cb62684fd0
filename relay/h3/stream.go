package h3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"freshet/relay/netloop"
)

// A stream is a response that Take gave to a loop. There are many, so it is small. quic-go's own part
// of it is larger.
type stream struct {
	// Static after construction.
	conn   *conn
	quic   *quic.Stream
	body   Body
	fanout *Fanout
	unhook func() bool // ends the notice of the peer's going

	// Owned by the loop, or by the goroutine of a stream that is apart.
	unsure int    // bytes given to quic-go that may not have been packed yet
	frame  []byte // a frame that quic-go did not take; nil = none
	ended  bool   // the body ends after frame

	// Owned by the loop.
	part          *part
	place         int     // in part
	next          *stream // in conn.marked
	before, later *stream // in the wheel
	due           tick    // in the wheel
	wrote         tick    // when it last sent something
	flags         streamFlags
	cause         error // why it is being ended while it is apart
}

type streamFlags uint8

const (
	marked  streamFlags = 1 << iota // in conn.marked
	inWheel                         // waits for its heartbeat
	apart                           // a goroutine writes it
	gone
)

// ErrForeign is returned by Take for a request that no Server of this package serves.
var ErrForeign = fmt.Errorf("over HTTP/3: %w", netloop.ErrForeign)

// Take answers 200 with the header that w has, and then sends body, woken by f, for as long as it
// lasts. The handler must return, and must not use w any more. If there is an error, none of
// Body's methods was called and none will be.
func Take(w http.ResponseWriter, r *http.Request, body Body, f *Fanout) error {
	c, _ := r.Context().Value(connKey{}).(*conn)
	for c != nil {
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = inner.Unwrap()
	}
	streamer, ok := w.(http3.HTTPStreamer)
	if c == nil || !ok {
		return ErrForeign
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(c.server.Stall)) // the window may be closed from the beginning
	w.WriteHeader(http.StatusOK)
	taken, err := streamer.HTTPStream()
	if err != nil {
		return err
	}
	// Subscribers send nothing. quic-go keeps the receiving half until this is said.
	taken.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError))
	c.busy.Add(1)
	s := &stream{conn: c, quic: taken.QUICStream(), body: body, fanout: f}
	c.loop.inbox.push((*arrived)(s))
	return nil
}

// arrived is the task that gives a stream to its loop.
type arrived stream

func (a *arrived) run(l *loop) {
	s := (*stream)(a)
	s.body.Start(l.id)
	l.streams[s] = struct{}{}
	l.server.stats.streams.Add(1)
	s.wrote = l.wheel.now
	s.unhook = context.AfterFunc(s.quic.Context(), func() { l.inbox.push((*departed)(s)) })
	if l.stopped {
		s.abort(ErrShutdown)
		return
	}
	if s.fanout != nil {
		s.fanout.parts[l.id].add(s)
	}
	l.wheel.add(s, l.wheel.now+heartbeatTicks)
	l.mark(s)
}

// departed is the task that tells the loop that quic-go has ended the stream.
type departed stream

func (d *departed) run(*loop) {
	s := (*stream)(d)
	if s.flags&apart == 0 { // otherwise its Write is about to tell
		s.drop(s.goneCause(context.Cause(s.quic.Context())))
	}
}

// goneCause is ErrGone with what quic-go says about it.
func (s *stream) goneCause(err error) error {
	if s.cause != nil {
		return s.cause
	}
	return &goneError{err}
}

// goneError wraps ErrGone and why.
type goneError struct{ why error }

func (e *goneError) Error() string {
	if e.why == nil {
		return ErrGone.Error()
	}
	return ErrGone.Error() + ": " + e.why.Error()
}
func (e *goneError) Unwrap() []error { return []error{ErrGone, e.why} }

// serve asks the body for what it has, and sends it.
func (s *stream) serve() {
	most := s.conn.server.UnsentBytes
	for s.flags&(gone|apart) == 0 {
		if s.unsure >= most {
			s.goApart()
			return
		}
		p, end := s.body.Next(most - s.unsure)
		if end {
			s.ended = true
		}
		switch {
		case len(p) > 0:
			s.send(p)
		case end:
			s.finish()
		default:
			return
		}
	}
}

// send gives p to quic-go as a DATA frame (RFC 9114 7.2.1), or goes apart with it.
func (s *stream) send(p []byte) {
	l := s.conn.loop
	l.out = appendData(l.out[:0], p)
	switch err := s.quic.TryWriteAll(l.out); {
	case err == nil:
		s.unsure += len(l.out)
		s.wrote = l.wheel.now
		if s.ended {
			s.finish()
		}
	case errors.Is(err, quic.ErrWouldBlock):
		s.frame = append([]byte(nil), l.out...)
		s.goApart()
	default:
		s.drop(s.goneCause(err))
	}
}

// appendData appends a DATA frame.
func appendData(dst, p []byte) []byte {
	dst = append(dst, 0x0)
	dst = quicvarint.Append(dst, uint64(len(p)))
	return append(dst, p...)
}

// finish ends the stream after all that was sent.
func (s *stream) finish() {
	s.unhook()
	_ = s.quic.Close()
	s.drop(nil)
}

// abort ends the stream at once.
func (s *stream) abort(cause error) {
	if s.cause == nil {
		s.cause = cause
	}
	if s.flags&apart != 0 {
		s.quic.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		return // its goroutine brings it back
	}
	s.drop(cause)
}

// drop ends what the loop has of s, and what quic-go has if it does not know yet.
func (s *stream) drop(cause error) {
	if s.flags&gone != 0 {
		return
	}
	l := s.conn.loop
	s.flags |= gone
	s.unhook()
	if cause != nil {
		s.quic.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		if errors.Is(cause, ErrGone) {
			s.conn.left()
		}
		if errors.Is(cause, ErrStalled) {
			l.server.stats.stalled.Add(1)
		}
	}
	if s.part != nil {
		s.part.remove(s)
	}
	l.wheel.remove(s)
	delete(l.streams, s)
	l.server.stats.streams.Add(-1)
	s.conn.rest()
	body := s.body
	s.body, s.frame = nil, nil
	body.Close(cause)
}
