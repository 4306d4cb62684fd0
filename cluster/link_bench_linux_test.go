package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"freshet/cluster/agree"
)

// processTime is what this process has used of the CPUs.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLink carries events over a link as it is, HTTP/2 and TLS on loopback, so many at a time, compressed and not.
// Bytes are the link's, below them are TLS's and TCP's; CPU is of both ends together.
func BenchmarkLink(b *testing.B) {
	frames, size := sampleFrames(4096)
	messages := make([]agree.Message, len(frames))
	for i, f := range frames {
		m, err := agree.ParseMessage(f[4:])
		if err != nil {
			b.Fatal(err)
		}
		messages[i] = m
	}
	for _, together := range []int{1, 16, 256} {
		var plain float64 // CPU
		for _, compress := range []bool{false, true} {
			b.Run(fmt.Sprintf("events=%d/compress=%v", together, compress), func(b *testing.B) {
				arrived := make(chan struct{}, len(messages))
				from := benchLinks(b, !compress, func() { arrived <- struct{}{} })
				began := processTime()
				sent, text := from.out.Load(), from.text.Load()
				for b.Loop() {
					for i, m := range messages {
						from.send(m)
						if (i+1)%together == 0 {
							for range together {
								<-arrived
							}
						}
					}
				}
				events := float64(b.N * len(messages))
				cpu := float64((processTime() - began).Nanoseconds()) / events / 1e3
				if !compress {
					plain = cpu
				}
				b.ReportMetric(float64(from.out.Load()-sent)/events, "B/event")
				b.ReportMetric(float64(from.text.Load()-text)/float64(from.out.Load()-sent), "factor")
				b.ReportMetric(cpu, "cpu-us/event")
				b.ReportMetric(cpu/plain, "cpu-x-plain")
				if n := float64(size) / float64(len(frames)); float64(from.text.Load()-text)/events < n {
					b.Errorf("fewer bytes than the events have, %.0f", n)
				}
			})
		}
	}
}

// benchLinks links two relays and gives the dialer's end. received is called for each message at the other.
func benchLinks(b *testing.B, plain bool, received func()) *link {
	a := starOfLinks(b, 1, func(ls *Links) { ls.plain, ls.receive = plain, func(string, agree.Message) { received() } })
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.peers["b0"].link
}

// starOfLinks links one relay, which it gives, to n others.
func starOfLinks(b *testing.B, n int, set func(*Links)) *Links {
	ctx, cancel := context.WithCancel(b.Context())
	up := make(chan struct{}, 2*n)
	var all []*Links
	var members []Member
	var running sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for i := range n + 1 {
		name := "a"
		if i > 0 {
			name = fmt.Sprint("b", i-1)
		}
		id, err := deriveIdentity(name, [][]byte{make([]byte, 32)})
		if err != nil {
			b.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ls := &Links{
			name: name, identity: id, log: slog.New(slog.DiscardHandler), dial: system{}.Dial, peers: map[string]*peer{}, past: map[string]*past{},
			up: func(string) { up <- struct{}{} }, down: func(string) {}, receive: func(string, agree.Message) {},
		}
		set(ls)
		all = append(all, ls)
		members = append(members, Member{Member: agree.Member{Name: name}, Link: l.Addr().String()})
		running.Go(func() { ls.run(ctx, l) })
	}
	all[0].want(ctx, members)
	for range 2 * n {
		<-up
	}
	return all[0]
}

// BenchmarkIdleLinks is what a link costs that carries nothing but pings: of 100 from one relay to as many others, all in
// one process. Both ends together, halved.
func BenchmarkIdleLinks(b *testing.B) {
	const links = 100
	for range b.N {
		empty := heap()
		began := processTime()
		starOfLinks(b, links, func(*Links) {})
		b.ReportMetric(float64((processTime()-began).Microseconds())/links/2, "cpu-us/handshake")
		<-time.After(2 * time.Second) // handshakes leave garbage
		b.ReportMetric(float64(heap()-empty)/links/2/1024, "KiB/link")
		const watch = 5 * time.Second
		began = processTime()
		<-time.After(watch)
		b.ReportMetric(float64((processTime()-began).Microseconds())/links/2/watch.Seconds(), "cpu-us/link/s")
	}
}
