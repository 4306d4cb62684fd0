package netloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// Both kinds of sockets behave alike, as far as a loop can see.
func TestSockets(t *testing.T) {
	for _, portable := range []bool{false, true} {
		e := &Engine{Handler: empty, Loops: 1, Portable: portable}
		e.setup()
		l := e.loops[0]
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		client, server := tcpPair(t)
		c := newConn(e, inProcess{}, server)
		if err := c.handOver(l); err != nil {
			t.Fatal(err)
		}
		if err := l.poll.watch(c); err != nil {
			t.Fatal(err)
		}
		s := c.socket
		buf := make([]byte, 4)

		// until turns the poller until it has said that the socket is readable, or writable.
		until := func(readable bool) {
			t.Helper()
			for deadline := time.Now().Add(10 * time.Second); ; {
				if !l.inbox.rest() {
					for _, task := range l.inbox.take() {
						switch task.(type) {
						case *becameReadable:
							if readable {
								return
							}
						case *becameWritable:
							if !readable {
								return
							}
						}
					}
					continue
				}
				c.queued, c.unsent = 0, nil
				if !readable {
					// note flushes what is unsent.
					c.unsent = []byte("x")
				}
				if err := l.poll.wait(100 * time.Millisecond); err != nil {
					t.Fatal(err)
				}
				l.inbox.rise()
				if readable && c.queued&toRead != 0 || !readable && !portable && len(c.unsent) == 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("the poller says nothing")
				}
			}
		}

		if _, err := s.read(buf); err != errWouldBlock {
			t.Errorf("read %v, want errWouldBlock", err)
		}
		if _, err := io.WriteString(client, "hello!"); err != nil {
			t.Fatal(err)
		}
		until(true)
		var got []byte
		for len(got) < 6 {
			n, err := s.read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				t.Fatalf("%q and %v", got, err)
			}
		}
		if string(got) != "hello!" {
			t.Errorf("read %q", got)
		}
		if _, err := s.read(buf); err != errWouldBlock {
			t.Errorf("read %v, want errWouldBlock", err)
		}

		// Fill it up, empty it, and it says so.
		block, sent := bytes.Repeat([]byte("y"), 100<<10), 0
		for {
			n, err := s.write(block)
			sent += n
			if err == errWouldBlock {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(client, make([]byte, sent)); err != nil {
			t.Fatal(err)
		}
		until(false)
		if err := s.closeWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, client); err != nil {
			t.Errorf("after FIN: %v", err)
		}
		client.Close()
		until(true)
		if _, err := s.read(buf); !errors.Is(err, io.EOF) {
			t.Errorf("read %v, want EOF", err)
		}
		l.poll.forget(c)
		if err := s.close(); err != nil {
			t.Error(err)
		}
		l.poll.close()
	}
}

// Bytes and FIN may be one event; a short read must not hide the end.
func TestSocketSeesTheEnd(t *testing.T) {
	for _, portable := range []bool{false, true} {
		e := &Engine{Handler: empty, Loops: 1, Portable: portable}
		e.setup()
		l := e.loops[0]
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		client, server := tcpPair(t)
		if _, err := io.WriteString(client, "last"); err != nil {
			t.Fatal(err)
		}
		client.Close()
		c := newConn(e, inProcess{}, server)
		if err := c.handOver(l); err != nil {
			t.Fatal(err)
		}
		if err := l.poll.watch(c); err != nil {
			t.Fatal(err)
		}
		got := ""
		wait(t, "the end", func() bool {
			l.inbox.take()
			if err := l.poll.wait(time.Millisecond); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			for {
				n, err := c.socket.read(buf)
				got += string(buf[:n])
				if err != nil {
					return err == io.EOF
				}
			}
		})
		if got != "last" {
			t.Errorf("read %q", got)
		}
		l.poll.forget(c)
		c.socket.close()
		l.poll.close()
	}
}

func tcpPair(t *testing.T) (client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// wake ends the wait that is in progress, and the one to come; a time ends it too.
func TestPollersWake(t *testing.T) {
	for _, portable := range []bool{false, true} {
		l := newLoop(&Engine{start: time.Now()}, 0)
		p, err := newPoller(l, portable)
		if err != nil {
			t.Fatal(err)
		}
		woken := make(chan struct{})
		for i := range 1000 {
			go func() {
				p.wake()
				woken <- struct{}{}
			}()
			if err := p.wait(-1); err != nil {
				t.Fatal(err)
			}
			<-woken
			if i%10 == 0 { // what wake has left behind must not make it spin, nor sleep for ever
				for range 3 {
					if err := p.wait(time.Millisecond); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				if err := p.wait(5 * time.Millisecond); err != nil || time.Since(start) < 4*time.Millisecond {
					t.Fatalf("waited %v, %v", time.Since(start), err)
				}
			}
		}
		p.close()
	}
}
