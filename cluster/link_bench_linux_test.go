package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
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
	ctx, cancel := context.WithCancel(b.Context())
	up := make(chan struct{}, 2)
	both := map[string]*Links{}
	ended := make(chan error, 2)
	var members []Member
	for _, name := range []string{"a", "b"} {
		id, err := deriveIdentity(name, [][]byte{make([]byte, 32)})
		if err != nil {
			b.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		ls := &Links{
			name: name, identity: id, log: slog.New(slog.DiscardHandler), plain: plain, dial: system{}.Dial, peers: map[string]*peer{}, count: map[string]uint64{},
			up: func(string, uint64) { up <- struct{}{} }, down: func(string) {}, receive: func(string, agree.Message) { received() },
		}
		both[name] = ls
		members = append(members, Member{Member: agree.Member{Name: name}, Link: l.Addr().String()})
		go func() { ended <- ls.run(ctx, l) }()
	}
	b.Cleanup(func() {
		cancel()
		<-ended
		<-ended
	})
	for _, ls := range both {
		ls.want(ctx, members)
	}
	<-up
	<-up
	a := both["a"]
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.peers["b"].link
}
