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
	r.StartDeflated(d, r.Latest(), nil)
	rnd := rand.New(rand.NewPCG(7, uint64(sample)))
	for i := range n {
		r.Append(Entry{Body: samples[sample].body(rnd, i), Commit: start.Add(time.Duration(i) * time.Millisecond)})
	}
	return r
}

// inStep returns the bytes of the sample's last 800 of 1,000 events, plain and compressed, for a reader who is in step.
func inStep(t testing.TB, d *Deflater, sample int) (plain, packed int) {
	t.Helper()
	r := sampleRing(d, sample, 1000)
	for c := r.Last(800); ; {
		at := c
		run, shared, n, _, _ := r.NextDeflated(&c, d.window, 16<<10)
		if n == 0 {
			return plain, packed
		}
		if !shared {
			t.Fatal("not shared")
		}
		packed += len(run)
		for range n {
			e, _, _ := r.Step(&at)
			plain += len(e.Wire)
		}
	}
}

// TestSamplesShrink holds the factors that are promised for the three kinds of event, with the window by default
// and with half of it.
func TestSamplesShrink(t *testing.T) {
	for i, sample := range samples {
		for _, window := range []int{0, 2048} {
			d := newDeflater(t, Compression{Window: window})
			plain, packed := inStep(t, d, i)
			factor := float64(plain) / float64(packed)
			t.Logf("%s, %d bytes back: %.1f bytes, %.1f compressed, a factor of %.2f", sample.name, d.window, float64(plain)/800, float64(packed)/800, factor)
			if factor < sample.factor {
				t.Errorf("%s, %d bytes back: a factor of %.2f, less than %v", sample.name, d.window, factor, sample.factor)
			}
			if size := plain / 800; size < sample.size-4 || size > sample.size+4 {
				t.Errorf("an event of the sample %s has %d bytes, not about %d", sample.name, size, sample.size)
			}
		}
	}
}

// BenchmarkDeflate shows the curve over the window: bytes of an event that is sent to somebody in step.
func BenchmarkDeflate(b *testing.B) {
	for i, sample := range samples {
		for _, window := range []int{1 << 10, 2 << 10, 4 << 10, 8 << 10} {
			b.Run(fmt.Sprintf("%s/window=%d", sample.name, window), func(b *testing.B) {
				d := newDeflater(b, Compression{Window: window})
				var plain, packed int
				for b.Loop() {
					plain, packed = inStep(b, d, i)
				}
				if factor := float64(plain) / float64(packed); window >= 2048 && factor < sample.factor {
					b.Errorf("a factor of %.2f, less than %v", factor, sample.factor)
				}
				b.ReportMetric(float64(plain)/800, "plain-B/event")
				b.ReportMetric(float64(packed)/800, "B/event")
				b.ReportMetric(float64(plain)/float64(packed), "factor")
				b.ReportMetric(sample.factor, "must-reach")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/event")
			})
		}
	}
}

// BenchmarkDeflateJoiner reports what part of its events one who joins gets as text, for want of a window, when
// it stays for so many events of 104 bytes.
func BenchmarkDeflateJoiner(b *testing.B) {
	for _, window := range []int{1024, 2048, 4096, 8192} {
		for _, stay := range []int{100, 1000} {
			b.Run(fmt.Sprintf("window=%d/stay=%d", window, stay), func(b *testing.B) {
				d := newDeflater(b, Compression{Window: window})
				r := sampleRing(d, 1, 1100)
				var stored, sent, plain int
				for b.Loop() {
					stored, sent, plain = 0, 0, 0
					own := 0
					for c := r.Last(stay); ; {
						at := c
						run, shared, n, _, _ := r.NextDeflated(&c, own, 1<<10)
						if n == 0 {
							break
						}
						for range n {
							e, _, _ := r.Step(&at)
							plain += len(e.Wire)
							own += len(e.Wire)
						}
						if sent += len(run); !shared {
							stored += n
						}
					}
				}
				b.ReportMetric(100*float64(stored)/float64(stay), "%stored")
				b.ReportMetric(float64(plain)/float64(sent), "factor")
			})
		}
	}
}

// BenchmarkDeflateFill is the first to replay a full topic, of 1 MiB or 4,096 events, that nobody listened to.
func BenchmarkDeflateFill(b *testing.B) {
	for i, sample := range samples {
		b.Run(sample.name, func(b *testing.B) {
			r := New(Limits{Bytes: 1 << 20, Events: 4096}, Position{Epoch: 1_790_000_000 << 16})
			rnd := rand.New(rand.NewPCG(7, uint64(i)))
			for k := range 10_000 {
				r.Append(Entry{Body: sample.body(rnd, k), Commit: start})
			}
			for b.Loop() {
				r.deflated.Store(nil)
				r.StartDeflated(newDeflater(b, Compression{}), r.Oldest(), nil)
			}
			b.ReportMetric(float64(r.Bytes())/1024, "KiB")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/topic")
		})
	}
}

// BenchmarkDeflateTopics has 10,000 topics with a listener each get events in turn, so that no coder stays warm.
func BenchmarkDeflateTopics(b *testing.B) {
	const topics, events = 10_000, 20
	defer func() { b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/topics/events, "us/event") }()
	for b.Loop() {
		d := newDeflater(b, Compression{Memory: 256 << 20})
		rings := make([]*Ring, topics)
		for i := range rings {
			rings[i] = New(Limits{}, Position{Epoch: 1_790_000_000 << 16})
			rings[i].StartDeflated(d, rings[i].Latest(), nil)
		}
		rnd := rand.New(rand.NewPCG(7, 7))
		text := 0
		for i := range events {
			for _, r := range rings {
				r.Append(Entry{Body: samples[1].body(rnd, i), Commit: start})
			}
		}
		for _, r := range rings {
			text += r.Footprint()
		}
		s := d.Stats()
		b.ReportMetric(float64(s.Held-int64(d.count)*coderSize)/topics, "B/topic")
		b.ReportMetric(float64(text)/topics, "text-B/topic")
		b.ReportMetric(float64(d.count), "coders")
		b.ReportMetric(float64(s.Text)/float64(s.Bytes), "factor")
	}
}
