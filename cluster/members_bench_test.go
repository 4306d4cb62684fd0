package cluster

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet/cluster/faultnet"
)

// BenchmarkMembers200 is gossip alone, without links, of 200 relays in one process on a network in memory, in virtual time:
// the time until all know all, what each sends a second once they do, and the time until all others know that one has died.
func BenchmarkMembers200(b *testing.B) { benchMembers(b, 200) }

func benchMembers(b *testing.B, n int) {
	for range b.N {
		// A bubble is entered from a test, and this is the way to one from a benchmark.
		test := testing.InternalTest{Name: b.Name(), F: func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { gossipOf(t, n, b.ReportMetric) })
		}}
		if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{test}) {
			b.Fatal("see above")
		}
	}
}

func gossipOf(t *testing.T, n int, report func(float64, string)) {
	network := faultnet.New()
	for i := range n {
		network.Host(fmt.Sprint("r", i))
	}
	network.Delay(nil, nil, 10*time.Millisecond, 20*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var all []*Members
	seed := network.Host("r0").Addr().String() + ":7946"
	began := time.Now()
	for i := range n {
		name := fmt.Sprint("r", i)
		m := &Members{
			Name: name, Cluster: "bench", Gossip: ":7946", Join: []string{seed}, Keys: [][]byte{bytes.Repeat([]byte{7}, 32)},
			Region: "eu-west", Protocol: Protocol, Network: network.Host(name),
		}
		if err := m.start(network.Host(name).Addr().String() + ":7947"); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
		running.Go(func() { m.run(ctx) })
	}
	until := func(what string, of []*Members, count int) float64 {
		for ; ; time.Sleep(50 * time.Millisecond) {
			if i := slices.IndexFunc(of, func(m *Members) bool { return len(m.Alive()) != count }); i < 0 {
				return time.Since(began).Seconds()
			} else if time.Since(began) > time.Minute {
				t.Fatalf("%s: %s sees %d members of %d", what, of[i].Name, len(of[i].Alive()), count)
			}
		}
	}
	report(until("join", all, n), "s/converge")

	time.Sleep(10 * time.Second) // rumours of the joins die out
	was := network.Total()
	const watch = 20 * time.Second
	time.Sleep(watch)
	now, per := network.Total(), watch.Seconds()*float64(n)
	report(float64(now.PacketBytes-was.PacketBytes)/per, "packet-B/relay/s")
	report(float64(now.StreamBytes-was.StreamBytes)/per, "stream-B/relay/s")
	report(float64(now.Packets-was.Packets)/per, "packets/relay/s")

	began = time.Now()
	network.Kill("r1")
	report(until("death", append(all[:1:1], all[2:]...), n-1), "s/death-known")
	network.Partition(nil, nil) // or as many good-byes
	cancel()
	running.Wait()
	time.Sleep(time.Minute) // memberlist does not wait for its last probe
}
