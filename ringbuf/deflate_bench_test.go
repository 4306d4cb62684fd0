package ringbuf

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// samples are the streams that compression is measured on: their bodies, drawn from a seed.
var samples = []struct {
	name   string
	size   int     // bytes of an event on the wire, about
	factor float64 // identity's bytes over those of the compressed form must be at least this
	body   func(*rand.Rand, int) []byte
}{
	{"tick", 54, 2.5, func(rnd *rand.Rand, i int) []byte {
		bid := 189 + rnd.NormFloat64()/4
		return fmt.Appendf(nil, "data: {\"bid\":%.2f,\"ask\":%.2f}\n", bid, bid+0.01*float64(1+rnd.IntN(5)))
	}},
	{"trade", 104, 4, func(rnd *rand.Rand, i int) []byte {
		side := [...]string{"buy", "sell"}[rnd.IntN(2)]
		return fmt.Appendf(nil, "event: trade\ndata: {\"symbol\":\"ACME\",\"side\":%q,\"price\":%.2f,\"size\":%d,\"n\":%d}\n",
			side, 189+rnd.NormFloat64()/4, 10*(1+rnd.IntN(40)), 10000+rnd.IntN(90000))
	}},
	{"score", 211, 4.5, func(rnd *rand.Rand, i int) []byte {
		kind := [...]string{"shot", "corner", "foul", "throw-in", "offside", "goal-kick"}[rnd.IntN(6)]
		team := [...]string{"Northport", "Ashvale"}[rnd.IntN(2)]
		return fmt.Appendf(nil, "event: incident\nkey: match-42\ndata: {\"match\":\"match-42\",\"minute\":%d,\"second\":%d,\"kind\":%q,\"team\":%q,"+
			"\"player\":%d,\"score\":{\"home\":%d,\"away\":%d},\"possession\":%d,\"x\":%.1f,\"y\":%.1f}\n",
			i/12%90, i*5%60, kind, team, 1+rnd.IntN(23), i/300, i/500, 40+rnd.IntN(20), 105*rnd.Float64(), 68*rnd.Float64())
	}},
}

// sampleRing returns a ring with a listener, and n sample events appended one by one.
func sampleRing(d *Deflater, sample, n int) *Ring {
	r := New(Limits{}, Position{Epoch: 1_790_000_000 << 16})
	r.StartDeflated(d, r.Latest())
	rnd := rand.New(rand.NewPCG(7, uint64(sample)))
	for i := range n {
		r.Append(Entry{Body: samples[sample].body(rnd, i), Commit: start.Add(time.Duration(i) * time.Millisecond)})
	}
	return r
}

func BenchmarkDeflate(b *testing.B) {
	for i, sample := range samples {
		for _, window := range []int{1024, 2048, 4096, 8192} {
			b.Run(fmt.Sprintf("%s/window=%d", sample.name, window), func(b *testing.B) {
				d, err := NewDeflater(Compression{Window: window})
				if err != nil {
					b.Fatal(err)
				}
				plain, packed := 0, 0
				for b.Loop() {
					r := sampleRing(d, i, 1000)
					plain, packed = 0, 0
					for c := r.Last(800); ; {
						at := c
						run, shared, n, _, _ := r.NextDeflated(&c, window, 16<<10)
						if n == 0 {
							break
						}
						if !shared {
							b.Fatal("not shared")
						}
						packed += len(run)
						for range n {
							e, _, _ := r.Step(&at)
							plain += len(e.Wire)
						}
					}
				}
				if factor := float64(plain) / float64(packed); window >= 2048 && factor < sample.factor {
					b.Errorf("a factor of %.2f, less than %v", factor, sample.factor)
				}
				b.ReportMetric(float64(plain)/800, "plain-B/event")
				b.ReportMetric(float64(packed)/800, "B/event")
				b.ReportMetric(float64(plain)/float64(packed), "factor")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/event")
			})
		}
	}
}
