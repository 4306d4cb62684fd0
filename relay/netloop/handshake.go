package netloop

import (
	"context"
	"crypto/tls"
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

// sniff reads until the bytes are not HTTP/2's preface, or are all of it. They stay to be read.
func (c *conn) sniff() (h2 bool, err error) {
	const preface = http2.ClientPreface
	var first [len(preface)]byte
	have := 0
	for {
		n, err := c.net.Read(first[have:])
		have += n
		if have == len(preface) || string(first[:have]) != preface[:have] {
			c.prefix = append([]byte(nil), first[:have]...)
			return string(first[:have]) == preface, nil
		}
		if err != nil {
			return false, err
		}
	}
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
