package faultnet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// transports opens two, and gives the address of the second.
func transports(t *testing.T, n *Network) (a, b memberlist.Transport, address string) {
	t.Helper()
	open := func(name string) memberlist.Transport {
		g, err := n.Host(name).Gossip(":7946")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { g.Shutdown() })
		return g
	}
	return open("a"), open("b"), n.Host("b").Addr().String() + ":7946"
}

// arrived counts the packets that are there.
func arrived(g memberlist.Transport) (n int) {
	synctest.Wait()
	for {
		select {
		case <-g.PacketCh():
			n++
		default:
			return n
		}
	}
}

func TestPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b, address := transports(t, n)
		send := func(count int) {
			t.Helper()
			for range count {
				if _, err := a.WriteTo([]byte("ping"), address); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := func(what string, count int) {
			t.Helper()
			if got := arrived(b); got != count {
				t.Errorf("%s: %d packets arrived, want %d", what, got, count)
			}
		}
		send(3)
		want("no fault", 3)
		n.Cut([]string{"a"}, []string{"b"})
		send(3)
		want("cut", 0)
		n.Heal()
		want("healed", 0)
		n.Drop([]string{"a"}, nil, 0.5)
		send(400)
		if got := arrived(b); got < 100 || got > 300 {
			t.Errorf("of 400 packets %d survive where half are dropped", got)
		}
		n.Drop([]string{"a"}, nil, 0)
		n.Delay(nil, nil, time.Second, 0)
		send(2)
		want("too early", 0)
		time.Sleep(time.Second)
		want("a second later", 2)
		n.Delay(nil, nil, 0, 0)
		n.Pause("b")
		send(packetBuffer + 10)
		want("paused", 0)
		n.Resume("b")
		want("resumed", packetBuffer)
		if s := n.Stats("a", "b"); s.Lost < 13 || s.Held == 0 || s.Packets < 5+packetBuffer || s.PacketBytes != 4*s.Packets {
			t.Errorf("%+v", s)
		}
	})
}

func TestGossipStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b, address := transports(t, n)
		c, err := a.DialTimeout(address, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		far := <-b.StreamCh()
		n.Pause("a")
		write(t, c, "hello")
		wantRead(t, far, 10*time.Second, "")
		n.Resume("a")
		wantRead(t, far, time.Second, "hello")
		n.Partition([]string{"a"}, []string{"b"})
		if _, err := a.DialTimeout(address, time.Second); err == nil {
			t.Error("a stream crosses a partition")
		}
	})
}
