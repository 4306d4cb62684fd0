package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
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

// TestLinkBusy: a side that is slow to take what came does not hold the peer's silence against it.
func TestLinkBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wa, wb := pipes()
		a, b := newLink("b", wa), newLink("a", wb)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		taken := make(chan struct{}, 1)
		go func() { ended <- a.run(ctx, func(agree.Message) {}) }()
		go func() {
			ended <- b.run(ctx, func(agree.Message) {
				time.Sleep(3 * silence)
				taken <- struct{}{}
			})
		}()
		a.send(agree.Ack{Topic: "t"})
		<-taken
		time.Sleep(time.Minute)
		select {
		case err := <-ended:
			t.Error(err)
			ended <- err
		default:
		}
		cancel()
		<-ended
		<-ended
	})
}

// TestLinkClosed: what is sent on a link that has ended is not kept.
func TestLinkClosed(t *testing.T) {
	wa, _ := pipes()
	l := newLink("b", wa)
	l.end(errSlow)
	l.send(agree.Ack{Topic: "t"})
	if len(l.pending) != 0 {
		t.Errorf("%d bytes wait for nobody", len(l.pending))
	}
}
