package netloop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"freshet/relay/h2"
)

// Causes that Body.Close and the context of a request are given.
var (
	// ErrStalled: the peer took no byte for Engine.Stall.
	ErrStalled = errors.New("netloop: the peer takes nothing")
	// ErrShutdown: the engine's drain time is over.
	ErrShutdown = errors.New("netloop: the engine was shut down")
	// ErrGone: the peer closed the connection or reset the stream.
	ErrGone = errors.New("netloop: the peer is gone")
)

// An Engine serves HTTP/1.1 and HTTP/2 on event loops. Its fields must not change once
// Serve, NewFanout or Run was called.
type Engine struct {
	// Handler answers every request, in a goroutine of its own. It must not be nil.
	Handler http.Handler

	// Loops is the number of event loops; 0 = one for each processor that Go uses.
	Loops int
	// Portable selects the poller that needs nothing but package net, also where there is a
	// better one.
	Portable bool

	// Limits.

	// Connections is how many may be open at once; 0 = nine tenths of the descriptor limit, or
	// 65,536 if that is unknown.
	Connections int
	// AddressShare is what part of Connections, and of Handshakes, one address (IPv6: one /64)
	// may hold, above 0 and up to 1; 0 = 0.75.
	AddressShare float64
	// Places are what connections take, so that others can share the limits: they, and not
	// Connections, bound them. nil = places of its own, of Connections and AddressShare.
	Places *Places
	// Handshakes is how many connections may be on their way from accept to their first
	// request at once; 0 = 512. Above that the oldest one gives way once it is a second old.
	Handshakes int
	// Streams is how many a HTTP/2 connection may have open at once; 0 = 1,000.
	Streams int
	// Requests is how many HTTP/2 requests may be in their handlers at once; 0 = 16,384. More are
	// refused, which clients may safely retry (RFC 9113 8.7).
	Requests int
	// HeaderBytes bounds a request's header fields; 0 = 16 KiB.
	HeaderBytes int
	// BodyBytes is how much of a HTTP/2 request's body is taken before its handler has read
	// it; 0 = 128 KiB. A connection may have four times that.
	BodyBytes int
	// UnsentBytes is how much the kernel may hold that it has not sent (TCP_NOTSENT_LOWAT, Linux
	// only); 0 = 32 KiB.
	UnsentBytes int

	// Times.

	Heartbeat  time.Duration // silence after which a Body is asked for a heartbeat; 0 = 15 s, < 0 = never
	Stall      time.Duration // a stream or connection that takes no byte for this long is closed; 0 = 30 s
	Idle       time.Duration // a connection without a request for this long is closed; 0 = 3 min
	Handshake  time.Duration // from accept to the end of the TLS handshake, and from there of the HTTP/2 preface; 0 = 10 s
	HeaderRead time.Duration // within which a begun request's header, or a begun frame, must be whole; 0 = 10 s
	Unacked    time.Duration // a connection whose bytes stay unacknowledged for this long is closed (TCP_USER_TIMEOUT, Linux only); 0 = 30 s
	Drain      time.Duration // how long Run waits for streams to end when its context does; 0 = 30 s

	Log *slog.Logger // nil = discard

	// Static after setup.
	once        sync.Once
	start       time.Time // tick 0
	loops       []*loop
	options     *h2.Config
	log         *slog.Logger
	http1       *http.Server
	inProcess   *inProcessListener // to http1
	requestBase context.Context    // of all requests
	cancelBase  context.CancelCauseFunc

	admission    admission
	counters     counters
	handlers     sync.WaitGroup // goroutines of requests
	arrivals     sync.WaitGroup // goroutines of handshakes and refusals
	accepting    sync.WaitGroup // goroutines of listeners
	handlersOpen atomic.Int64   // HTTP/2 requests in their handlers
	nextLoop     atomic.Uint32

	mu        sync.Mutex // serialises Serve, and HTTP/1.1 handlers, with the phases of Run
	listeners []*listener
	running   bool
	told      bool // Leave was called
	leaving   bool // no more listeners
	ended     bool // no more handlers
}

// setup fills in the defaults and makes the loops, which do not run yet.
func (e *Engine) setup() {
	e.once.Do(func() {
		e.Loops = orDefault(e.Loops, runtime.GOMAXPROCS(0))
		if e.Connections == 0 {
			e.Connections = 65536
			if n := descriptors(); n > 0 {
				e.Connections = n - n/10
			}
		}
		e.AddressShare = orDefault(e.AddressShare, 0.75)
		e.Handshakes = orDefault(e.Handshakes, 512)
		e.Streams = orDefault(e.Streams, 1000)
		e.Requests = orDefault(e.Requests, 16384)
		e.HeaderBytes = orDefault(e.HeaderBytes, 16<<10)
		e.BodyBytes = orDefault(e.BodyBytes, 128<<10)
		e.UnsentBytes = orDefault(e.UnsentBytes, 32<<10)
		e.Heartbeat = orDefault(e.Heartbeat, 15*time.Second)
		e.Stall = orDefault(e.Stall, 30*time.Second)
		e.Idle = orDefault(e.Idle, 3*time.Minute)
		e.Handshake = orDefault(e.Handshake, 10*time.Second)
		e.HeaderRead = orDefault(e.HeaderRead, 10*time.Second)
		e.Unacked = orDefault(e.Unacked, 30*time.Second)
		e.Drain = orDefault(e.Drain, 30*time.Second)
		e.log = orDefault(e.Log, slog.New(slog.DiscardHandler))

		e.start = time.Now()
		if e.Places == nil {
			e.Places = NewPlaces(e.Connections, e.AddressShare)
		}
		e.admission.init(e.Places, e.Handshakes, e.AddressShare)
		e.requestBase, e.cancelBase = context.WithCancelCause(context.Background())
		e.options = &h2.Config{
			MaxStreams:    uint32(e.Streams),
			MaxHeaderList: uint32(e.HeaderBytes),
			StreamWindow:  int32(e.BodyBytes),
			ConnWindow:    int32(4 * e.BodyBytes),
		}
		for i := range e.Loops {
			e.loops = append(e.loops, newLoop(e, i))
		}
		e.http1, e.inProcess = newHTTP1(e)
	})
}

