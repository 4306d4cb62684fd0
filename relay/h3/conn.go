package h3

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// A conn is one QUIC connection, from the packet that began it.
type conn struct {
	// Static after open.
	server *Server
	loop   *loop
	quic   *quic.Conn
	source netip.Addr // what it is counted under, once the handshake has proved it

	busy  atomic.Int32 // requests in their handlers, and streams in the loop
	empty atomic.Int64 // since when busy is 0, in nanoseconds since server.start

	// entered is closed when http3 has taken the connection on, or never will.
	entered   chan struct{}
	enterOnce sync.Once

	// Guarded by server.admission.mu.
	handshaking bool
	admitted    bool // source is claimed
	gone        bool

	// Owned by the loop.
	marked     *stream // due, the first of a list
	lastMarked *stream
	dirtier    *conn // in loop.dirty
	queued     bool  // there

	departures departures
}

// connKey is where a context has its *conn.
type connKey struct{}

// open serves a connection whose handshake has begun.
func (s *Server) open(q *quic.Conn) {
	c := q.Context().Value(connKey{}).(*conn)
	c.quic = q
	c.loop = s.pick()
	c.empty.Store(int64(time.Since(s.start)))
	if !s.admission.opened(c) {
		c.close(http3.ErrCodeNoError, "shutting down")
		return
	}
	c.loop.conns.Add(1)
	s.serving.Go(func() {
		defer c.loop.conns.Add(-1)
		defer c.enter()
		if !q.ConnectionState().Used0RTT {
			if !c.settle() {
				return
			}
		} else {
			s.serving.Go(func() { c.settle() })
		}
		// It returns when the connection has been closed and all handlers have returned.
		_ = s.http3.ServeQUICConn(q)
		if q.Context().Err() == nil { // the server is shutting down
			c.close(http3.ErrCodeNoError, "shutting down")
		}
	})
}

// pick is the loop for a new connection.
func (s *Server) pick() *loop {
	best := s.loops[0]
	for _, l := range s.loops[1:] {
		if l.conns.Load() < best.conns.Load() {
			best = l
		}
	}
	return best
}

// settle waits for the end of the handshake and reports whether the connection may stay. Only now it
// is known that the peer is where its packets said they are from.
func (c *conn) settle() bool {
	select {
	case <-c.quic.HandshakeComplete():
	case <-c.quic.Context().Done():
		return false
	}
	if !c.server.admission.admit(c) {
		c.close(http3.ErrCodeExcessiveLoad, "too many connections from this address")
		return false
	}
	return true
}

func (c *conn) close(code http3.ErrCode, why string) {
	_ = c.quic.CloseWithError(quic.ApplicationErrorCode(code), why)
}

// enterHTTP is called by http3 when it has counted the connection.
func enterHTTP(ctx context.Context, _ *quic.Conn) context.Context {
	ctx.Value(connKey{}).(*conn).enter()
	return ctx
}

func (c *conn) enter() { c.enterOnce.Do(func() { close(c.entered) }) }

// rest ends what busy.Add(1) began.
func (c *conn) rest() {
	if c.busy.Add(-1) == 0 {
		c.empty.Store(int64(time.Since(c.server.start)))
	}
}

// left is told when the peer ended a stream early.
func (c *conn) left() {
	if c.quic.Context().Err() == nil && !c.departures.allow(time.Since(c.server.start), c.server.Departures) {
		c.server.stats.refused[refusedDepartures].Add(1)
		c.close(http3.ErrCodeExcessiveLoad, "too many streams ended early")
	}
}

// departures is how many streams the peer may still end early: a bucket that fills up again.
type departures struct {
	mu    sync.Mutex
	taken float64
	at    time.Duration
}

func (d *departures) allow(now time.Duration, most int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken = max(0, d.taken-(now-d.at).Seconds()*float64(most)/10)
	d.at = now
	d.taken++
	return d.taken <= float64(most)
}

// sweep closes connections on which nothing is asked for any more.
func (s *Server) sweep(ctx context.Context) {
	for {
		every := s.Idle / 4
		hurry := s.admission.inHurry()
		if hurry {
			every = 50 * time.Millisecond
		}
		timer := time.NewTimer(every)
		select {
		case <-timer.C:
		case <-s.admission.hurried():
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
		s.sweepOnce(hurry)
	}
}

func (s *Server) sweepOnce(hurry bool) {
	now := time.Since(s.start)
	for _, c := range s.admission.open() {
		if c.busy.Load() > 0 {
			continue
		}
		patience := s.Idle
		if hurry {
			// What was written last must have arrived, and maybe be sent again: there is no
			// notice of that.
			patience = min(max(50*time.Millisecond, 4*c.quic.ConnectionStats().SmoothedRTT), time.Second)
		}
		if now-time.Duration(c.empty.Load()) >= patience {
			c.close(http3.ErrCodeNoError, "idle")
		}
	}
}
