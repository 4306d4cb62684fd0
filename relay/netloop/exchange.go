package netloop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An exchange is an ordinary HTTP/2 request, whose handler runs in a goroutine, and what it has to
// tell the loop. It is the stream's Body: the loop pulls what the handler wrote.
type exchange struct {
	// Static after construction.
	stream  *stream
	request *http.Request
	cancel  context.CancelCauseFunc
	body    *requestBody // nil = none
	answer  response     // the handler's

	mu      sync.Mutex
	posted  bool          // it stands in the loop's inbox
	head    []byte        // the header block, for the loop
	alone   bool          // and there is no body
	chunk   []byte        // what is to be sent of the body; not nil while the loop has not let go of it
	pooled  *buffer       // where chunk is, if it is ours
	lent    bool          // the loop may be looking at part of chunk
	end     bool          // the body ends after chunk
	closed  error         // the stream is gone; why
	waiting bool          // the handler waits for taken
	taken   chan struct{} // has room for one
	credit  int           // bytes of the request's body that were read
	proceed bool          // the handler wants the body: 100 (Continue)
	given   *gift         // by Take
	done    bool          // the handler has returned, or will do no more
	failed  bool          // without a proper answer
}

// A gift is what Take gives to a loop.
type gift struct {
	body   Body
	fanout *Fanout
	head   []byte
}

// begin starts the request that fields describe.
func (c *conn) begin(s *stream, fields []hpack.HeaderField, end bool) {
	e := c.engine
	// Handlers of streams that were reset count too: resetting is no way to start more (CVE-2023-44487).
	if e.handlersOpen.Load() >= int64(e.Requests) || int(c.handlers) >= 2*e.Streams {
		e.counters.refusedRequests.Add(1)
		s.h2.Reset(http2.ErrCodeRefusedStream)
		c.drop(s, ErrGone)
		return
	}
	x := &exchange{stream: s, taken: make(chan struct{}, 1)}
	r, status := c.newRequest(fields, end)
	if status != 0 {
		s.flags |= headOnly
		s.head = statusBlock(status)
		s.body = x
		c.wait(s)
		return
	}
	ctx, cancel := context.WithCancelCause(e.requestBase)
	ctx = context.WithValue(ctx, connKey{}, c)
	x.cancel = cancel
	if !end {
		x.body = newRequestBody(x, r.Header.Get("Expect") != "")
		r.Body = x.body
	}
	x.request = r.WithContext(ctx)
	x.answer.exchange = x
	s.body = x
	c.handlers++
	c.loop.begun++
	e.handlersOpen.Add(1)
	e.handlers.Go(x.serve)
}

// connKey finds the conn in a request's context.
type connKey struct{}

// serve runs the handler.
func (x *exchange) serve() {
	c := x.stream.conn
	whole := false
	defer func() {
		if !whole {
			// A panic; http.ErrAbortHandler is one that wants to be quiet.
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				c.engine.log.Error("handler panicked", "remote", c.remote, "path", x.request.URL.Path,
					"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			}
		}
		x.finish(whole)
	}()
	c.engine.Handler.ServeHTTP(&x.answer, x.request)
	if x.body != nil && !x.answer.given {
		x.body.linger()
	}
	x.answer.end()
	whole = true
}

// finish says that the handler has returned.
func (x *exchange) finish(whole bool) {
	if x.body != nil {
		_ = x.body.Close()
	}
	x.cancel(context.Canceled)
	x.mu.Lock()
	x.done = true
	x.failed = !whole
	x.post()
	x.mu.Unlock()
}

// post puts x into its loop's inbox. x.mu is held.
func (x *exchange) post() {
	if !x.posted {
		x.posted = true
		x.stream.conn.loop.push(x)
	}
}

// run takes what the handler did into the loop.
func (x *exchange) run(l *loop) {
	s := x.stream
	c := s.conn
	x.mu.Lock()
	x.posted = false
	credit, proceed, given, done, failed := x.credit, x.proceed, x.given, x.done, x.failed
	x.credit, x.proceed, x.given, x.done = 0, false, nil, false
	if x.head != nil {
		s.head = x.head
		x.head = nil
		if x.alone {
			s.flags |= headOnly
		}
	}
	x.mu.Unlock()

	if credit > 0 {
		s.h2.Consume(credit)
	}
	if proceed {
		s.flags |= interim
	}
	switch {
	case given != nil:
		c.join(s, given.body, given.head, given.fanout)
	case s.flags&gone != 0:
	case failed:
		s.h2.Reset(http2.ErrCodeInternal)
		c.drop(s, errAborted)
	default:
		c.wait(s)
	}
	if done {
		c.handlers--
		c.engine.handlersOpen.Add(-1)
		if c.phase == open && c.streams == 0 && c.handlers == 0 {
			c.since = l.tick
			l.wheel.setBefore(&c.alarm, l.tick+l.idle)
		}
	}
	if c.phase < closing && len(c.http2.Output()) > 0 {
		l.queueServe(c)
	}
}

var errAborted = errors.New("netloop: the handler gave no answer")

// Start makes exchange a Body.
func (x *exchange) Start(int) {}

// Next gives the loop what the handler wrote. When it is called again, the loop is done with what it got.
func (x *exchange) Next(max int) (p []byte, end bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.letGo()
	if x.head != nil {
		return nil, false // that first; run is about to take it
	}
	if x.chunk == nil {
		return nil, x.end && x.closed == nil
	}
	n := min(max, len(x.chunk))
	p, x.chunk = x.chunk[:n], x.chunk[n:]
	x.lent = true
	return p, x.end && len(x.chunk) == 0
}

// letGo notes that the loop does not look at what it was lent any more. x.mu is held.
func (x *exchange) letGo() {
	if x.lent {
		x.lent = false
		if len(x.chunk) == 0 {
			x.dropChunk()
		}
	}
}

// dropChunk lets the handler have its buffer back. x.mu is held.
func (x *exchange) dropChunk() {
	x.chunk = nil
	if x.pooled != nil {
		buffers.Put(x.pooled)
		x.pooled = nil
	}
	x.signal()
}

// signal wakes the handler. x.mu is held.
func (x *exchange) signal() {
	if x.waiting {
		x.waiting = false
		x.taken <- struct{}{}
	}
}

// Heartbeat is never asked for.
func (x *exchange) Heartbeat() []byte { return nil }

// Close tells the handler that the stream is gone.
func (x *exchange) Close(cause error) {
	if cause == nil {
		cause = context.Canceled
	}
	if x.body != nil {
		x.body.fail(cause)
	}
	if x.cancel != nil {
		x.cancel(cause)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed == nil {
		x.closed = cause
	}
	x.lent = false
	x.dropChunk()
}

// offer gives the loop a part of the answer's body, which is in pooled, or the caller's, for whom it
// waits then until the loop is done with it.
func (x *exchange) offer(p []byte, pooled *buffer, end bool) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.await()
	if x.closed != nil {
		if pooled != nil {
			buffers.Put(pooled)
		}
		return x.closed
	}
	if len(p) > 0 {
		x.chunk, x.pooled = p, pooled
	} else if pooled != nil {
		buffers.Put(pooled)
	}
	x.end = end
	x.post()
	if pooled == nil && len(p) > 0 {
		x.await()
		return x.closed
	}
	return nil
}

// await waits until the loop has nothing of the answer. x.mu is held.
func (x *exchange) await() {
	for x.chunk != nil && x.closed == nil {
		x.waiting = true
		x.mu.Unlock()
		<-x.taken
		x.mu.Lock()
	}
}
