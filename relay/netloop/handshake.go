package netloop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"golang.org/x/net/http2"
)

// arrive takes a new connection to where it belongs: HTTP/2 to a loop, HTTP/1.1 to net/http. It
// runs in a goroutine of its own and blocks.
func (c *conn) arrive(secure *tls.Config) {
	e := c.engine
	deadline := c.accepted.Add(e.Handshake)
	_ = c.net.SetDeadline(deadline)
	multiplexed, err := c.negotiate(secure, deadline)
	if err != nil {
		e.counters.failedHandshakes.Add(1)
		e.log.Debug("handshake failed", "remote", c.remote, "err", err)
		_ = c.Close()
		return
	}
	e.admission.endHandshake(c)
	_ = c.net.SetDeadline(time.Time{})
	if !multiplexed {
		if c.secure != nil {
			e.inProcess.deliver(c.secure)
		} else {
			e.inProcess.deliver(c)
		}
		return
	}
	// The client's preface is still to come; the loop waits for it no longer than Handshake.
	if err := c.handOver(e.pick()); err != nil {
		e.log.Warn("connection not handed over", "err", err)
		_ = c.Close()
		return
	}
	c.loop.push((*arrived)(c))
}

// negotiate finds out what the client speaks.
func (c *conn) negotiate(secure *tls.Config, deadline time.Time) (h2 bool, err error) {
	if secure == nil {
		return c.sniff()
	}
	c.secure = tls.Server(c, secure)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if err := c.secure.HandshakeContext(ctx); err != nil {
		return false, err
	}
	return c.secure.ConnectionState().NegotiatedProtocol == http2.NextProtoTLS, nil
}

var errNotHTTP = errors.New("netloop: neither HTTP/2's preface nor a request line of HTTP/1.1")

// sniff reads until the bytes are all of HTTP/2's preface, or a first line without it. They stay to be read. A line
// that names no version of HTTP is no request: it gets no answer, which would be HTTP/1.1 to somebody who may
// have tried to speak HTTP/2 (RFC 9113 3.4).
func (c *conn) sniff() (h2 bool, err error) {
	const preface = http2.ClientPreface
	first := make([]byte, 0, 512)
	for {
		n, err := c.net.Read(first[len(first):cap(first)])
		first = first[:len(first)+n]
		if len(first) >= len(preface) && string(first[:len(preface)]) == preface {
			c.prefix = first
			return true, nil
		}
		if string(first) != preface[:min(len(first), len(preface))] {
			if done, err := firstLine(first, c.engine.HeaderBytes); done {
				c.prefix = first
				return false, err
			}
		}
		if err != nil {
			return false, err
		}
		if len(first) == cap(first) {
			first = slices.Grow(first, cap(first))
		}
	}
}

// firstLine reports whether what has come has the first line, or is more than a line may be, which net/http has an
// answer to.
func firstLine(come []byte, most int) (done bool, err error) {
	line, _, whole := bytes.Cut(come, []byte("\n"))
	switch {
	case !whole:
		return len(come) > most, nil
	case len(bytes.TrimRight(line, "\r")) > 0 && !bytes.Contains(line, []byte(" HTTP/")):
		return true, errNotHTTP
	}
	return true, nil
}

// interrupt makes arrive fail. The caller holds admission.mu, and c is in its list: so c.net is still the
// connection's.
func (c *conn) interrupt() { c.net.Close() }

// handOver moves the connection to a loop: from now on only that reads, writes and closes it.
func (c *conn) handOver(l *loop) error {
	s, err := l.poll.adopt(c.net, c)
	if err != nil {
		return err
	}
	if c.secure != nil {
		slim(c.secure)
	}
	c.loop, c.socket = l, s
	c.net = nil
	return nil
}