func orDefault[T comparable](v, unset T) T {
	var zero T
	if v == zero {
		return unset
	}
	return v
}

// Serve adds a listener and returns; Run accepts from it and closes it. With secure, its connections
// speak TLS, and HTTP/2 if they ask for it by ALPN; without, HTTP/1.1, or HTTP/2 if they begin
// with its preface (RFC 9113 3.3).
func (e *Engine) Serve(l net.Listener, secure *tls.Config) {
	e.setup()
	if secure != nil {
		secure = secure.Clone()
		for _, p := range []string{"http/1.1", "h2"} {
			if !slices.Contains(secure.NextProtos, p) {
				secure.NextProtos = append([]string{p}, secure.NextProtos...)
			}
		}
		// A record holds one write, so that what is small goes out in one piece anyway.
		secure.DynamicRecordSizingDisabled = true
	}
	added := &listener{engine: e, net: l, secure: secure}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leaving {
		l.Close()
		return
	}
	e.listeners = append(e.listeners, added)
	if e.running {
		e.accept(added)
	}
}

// accept starts a listener's goroutine. e.mu is held.
func (e *Engine) accept(l *listener) {
	e.accepting.Go(l.run)
}

// Leave begins to drain while Run still serves: HTTP/2 peers are told to go (RFC 9113 6.8) and so open nothing new,
// HTTP/1.1 connections end with their answer, and what is open goes on. Who connects from now on is answered once and
// then told the same, so that a handler can say when to come back. It may be called more than once.
func (e *Engine) Leave() {
	e.setup()
	e.http1.SetKeepAlivesEnabled(false)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = true
	if e.running {
		e.tell(leaveLoop{})
	}
}

// tell gives every loop the task. Loops must be open.
func (e *Engine) tell(t task) {
	for _, l := range e.loops {
		l.push(t)
	}
}

// Run serves until ctx ends, and then drains: listeners are closed, HTTP/2 peers are told to
// go (RFC 9113 6.8), and what is open may end until Drain has passed. It returns
// when everything it started has ended.
func (e *Engine) Run(ctx context.Context) error {
	e.setup()
	for _, l := range e.loops {
		if err := l.open(); err != nil {
			for _, l := range e.loops {
				l.shut()
			}
			return fmt.Errorf("start event loop: %w", err)
		}
	}
	var loops sync.WaitGroup
	failed := make(chan error, len(e.loops))
	for _, l := range e.loops {
		loops.Go(func() {
			if err := l.work(); err != nil {
				failed <- fmt.Errorf("event loop %d: %w", l.id, err)
			}
		})
	}
	var http1 sync.WaitGroup
	http1.Go(func() { _ = e.http1.Serve(e.inProcess) })

	e.mu.Lock()
	e.running = true
	if e.told {
		e.tell(leaveLoop{})
	}
	for _, l := range e.listeners {
		e.accept(l)
	}
	e.mu.Unlock()

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}

	e.mu.Lock()
	e.leaving = true
	for _, l := range e.listeners {
		l.close()
	}
	e.mu.Unlock()
	e.accepting.Wait()
	e.drain()
	e.arrivals.Wait()
	e.tell(stopLoop{})
	loops.Wait()
	e.http1.Close()
	http1.Wait()
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.handlers.Wait()
	for _, l := range e.loops {
		l.shut()
	}
	return err
}

// drain lets everything end by itself until the time is over, and then ends it.
func (e *Engine) drain() {
	deadline, cancel := context.WithTimeout(context.Background(), e.Drain)
	defer cancel()
	e.tell(drainLoop{})
	_ = e.http1.Shutdown(deadline) // waits for its requests; Take has taken the streams away from it
	select {
	case <-e.admission.empty():
	case <-deadline.Done():
		e.admission.closeHandshakes()
	}
	e.cancelBase(ErrShutdown)
}

// pick is the loop for a new connection.
func (e *Engine) pick() *loop {
	first := int(e.nextLoop.Add(1))
	best := e.loops[first%len(e.loops)]
	for i := range e.loops {
		if l := e.loops[(first+i)%len(e.loops)]; l.stats.connections.Load() < best.stats.connections.Load() {
			best = l
		}
	}
	return best
}
