package netloop

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"testing"
	"time"
)

// resident is the memory of this process, in bytes.
func resident(b *testing.B) int {
	debug.FreeOSMemory()
	var pages, size int
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc/self/statm")
	}
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// BenchmarkMemory measures the resident memory of an idle subscriber.
func BenchmarkMemory(b *testing.B) {
	for _, v := range []struct {
		mode                 string
		connections, streams int
	}{
		{"h2", 10000, 1}, {"h2c", 10000, 1}, {"h2", 100, 1000}, {"h2", 1000, 1000},
	} {
		b.Run(fmt.Sprintf("%s/%dx%d", v.mode, v.connections, v.streams), func(b *testing.B) {
			mux := http.NewServeMux()
			e := &Engine{Handler: mux, AddressShare: 1}
			g := newStage(e)
			mux.Handle("/events", g)
			s := serve(b, e)
			addr := s.secure
			if v.mode == "h2c" {
				addr = s.plain
			}
			all := int64(v.connections * v.streams)
			for b.Loop() {
				before := resident(b)
				c := startCrowd(b, v.mode, addr, v.connections, v.streams)
				wait(b, "all to subscribe", func() bool { return g.open.Load() == all })
				var m runtime.MemStats
				after := resident(b)
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(after-before)/float64(all)/1024, "KiB/subscriber")
				b.ReportMetric(float64(m.HeapAlloc)/float64(all)/1024, "KiB-heap/subscriber")
				b.ReportMetric(float64(m.StackInuse)/float64(all)/1024, "KiB-stack/subscriber")
				if f, err := os.Create(os.Getenv("NETLOOP_HEAP")); err == nil {
					_ = pprof.WriteHeapProfile(f)
					f.Close()
				}
				c.leave()
				wait(b, "all to leave", func() bool { return g.open.Load() == 0 })
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMemoryOfTheDeaf measures what a client costs that subscribes and never reads, while its topic goes on:
// the engine's memory, and what the kernel holds for it unsent.
func BenchmarkMemoryOfTheDeaf(b *testing.B) {
	mux := http.NewServeMux()
	e := &Engine{Handler: mux, AddressShare: 1, Stall: time.Hour}
	g := newStage(e)
	g.event = bytes.Repeat(g.event, 50) // 10 KB
	mux.Handle("/events", g)
	s := serve(b, e)
	const all = 200
	for b.Loop() {
		c := startCrowd(b, "deaf", s.secure, all, 1)
		wait(b, "all to subscribe", func() bool { return g.open.Load() == all })
		before := heap()
		written := func() (n uint64) {
			for _, l := range e.Stats().Loops {
				n += l.Written
			}
			return n
		}
		start := written()
		for last := uint64(0); ; {
			for range 20 {
				g.send()
			}
			time.Sleep(20 * time.Millisecond)
			n := written()
			if n == last {
				break // nobody takes any more
			}
			last = n
		}
		b.ReportMetric(float64(heap()-before)/all/1024, "KiB-heap/client")
		b.ReportMetric(float64(written()-start)/all/1024, "KiB-taken-by-the-kernel/client")
		c.leave()
		wait(b, "all to leave", func() bool { return g.open.Load() == 0 })
	}
	b.ReportMetric(0, "ns/op")
}
