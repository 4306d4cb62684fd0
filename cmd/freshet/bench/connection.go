//go:build linux

package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// A connection is a socket, TLS where asked for, and the protocol above it. Owned by one poller.
type connection struct {
	socket   *socket
	stream   io.ReadWriter // the socket, or TLS over it
	protocol protocol
	closed   bool
}

// A protocol is the client's side of a connection without I/O: bytes in, bytes out.
type protocol interface {
	// appendRequests appends what is to be sent first.
	appendRequests(dst []byte) []byte
	// receive takes the next bytes of the server, which arrived at unix time now (nanoseconds), and returns the
	// answer. An error ends the connection.
	receive(p []byte, now int64, t *tally) (reply []byte, err error)
}

// errWouldBlock tells that a socket has nothing to read now. A net.Error that is Temporary leaves a tls.Conn usable.
type errWouldBlock struct{}

func (errWouldBlock) Error() string   { return "nothing to read now" }
func (errWouldBlock) Timeout() bool   { return true }
func (errWouldBlock) Temporary() bool { return true }

var errClosed = errors.New("the server closed the connection")

// dial connects, does the handshake where secure is given, and sends the requests.
func dial(local netip.Addr, remote netip.AddrPort, secure *tls.Config, p protocol) (*connection, error) {
	s, err := dialSocket(local, remote)
	if err != nil {
		return nil, err
	}
	c := &connection{socket: s, stream: s, protocol: p}
	if secure != nil {
		conn := tls.Client(s, secure)
		if err := conn.Handshake(); err != nil {
			s.Close()
			return nil, fmt.Errorf("TLS handshake with %v: %w", remote, err)
		}
		// A server that knows only HTTP/1.1 may pass ALPN over in silence.
		if got, want := conn.ConnectionState().NegotiatedProtocol, secure.NextProtos[0]; got != want && (got != "" || want != "http/1.1") {
			s.Close()
			return nil, fmt.Errorf("%v speaks %q over TLS, not %q", remote, got, want)
		}
		c.stream = conn
	}
	if _, err := c.stream.Write(p.appendRequests(nil)); err != nil {
		s.Close()
		return nil, fmt.Errorf("send the requests: %w", err)
	}
	if err := s.unblock(); err != nil {
		s.Close()
		return nil, err
	}
	return c, nil
}

// maxReads bounds how long one connection may keep its poller.
const maxReads = 64

// read takes what the socket has. crypto/tls may hold decrypted bytes that epoll does not know of, so it reads on
// until nothing is left.
func (c *connection) read(buffer []byte, t *tally) error {
	if c.closed {
		return nil
	}
	_, plain := c.stream.(*socket)
	for i := 0; ; i++ {
		n, err := c.stream.Read(buffer)
		if n > 0 {
			reply, failed := c.protocol.receive(buffer[:n], time.Now().UnixNano(), t)
			if len(reply) > 0 {
				if _, err := c.stream.Write(reply); err != nil {
					return err
				}
			}
			if failed != nil {
				return failed
			}
		}
		var none errWouldBlock
		switch {
		case errors.As(err, &none):
			return nil
		case err != nil:
			return err
		case plain && (n < len(buffer) || i > maxReads):
			return nil
		}
	}
}

func (c *connection) close() {
	if !c.closed {
		c.closed = true
		c.socket.Close()
	}
}
