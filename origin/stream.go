package origin

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"
)

// A Stream publishes many events to one topic over one request that stays open.
// Each is acknowledged when it is committed; when the connection breaks, what
// is not acknowledged is sent again, over another and to another relay if need
// be, and published once all the same.
//
// Its methods may be called from any goroutine. Events are published in the
// order in which Send returned.
type Stream struct {
	// Window bounds the events that are not acknowledged. 0 = 4,096.
	Window int
	// WindowBytes bounds them in bytes. 0 = 4 MiB.
	WindowBytes int
	// Acknowledged, if set, is called when more events are committed: all up
	// to number count, which has this id. It is called in order, from one
	// goroutine, which must not wait for the Stream.
	Acknowledged func(count uint64, id string)

	// static after the first Send
	publisher *Publisher
	topic     string
	key       string // names the stream to the relays: what was committed under it is known
	ctx       context.Context
	cancel    context.CancelCauseFunc
	closed    chan struct{} // closed by Close
	done      chan struct{} // closed when run has returned

	// mu guards all below. Whoever holds it does not wait for anything.
	mu       sync.Mutex
	started  bool
	closing  bool
	window   window
	body     *streamBody   // of the present connection
	waiting  time.Time     // since when the relay is to acknowledge something
	progress chan struct{} // closed, and made anew, when there is room, or an error
	trouble  error         // what went wrong last
	err      error         // what ended it
}

var errStreamClosed = errors.New("the stream is closed")

// Stream returns a stream of events for a topic. Set its fields before the first
// Send. Close it, for it owns a goroutine from then on.
func (p *Publisher) Stream(topic string) *Stream {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Stream{
		publisher: p, topic: topic, key: rand.Text(),
		ctx: ctx, cancel: cancel, closed: make(chan struct{}), done: make(chan struct{}), progress: make(chan struct{}),
	}
}

// Send puts the event in the window and returns its number, counted from 1. It
// waits while the window is full; if ctx ends first the event will not be
// published. Errors are *PublishError. One that is not about e itself has
// ended the stream: what is not acknowledged by then may or may not be
// published.
func (s *Stream) Send(ctx context.Context, e Event) (number uint64, err error) {
	if err := s.publisher.check(s.topic, e); err != nil {
		return 0, err
	}
	e.Topic = ""
	event, err := e.Append(nil)
	if err != nil {
		return 0, invalid(s.topic, err)
	}
	for {
		number, wait, err := s.offer(event)
		if err != nil || wait == nil {
			return number, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return 0, s.late(ctx)
		}
	}
}

// offer adds the event, or returns what to wait for.
func (s *Stream) offer(event []byte) (number uint64, wait <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, nil, s.err
	case s.closing:
		return 0, nil, invalid(s.topic, errStreamClosed)
	}
	if !s.started {
		s.started = true
		def(&s.Window, 4096)
		def(&s.WindowBytes, 4<<20)
		go s.run()
	}
	if !s.window.fits(len(event), s.Window, s.WindowBytes) {
		return 0, s.progress, nil
	}
	number = s.window.add(event)
	s.wake()
	return number, nil, nil
}

// Wait waits until the event of that number, and all before it, are committed.
// Errors are *PublishError.
func (s *Stream) Wait(ctx context.Context, number uint64) error {
	for {
		s.mu.Lock()
		acked, wait, err := s.window.acked, s.progress, s.err
		s.mu.Unlock()
		if acked >= number {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return s.late(ctx)
		}
	}
}

// Flush waits until all events sent so far are committed.
func (s *Stream) Flush(ctx context.Context) error {
	s.mu.Lock()
	last := s.window.last()
	s.mu.Unlock()
	return s.Wait(ctx, last)
}

// Acked returns the number of the newest event that is known to be committed.
func (s *Stream) Acked() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window.acked
}

