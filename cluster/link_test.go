package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"freshet/cluster/agree"
)

// pipe is a wire between two links.
func pipes() (wire, wire) {
	a, b := net.Pipe()
	make := func(c net.Conn) wire {
		return wire{Reader: c, Writer: c, flush: func() error { return nil }, close: func() { c.Close() }}
	}
	return make(a), make(b)
}

func TestLinkCarries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wa, wb := pipes()
		a, b := newLink("b", wa), newLink("a", wb)
		var got []agree.Message
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- a.run(ctx, func(agree.Message) {}) }()
		go func() { ended <- b.run(ctx, func(m agree.Message) { got = append(got, m) }) }()
		var want []agree.Message
		for i := range 100 {
			m := agree.Ack{Topic: "t", Epoch: uint64(i), Mark: uint64(i * i)}
			want = append(want, m)
			a.send(m)
		}
		big := agree.Entries{Topic: "t", Entries: []agree.Entry{{Key: "k", Body: bytes.Repeat([]byte("x"), 1<<20)}}}
		want = append(want, big)
		a.send(big)
		time.Sleep(time.Minute) // pings keep it alive
		synctest.Wait()
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(bytes.Equal)); d != "" {
			t.Error(d)
		}
		if a.closed != nil || b.closed != nil {
			t.Errorf("ended: %v, %v", a.closed, b.closed)
		}
		cancel()
		<-ended
		<-ended
	})
}

// TestLinkSilence: a peer that takes everything and says nothing is dead after a second.
func TestLinkSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wa, wb := pipes()
		go io.Copy(io.Discard, wb)
		began := time.Now()
		err := newLink("b", wa).run(t.Context(), func(agree.Message) {})
		if lasted := time.Since(began); !errors.Is(err, errSilent) || lasted < silence || lasted > silence+2*pingEvery {
			t.Errorf("ended after %v: %v", lasted, err)
		}
	})
}

// TestLinkSlow: a peer that takes nothing costs a bounded buffer; one that is only slow gets all it must have.
func TestLinkSlow(t *testing.T) {
	for _, takes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			wa, wb := pipes()
			l := newLink("b", wa)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- l.run(ctx, func(agree.Message) {}) }()
			var peer sync.WaitGroup
			peer.Go(func() { // it lives
				for {
					if _, err := wb.Write(appendClock(nil, 1)); err != nil {
						return
					}
					time.Sleep(pingEvery)
				}
			})
			if takes {
				peer.Go(func() {
					for {
						if _, err := io.CopyN(io.Discard, wb, 1<<20); err != nil {
							return
						}
						time.Sleep(silence / 2)
					}
				})
			}
			m := agree.Entries{Topic: "t", Entries: []agree.Entry{{Body: make([]byte, 1<<20)}}}
			for range 2*maxPending>>20 + 8 {
				l.send(m)
			}
			time.Sleep(2 * silence)
			l.send(m)
			if takes {
				time.Sleep(5 * silence)
				cancel()
			}
			if err := <-ended; errors.Is(err, errSlow) == takes {
				t.Errorf("takes: %t; ended: %v", takes, err)
			}
			cancel()
			wb.close()
			peer.Wait()
		})
	}
}

func FuzzLinkRead(f *testing.F) {
	wa, wb := pipes()
	_ = wb
	l := newLink("b", wa)
	l.send(agree.Reset{Topic: "t"})
	f.Add(l.pending)
	f.Add(appendClock(nil, 12345))
	f.Add(appendClock(nil, -12345))
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		l := newLink("b", wire{Reader: bytes.NewReader(b), Writer: io.Discard})
		if err := l.read(func(agree.Message) {}); err == nil {
			t.Error("a stream that ends is no error")
		}
	})
}

// handshake runs TLS between two identities and says how both sides ended.
func handshake(t *testing.T, client, server *linkIdentity, peer string) (error, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a pipe has no buffer: both sides would wait with an alert each
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	served := make(chan error, 1)
	go func() {
		s := tls.Server(b, server.server())
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		b.Close()
		served <- err
	}()
	c := tls.Client(a, client.client(peer))
	err = c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // a server's refusal of the client's certificate comes after its handshake
	}
	a.Close()
	return err, <-served
}

func TestDerivedIdentity(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	identity := func(name string, keys ...[]byte) *linkIdentity {
		id, err := deriveIdentity(name, keys)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	a, _, err := deriveAuthority(key(1))
	if err != nil {
		t.Fatal(err)
	}
	if b, _, _ := deriveAuthority(key(1)); !bytes.Equal(a.Raw, b.Raw) {
		t.Error("one key, two authorities")
	}
	for _, c := range []struct {
		what           string
		client, server *linkIdentity
		peer           string
		ok             bool
	}{
		{"one key", identity("a", key(1)), identity("b", key(1)), "b", true},
		{"another name", identity("a", key(1)), identity("b", key(1)), "c", false},
		{"another key", identity("a", key(1)), identity("b", key(2)), "b", false},
		{"rotation, the new one dials", identity("a", key(2), key(1)), identity("b", key(1), key(2)), "b", true},
		{"rotation, half way", identity("a", key(2), key(1)), identity("b", key(1)), "b", false},
	} {
		cerr, serr := handshake(t, c.client, c.server, c.peer)
		if ok := cerr == nil && serr == nil; ok != c.ok {
			t.Errorf("%s: client %v, server %v", c.what, cerr, serr)
		}
	}
}

func TestMetadata(t *testing.T) {
	d := metadata{protocol: 1, role: agree.Hub, state: agree.Draining, region: "eu-west", link: "10.0.0.1:7947"}
	b := d.append(nil)
	got, err := parseMetadata(append(b, "of a later version"...))
	if err != nil || got != d {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(b) {
		if got, err := parseMetadata(b[:n]); err == nil {
			t.Errorf("%d of %d bytes read as %+v", n, len(b), got)
		}
	}
	d.region = strings.Repeat("x", 600)
	if d.check() == nil {
		t.Error("600 bytes fit in 512")
	}
	open := metadata{link: "[::]:7947"}.member("a", net.IPv4(10, 1, 2, 3))
	if open.Link != "10.1.2.3:7947" {
		t.Errorf("an unspecified host becomes %q", open.Link)
	}
}

func TestAddressBook(t *testing.T) {
	b := newAddressBook()
	now := time.Now()
	b.now = func() time.Time { return now }
	b.met("old:1")
	now = now.Add(23 * time.Hour)
	b.met("new:1")
	if n := len(b.recent()); n != 2 {
		t.Errorf("%d addresses after 23 h", n)
	}
	now = now.Add(2 * time.Hour)
	if list := b.recent(); len(list) != 1 || list[0] != "new:1" {
		t.Errorf("after 25 h: %v", list)
	}
}
