package h3

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// A socket writes to both families, as the one that it stands for does.
func TestSocket(t *testing.T) {
	for _, c := range []struct{ listen, to string }{
		{"127.0.0.1:0", "127.0.0.1:0"},
		{"[::1]:0", "[::1]:0"},
		{"[::]:0", "127.0.0.1:0"},
		{"[::]:0", "[::1]:0"},
	} {
		t.Run(c.listen+" to "+c.to, func(t *testing.T) {
			from, err := net.ListenPacket("udp", c.listen)
			if err != nil {
				t.Skip(err)
			}
			defer from.Close()
			to, err := net.ListenPacket("udp", c.to)
			if err != nil {
				t.Skip(err)
			}
			defer to.Close()
			s, ok := concurrent(from).(interface {
				WriteMsgUDP(p, oob []byte, addr *net.UDPAddr) (n, oobn int, err error)
			})
			if !ok {
				t.Fatalf("%T cannot send", concurrent(from))
			}
			for _, want := range []string{"one", "two"} {
				n, _, err := s.WriteMsgUDP([]byte(want), nil, to.LocalAddr().(*net.UDPAddr))
				if err != nil || n != len(want) {
					t.Fatalf("wrote %d, %v", n, err)
				}
				got := make([]byte, 10)
				n, _, err = to.ReadFrom(got)
				if err != nil || string(got[:n]) != want {
					t.Errorf("got %q, %v", got[:n], err)
				}
			}
			from.Close()
			if _, _, err := s.WriteMsgUDP([]byte("x"), nil, to.LocalAddr().(*net.UDPAddr)); err == nil {
				t.Error("a closed socket sends")
			}
		})
	}
}

// Advice is one line, and only where the buffers are too small.
func TestBufferAdvice(t *testing.T) {
	var out bytes.Buffer
	s := &Server{log: slog.New(slog.NewTextHandler(&out, nil))}
	c := listen(t, "127.0.0.1:0")
	defer c.Close()
	s.adviseBuffers(c)
	if n := strings.Count(out.String(), "\n"); n > 1 || n == 1 && !strings.Contains(out.String(), "net.core.rmem_max") {
		t.Errorf("%d lines: %s", n, out.String())
	}
}

func TestSecret(t *testing.T) {
	s := &Server{Secret: []byte("short"), TLS: nil}
	if err := s.Serve(listen(t, "127.0.0.1:0")); err == nil || !strings.Contains(err.Error(), "32") {
		t.Errorf("a short secret: %v", err)
	}
}
