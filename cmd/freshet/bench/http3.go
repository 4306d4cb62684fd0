//go:build linux

package bench

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// An http3Client opens HTTP/3 connections from one socket. QUIC lives in user space: quic-go reads with goroutines of
// its own, and each stream needs one more here. What they count goes into the tally of a poller, under its guard.
type http3Client struct {
	packets   net.PacketConn
	transport *quic.Transport
	poller    *poller
	readers   sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns []*quic.Conn
}

func newHTTP3Client(p *poller) (*http3Client, error) {
	packets, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket: %w", err)
	}
	return &http3Client{packets: packets, transport: &quic.Transport{Conn: packets}, poller: p}, nil
}

// close ends its connections and waits for their readers.
func (c *http3Client) close() {
	c.mu.Lock()
	for _, conn := range c.conns {
		conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // the server must not wait for its idle timeout
	}
	c.mu.Unlock()
	c.transport.Close()
	c.packets.Close()
	c.readers.Wait()
}

// connect opens one connection with a stream for each path, which the subscriber of the same index reads.
func (c *http3Client) connect(t target, paths []string, subscribers []*subscriber, broken func(error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := c.transport.Dial(ctx, net.UDPAddrFromAddrPort(t.remote), t.secure, &quic.Config{
		MaxIdleTimeout:  time.Minute,
		KeepAlivePeriod: 20 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("QUIC handshake with %v: %w", t.remote, err)
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	requests := (&http3.Transport{DisableCompression: true}).NewClientConn(conn)
	for i, path := range paths {
		request, err := http.NewRequest(http.MethodGet, t.scheme+"://"+t.authority+path, nil)
		if err != nil {
			return err
		}
		request.Header.Set("Accept", "text/event-stream")
		if subscribers[i].packed != nil {
			request.Header.Set("Accept-Encoding", "gzip")
		}
		response, err := requests.RoundTrip(request)
		if err != nil {
			return fmt.Errorf("subscribe over HTTP/3: %w", err)
		}
		if response.StatusCode != http.StatusOK {
			response.Body.Close()
			return fmt.Errorf("the server answered %q", response.Status)
		}
		c.readers.Go(func() { c.read(response, subscribers[i], broken) })
	}
	return nil
}

// read takes what one stream brings until it ends.
func (c *http3Client) read(response *http.Response, s *subscriber, broken func(error)) {
	defer response.Body.Close()
	buffer := make([]byte, 4<<10)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			c.poller.guard.Lock()
			bad := s.receive(buffer[:n], time.Now().UnixNano(), &c.poller.tally)
			c.poller.guard.Unlock()
			err = cmp.Or(bad, err)
		}
		if err != nil {
			broken(err)
			return
		}
	}
}