// Close waits until all events are committed, and ends the stream; when ctx ends
// first, it ends it at once. The error, a *PublishError, says why not all are
// known to be committed.
func (s *Stream) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		s.waiting = time.Now()
		close(s.closed)
		s.wake()
	}
	started := s.started
	s.mu.Unlock()
	if !started {
		return nil
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		s.cancel(context.Cause(ctx))
		<-s.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// late is the error of who has waited in vain.
func (s *Stream) late(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return unavailable(s.topic, s.trouble).with(context.Cause(ctx))
}

// wake tells the present connection that there is more. The caller holds mu.
func (s *Stream) wake() {
	if s.body != nil {
		select {
		case s.body.more <- struct{}{}:
		default:
		}
	}
}

// advance wakes those who wait for progress. The caller holds mu.
func (s *Stream) advance() {
	close(s.progress)
	s.progress = make(chan struct{})
}

// run connects and connects again until the stream is over.
func (s *Stream) run() {
	defer close(s.done)
	defer s.cancel(nil)
	p := s.publisher
	wait := p.newBackoff()
	for tried := 1; ; tried++ {
		current := p.current.Load()
		acked := s.Acked()
		err := s.connect(p.base(current))
		if s.over(err) {
			return
		}
		p.failover(current)
		var delay time.Duration
		var failure *PublishError
		if errors.As(err, &failure) {
			delay = failure.after
		}
		if s.Acked() > acked {
			wait.succeeded()
			tried = len(p.relays)
		}
		if tried%len(p.relays) == 0 {
			delay = max(delay, wait.next(random))
		}
		timer := time.NewTimer(min(delay, p.MaxRetry))
		select {
		case <-timer.C:
		case <-s.ctx.Done():
		case <-s.closed: // if nothing is left to send, it is over
			if s.over(err) {
				return
			}
			_ = sleep(s.ctx, min(delay, p.MaxRetry))
		}
		timer.Stop()
	}
}

// over reports whether the stream has ended, after a connection that failed
// with err, and leaves why in s.err.
func (s *Stream) over(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = nil
	var failure *PublishError
	if errors.As(err, &failure) && failure.Err != nil {
		err = failure.Err // the rest is said again where it is used
	}
	if s.ctx.Err() == nil || s.trouble == nil { // else it only says that Close gave up
		s.trouble = err
	}
	switch {
	case s.closing && len(s.window.events) == 0:
	case failure != nil && failure.final():
		s.err = failure
	case s.ctx.Err() != nil:
		s.err = unavailable(s.topic, s.trouble).with(context.Cause(s.ctx))
	default:
		return false
	}
	s.advance()
	return true
}

// acknowledged takes one acknowledgement.
func (s *Stream) acknowledged(count uint64, id string) error {
	s.mu.Lock()
	before := s.window.acked
	err := s.window.ack(count)
	more := s.window.acked > before
	if more {
		s.waiting = time.Now()
		s.advance()
	}
	s.mu.Unlock()
	if more && s.Acknowledged != nil {
		s.Acknowledged(count, id)
	}
	return err
}

// After so much silence a comment is sent, so that nothing on the way takes the
// connection for dead. The first come sooner: until the relay has answered,
// net/http sees that a connection has broken only when it writes to it.
const (
	firstHeartbeat  = 50 * time.Millisecond
	streamHeartbeat = 15 * time.Second
)

var errStale = errors.New("the connection was given up")

// A streamBody is the body of one request: a reader of the window.
type streamBody struct {
	stream *Stream
	more   chan struct{} // of capacity 1: there is something to read
	gone   chan struct{} // closed by Close
	once   sync.Once

	// used by Read alone
	idle    *time.Timer
	silence time.Duration // before the next heartbeat
}

func (b *streamBody) Read(p []byte) (int, error) {
	for {
		n, err := b.fill(p)
		if n > 0 || err != nil {
			return n, err
		}
		b.idle.Reset(b.silence)
		select {
		case <-b.more:
		case <-b.gone:
			return 0, errStale
		case <-b.idle.C:
			b.silence = min(2*b.silence, streamHeartbeat)
			return copy(p, ":\n"), nil // between events: fill found nothing
		}
	}
}

func (b *streamBody) fill(p []byte) (int, error) {
	s := b.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body != b {
		return 0, errStale
	}
	if !s.window.unread() && s.closing {
		return 0, io.EOF
	}
	if !s.window.pending() {
		s.waiting = time.Now()
	}
	return s.window.fill(p), nil
}

// Close is called by the HTTP client when it is done with the body, and when the
// connection is given up: the client waits for a Read under way to return.
func (b *streamBody) Close() error {
	b.once.Do(func() { close(b.gone) })
	return nil
}
