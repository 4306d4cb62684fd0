package netloop

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"unsafe"
)

func TestSlim(t *testing.T) {
	if tlsBuffers.hand < 0 || tlsBuffers.raw < 0 {
		t.Fatal("tls.Conn has other fields than slim knows")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		a, b := net.Pipe()
		client := tls.Client(a, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
		server := tls.Server(b, testTLS())
		done := make(chan error, 1)
		go func() {
			if _, err := io.WriteString(client, "sent with the handshake"); err != nil {
				done <- err
				return
			}
			_, err := io.ReadFull(client, make([]byte, 100<<10))
			done <- err
		}()
		if err := server.Handshake(); err != nil {
			t.Fatal(err)
		}
		kept := func() (n int) {
			for _, offset := range []int{tlsBuffers.hand, tlsBuffers.raw} {
				n += (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(server), offset)).Cap()
			}
			return n
		}
		if version == tls.VersionTLS13 && kept() < 2<<10 {
			t.Errorf("a tls.Conn keeps only %d bytes: slim is of no use any more", kept())
		}
		slim(server)
		if kept() > 64 {
			t.Errorf("a slim tls.Conn keeps %d bytes", kept())
		}
		p := make([]byte, len("sent with the handshake"))
		if _, err := io.ReadFull(server, p); err != nil || string(p) != "sent with the handshake" {
			t.Errorf("read %q, %v", p, err)
		}
		if _, err := server.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		a.Close()
		b.Close()
	}
}
