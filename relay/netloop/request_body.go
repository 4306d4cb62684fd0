package netloop

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// A requestBody is the body of a HTTP/2 request: the loop puts in what arrives, the handler
// takes it out. The peer is given credit for what was taken out, so it never holds more than Engine.BodyBytes.
type requestBody struct {
	// Static after construction.
	exchange *exchange

	mu       sync.Mutex
	unread   []byte
	array    []byte // unread is a part of this
	err      error  // after unread
	consumed int    // read, and the peer not told
	expects  bool   // the peer waits for 100 (Continue)
	dropped  bool   // nobody reads any more
	expired  bool   // the read deadline is past
	waiting  bool
	ready    chan struct{} // has room for one
	timer    *time.Timer   // of the read deadline
}

var errBodyClosed = errors.New("netloop: the request's body was closed")

func newRequestBody(x *exchange, expects bool) *requestBody {
	return &requestBody{exchange: x, expects: expects, ready: make(chan struct{}, 1)}
}

// receive takes what arrived, in the loop.
func (b *requestBody) receive(p []byte, end bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dropped {
		b.exchange.stream.h2.Consume(len(p))
		return
	}
	if len(b.unread) == 0 {
		b.array = b.array[:0]
		b.unread = append(b.array, p...)
	} else {
		b.unread = append(b.unread, p...)
	}
	b.array = b.unread
	if end && b.err == nil {
		b.err = io.EOF
	}
	b.signal()
}

// fail makes Read return err after what has arrived.
func (b *requestBody) fail(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.signal()
	b.mu.Unlock()
}

// signal wakes Read. b.mu is held.
func (b *requestBody) signal() {
	if b.waiting {
		b.waiting = false
		b.ready <- struct{}{}
	}
}

// Read is for one goroutine at a time.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.dropped:
			return 0, errBodyClosed
		case b.expired:
			return 0, os.ErrDeadlineExceeded
		case len(b.unread) > 0:
			n := copy(p, b.unread)
			b.unread = b.unread[n:]
			b.consumed += n
			if b.consumed >= b.exchange.stream.conn.engine.BodyBytes/4 {
				b.giveCredit()
			}
			return n, nil
		case b.err != nil:
			return 0, b.err
		}
		if cap(b.array) > keepBody {
			b.array, b.unread = nil, nil
		}
		// Small credits are given together, but not kept while waiting: with many streams that
		// would be all of the connection's.
		b.giveCredit()
		b.waiting = true
		b.mu.Unlock()
		<-b.ready
		b.mu.Lock()
	}
}

// keepBody is how much memory a body keeps while it waits.
const keepBody = 4 << 10

// giveCredit tells the loop what was read, and that more is wanted. b.mu is held.
func (b *requestBody) giveCredit() {
	if b.consumed == 0 && !b.expects {
		return
	}
	x := b.exchange
	x.mu.Lock()
	x.credit += b.consumed
	x.proceed = b.expects
	x.post()
	x.mu.Unlock()
	b.consumed, b.expects = 0, false
}

// Close drops what is there and what comes.
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.dropped {
		b.dropped = true
		b.consumed += len(b.unread)
		b.expects = false
		b.giveCredit()
		b.unread, b.array = nil, nil
		if b.timer != nil {
			b.timer.Stop()
		}
		b.signal()
	}
	return nil
}

const (
	lingerBody  = 100 * time.Millisecond
	lingerBytes = 256 << 10
)

// linger drops what is left of the body, for a moment: an answer that ends before its request has to be followed
// by a reset (RFC 9113 8.1), which a client that is about to end its request need not see, and whose
// mistakes until then are still mistakes of an open stream.
func (b *requestBody) linger() {
	b.mu.Lock()
	expects := b.expects
	b.mu.Unlock()
	if expects {
		return // it waits for our word, and sends nothing
	}
	b.setDeadline(time.Now().Add(lingerBody))
	_, _ = io.CopyN(io.Discard, b, lingerBytes)
}

// setDeadline makes Read fail after t; the zero time is never.
func (b *requestBody) setDeadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	b.expired = false
	if t.IsZero() || b.dropped {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		b.mu.Lock()
		if b.timer == timer {
			b.expired = true
			b.signal()
		}
		b.mu.Unlock()
	})
	b.timer = timer
}
