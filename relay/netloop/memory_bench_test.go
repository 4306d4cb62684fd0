package netloop

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"testing"
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
		{"h2", 5000, 1}, {"h2c", 5000, 1}, {"h2", 100, 1000}, {"h2", 1000, 1000},
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
