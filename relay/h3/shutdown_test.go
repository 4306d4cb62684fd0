package h3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// Streams that end by themselves make a short drain, whatever the clients do with the connection.
func TestDrain(t *testing.T) {
	p := serve(t, nil, nil)
	deaf, err := (&quic.Transport{Conn: listen(t, "127.0.0.1:0")}).Dial(context.Background(), p.addr, p.clientTLS(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.CloseWithError(0x100, "")
	c := p.dial(nil, nil)
	s := c.Subscribe()
	p.topic.Send("one")
	s.WantEvent("one")
	p.stop()
	within(t, "new connections are refused", func() bool {
		_, err := p.tryDial(nil, nil)
		var transport *quic.TransportError
		return errors.As(err, &transport) && transport.ErrorCode == quic.ConnectionRefused
	})
	within(t, "the client is told to go", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := c.do(ctx, http.MethodGet, "/", nil)
		return err != nil
	})
	p.topic.Send("two")
	p.topic.End()
	s.WantEvent("two")
	s.WantEnd()
	began := time.Now()
	p.Stop()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("Run went on for %v after the last stream", took)
	}
}

// Leave tells the clients to go while what is open goes on, refuses who comes, and leaves the socket
// open: that is closed when Run returns.
func TestLeave(t *testing.T) {
	p := serve(t, nil, nil)
	c, idle := p.dial(nil, nil), p.dial(nil, nil)
	s := c.Subscribe()
	p.Leave()
	within(t, "the client is told to go", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := c.do(ctx, http.MethodGet, "/", nil)
		return err != nil
	})
	select {
	case <-idle.conn.Context().Done():
	case <-time.After(patience):
		t.Error("a connection with nothing open is not closed")
	}
	for range 3 {
		p.topic.Send("on")
		s.WantEvent("on")
	}
	_, err := p.tryDial(nil, nil)
	var transport *quic.TransportError
	if !errors.As(err, &transport) || transport.ErrorCode != quic.ConnectionRefused {
		t.Errorf("dial: %v, want CONNECTION_REFUSED", err)
	}
	if n := p.Stats().RefusedLeaving; n == 0 {
		t.Error("the refusal is not counted")
	}
	p.topic.End()
	s.WantEnd()
	within(t, "the connection is closed", func() bool { return p.Stats().Connections == 0 })
	select {
	case <-p.ran:
		t.Error("Run returned before its context ended")
	default:
	}
	p.Stop()
	if packets, err := net.ListenPacket("udp", p.addr.String()); err != nil {
		t.Errorf("the socket is not closed: %v", err)
	} else {
		packets.Close()
	}
}

// What does not end by itself is ended when the time is up, also if the peer takes nothing.
func TestDrainTimeUp(t *testing.T) {
	hold := make(chan struct{})
	p := serve(t, nil, func(s *Server) {
		s.Drain = 200 * time.Millisecond
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(hold)
			<-r.Context().Done()
		})
	})
	c := p.dial(nil, &quic.Config{InitialStreamReceiveWindow: 2048, MaxStreamReceiveWindow: 2048})
	s := c.Subscribe()
	for range 10 {
		p.topic.Send("%s", strings.Repeat("x", 1000))
	}
	go c.do(context.Background(), http.MethodGet, "/hang", nil)
	<-hold
	within(t, "the stream waits for its window", func() bool { return p.Stats().Apart == 1 })
	p.Stop()
	if causes := p.topic.causes(); len(causes) != 1 || !errors.Is(causes[0], ErrShutdown) {
		t.Errorf("closed with %v, want ErrShutdown", causes)
	}
	if _, err := io.ReadAll(s.lines); err == nil {
		t.Error("the stream ended as if it were whole")
	}
	if n := p.Stats().Connections; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestStopBeforeAnybodyCame(t *testing.T) {
	p := serve(t, nil, nil)
	began := time.Now()
	p.Stop()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("took %v", took)
	}
}
