package faultnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

// connect gives both ends of a connection from a to b.
func connect(t *testing.T, n *Network) (near, far net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if near, err = n.Host("a").Dial(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// TestConn: without faults a connection is one by the standard library's own measure.
func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = connect(t, New())
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// wantRead reads exactly text, within a time; an empty text means that nothing comes.
func wantRead(t *testing.T, c net.Conn, within time.Duration, text string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(within))
	defer c.SetReadDeadline(time.Time{})
	b := make([]byte, max(len(text), 1))
	n, err := io.ReadFull(c, b)
	if got := string(b[:n]); got != text || (err != nil) != (text == "") {
		t.Errorf("read %q (%v), want %q", got, err, text)
	}
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := connect(t, n)
		n.Cut([]string{"a"}, []string{"b"})
		write(t, a, "held")
		write(t, b, "back")
		wantRead(t, b, time.Hour, "")
		wantRead(t, a, 0, "")
		wantRead(t, a, time.Second, "back") // one way only
		if s := n.Stats("a", "b"); s.Held == 0 || s.StreamBytes != 4 {
			t.Errorf("the cut does not show: %+v", s)
		}
		a.Close()
		wantRead(t, b, time.Hour, "")
		n.Heal()
		wantRead(t, b, time.Second, "held")
		if _, err := b.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestCutStops the other way too, once a window is full of what is not acknowledged.
func TestCutStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := connect(t, n)
		go io.Copy(io.Discard, b)
		n.Cut([]string{"b"}, []string{"a"}) // a's bytes arrive, b's acknowledgements do not
		a.SetWriteDeadline(time.Now().Add(time.Minute))
		if sent, err := a.Write(make([]byte, 2*window)); sent != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d bytes without an acknowledgement: %v", sent, err)
		}
		n.Heal()
		a.SetWriteDeadline(time.Now().Add(time.Minute))
		if sent, err := a.Write(make([]byte, 2*window)); err != nil {
			t.Errorf("after the heal: %d, %v", sent, err)
		}
		a.Close()
		b.Close()
	})
}

func TestDialIntoCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l, err := n.Host("b").Listen(t.Context(), "tcp", ":7947")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		n.Host("a")
		n.Partition([]string{"a"}, []string{"b"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host("a").Dial(ctx, "tcp", "b:7947"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("into a cut: %v", err)
		}
		time.AfterFunc(time.Minute, n.Heal)
		if c, err := n.Host("a").Dial(t.Context(), "tcp", "b:7947"); err != nil {
			t.Errorf("over a heal: %v", err)
		} else {
			c.Close()
		}
		if _, err := n.Host("a").Dial(t.Context(), "tcp", "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		if _, err := n.Host("b").Listen(t.Context(), "tcp", ":7947"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listened twice: %v", err)
		}
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := connect(t, n)
		n.Delay([]string{"a"}, []string{"b"}, 80*time.Millisecond, 40*time.Millisecond)
		began := time.Now()
		for range 50 {
			write(t, a, "x")
		}
		wantRead(t, b, time.Second, string(bytes.Repeat([]byte("x"), 50)))
		if took := time.Since(began); took < 80*time.Millisecond || took > 120*time.Millisecond {
			t.Errorf("50 bytes took %v", took)
		}
		a.Close()
		b.Close()
	})
}

func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := connect(t, n)
		address := b.LocalAddr().String()
		n.Kill("b")
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read from a dead host: %v", err)
		}
		if _, err := a.Write([]byte("x")); err == nil {
			t.Error("wrote to a dead host")
		}
		if _, err := n.Host("a").Dial(t.Context(), "tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialed a dead host: %v", err)
		}
		again := n.Host("b")
		if again.Addr().String() == "" || again.Addr() != n.Host("b").Addr() {
			t.Error("a host that comes back has another address")
		}
		l, err := again.Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := n.Host("a").Dial(t.Context(), "tcp", address); err != nil {
			t.Error(err)
		}
	})
}
