package netloop

import (
	"container/list"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"time"

	"freshet/relay/h2"
)

// A conn is one connection. It is born blocking, as the net.Conn below a tls.Conn and below
// net/http; after handOver it belongs to a loop and never blocks.
type conn struct {
	// Static after construction.
	engine   *Engine
	listener net.Addr
	remote   net.Addr
	source   netip.Addr // what admission counts it under
	accepted time.Time
	secure   *tls.Conn // over this conn; nil = plain; set by the handshake

	// Owned by whoever serves the connection: handshake, net/http, then nobody.
	net    net.Conn // nil after handOver
	prefix []byte   // read by sniff, to be read again

	// Guarded by admission.mu.
	pending *list.Element // its place among the handshakes
	left    bool

	// Owned by the loop, from handOver on.
	loop     *loop
	socket   socket
	http2    *h2.Conn // nil = HTTP/1.1
	only     *stream  // of HTTP/1.1
	unsent   []byte   // what the socket did not take; while there is any, no Body is asked for more
	progress tick     // when it last took something; of use while there is unsent
	since    tick     // when the phase began; while open, when the last stream or request ended
	seats    seats    // where the streams of fanouts sit
	marked   *seat    // seats with streams to be served, a circle of which this is the last
	waiting  *stream  // streams to be served each for itself, a circle of which this is the last
	streams  int32    // open ones
	handlers int32    // requests in their handlers, also of streams that are gone
	arrived  int32    // bytes: of HTTP/1.1 after the request, of HTTP/2 while partial, since begun
	alarm    alarm
	phase    phase
	queued   queued
	gathered bool // what the tls.Conn writes goes into loop.wire, to be written at once
	partial  bool // the last read ended within a header or a frame; at begun none had
	begun    tick
	finSent  bool   // by closing
	hurried  bool   // by leaving: Shutdown was called again
	asked    bool   // there was a request
	place    int    // in loop.conns
	number   uint32 // of its loop's connections, in the order of their coming
	cause    error  // why it was closed
}

// phase is how far a connection's life is.
type phase uint8

const (
	opening phase = iota // its preface is still to come
	open
	leaving // no new streams; it closes when none is left
	closing // what is unsent goes out and FIN; then the peer's FIN is waited for
	closed
)

// queued is which of its loop's queues a connection stands in.
type queued uint8

const (
	toRead queued = 1 << iota
	toServe
	toServeMore
)

func newConn(e *Engine, listener net.Addr, nc net.Conn) *conn {
	c := &conn{engine: e, listener: listener, net: nc, remote: nc.RemoteAddr(), accepted: time.Now()}
	c.source = SourceOf(c.remote)
	c.alarm.conn = c
	return c
}

// Read is the transport's. After handOver it returns errWouldBlock rather than block.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(p, c.prefix)
		if c.prefix = c.prefix[n:]; len(c.prefix) == 0 {
			c.prefix = nil
		}
		return n, nil
	}
	if c.net != nil {
		return c.net.Read(p)
	}
	if c.socket == nil {
		return 0, net.ErrClosed
	}
	n, err := c.socket.read(p)
	c.loop.count.read += uint64(n)
	return n, err
}

// Write is the transport's. After handOver it takes everything: tls.Conn does not survive an
// error. What the socket does not take is kept in unsent.
func (c *conn) Write(p []byte) (int, error) {
	switch {
	case c.net != nil:
		return c.net.Write(p)
	case c.socket == nil:
		return 0, net.ErrClosed
	case c.gathered:
		c.loop.wire = append(c.loop.wire, p...)
	default:
		return len(p), c.put(p)
	}
	return len(p), nil
}

// Close is called by net/http and by a handshake that failed.
func (c *conn) Close() error {
	if c.net == nil {
		return nil
	}
	err := c.net.Close()
	c.engine.admission.leave(c)
	return err
}

// LocalAddr is the listener's once a loop owns the connection, which has no use for its own.
func (c *conn) LocalAddr() net.Addr {
	if c.net == nil {
		return c.listener
	}
	return c.net.LocalAddr()
}

func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	if c.net == nil {
		return nil
	}
	return c.net.SetDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	if c.net == nil {
		return nil
	}
	return c.net.SetReadDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.net == nil {
		return nil
	}
	return c.net.SetWriteDeadline(t)
}

// CloseWrite is for net/http, which ends a connection so before it closes it.
func (c *conn) CloseWrite() error {
	if half, ok := c.net.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// transport is what requests and responses are read from and written to.
func (c *conn) transport() io.ReadWriter {
	if c.secure != nil {
		return c.secure
	}
	return c
}
