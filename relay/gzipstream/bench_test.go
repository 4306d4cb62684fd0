package gzipstream

import (
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/gzip"

	"freshet/ringbuf"
)

// audience is what follows one topic, in one way of doing it.
type audience interface {
	join()
	// deliver gives everybody what was appended, and returns the bytes.
	deliver(r *ringbuf.Ring, text []byte) (bytes int)
}

// identity has a cursor each.
type identity struct {
	ring    *ringbuf.Ring
	cursors []*ringbuf.Cursor
}

func (a *identity) join() {
	c := a.ring.Latest()
	a.cursors = append(a.cursors, &c)
}

func (a *identity) deliver(r *ringbuf.Ring, _ []byte) (n int) {
	for _, c := range a.cursors {
		run, _, _ := r.Next(c, 16<<10)
		n += len(run)
	}
	return n
}

// once has a Stream each, and compresses once for all.
type once struct {
	ring     *ringbuf.Ring
	deflater *ringbuf.Deflater
	all      []*onceReader
}

type onceReader struct {
	stream Stream
	sum    ringbuf.Sum
	cursor ringbuf.Cursor
}

func (a *once) join() {
	f := &onceReader{cursor: a.ring.Latest()}
	a.ring.StartDeflated(a.deflater, f.cursor, nil)
	f.stream.Open(nil, &f.sum, a.ring, f.cursor, nil)
	a.all = append(a.all, f)
}

func (a *once) deliver(r *ringbuf.Ring, _ []byte) (n int) {
	for _, f := range a.all {
		run, _, _, _ := f.stream.Next(r, &f.cursor, 16<<10)
		n += len(run)
	}
	return n
}

// each has a compressor for each, as others do it.
type each struct {
	fresh   func(io.Writer) flusher
	writers []flusher
	out     counter
}

type flusher interface {
	io.Writer
	Flush() error
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func (a *each) join() {
	z := a.fresh(&a.out)
	z.Flush() // the header goes out at once, and the compressor is made
	a.writers = append(a.writers, z)
}

func (a *each) deliver(_ *ringbuf.Ring, text []byte) int {
	a.out = 0
	for _, z := range a.writers {
		z.Write(text)
		z.Flush()
	}
	return int(a.out)
}

// BenchmarkSubscribers delivers the same events to as many subscribers, compressed in each way, without sockets: what a
// delivery costs in time, joining and compressing included, and what each subscriber and all together hold in memory.
// The first is what it costs without compression.
func BenchmarkSubscribers(b *testing.B) {
	const subscribers, events = 200, 300
	klauspost := func(level int) func(*ringbuf.Ring) audience {
		return func(*ringbuf.Ring) audience {
			return &each{fresh: func(w io.Writer) flusher {
				z, _ := gzip.NewWriterLevel(w, level)
				return z
			}}
		}
	}
	for _, way := range []struct {
		name string
		each bool
		make func(*ringbuf.Ring) audience
	}{
		{"identity", false, func(r *ringbuf.Ring) audience { return &identity{ring: r} }},
		{"once-for-all", false, func(r *ringbuf.Ring) audience {
			d, err := ringbuf.NewDeflater(ringbuf.Compression{})
			if err != nil {
				b.Fatal(err)
			}
			return &once{ring: r, deflater: d}
		}},
		{"each/klauspost-1", true, klauspost(1)},
		{"each/klauspost-7", true, klauspost(7)},
		{"each/compress-gzip-1", true, func(*ringbuf.Ring) audience {
			return &each{fresh: func(w io.Writer) flusher {
				z, _ := stdgzip.NewWriterLevel(w, 1)
				return z
			}}
		}},
		{"each/compress-gzip-6", true, func(*ringbuf.Ring) audience {
			return &each{fresh: func(w io.Writer) flusher { return stdgzip.NewWriter(w) }}
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			sent := 0
			run := func(subscribers int) audience {
				r := ringbuf.New(ringbuf.Limits{}, ringbuf.Position{Epoch: 1_790_000_000 << 16})
				rnd := rand.New(rand.NewPCG(7, 7))
				all := way.make(r)
				for range subscribers {
					all.join()
				}
				sent = 0
				for range events {
					body := fmt.Appendf(nil, "event: trade\ndata: {\"symbol\":\"ACME\",\"side\":%q,\"price\":%.2f,\"size\":%d,\"n\":%d}\n",
						[...]string{"buy", "sell"}[rnd.IntN(2)], 189+rnd.NormFloat64()/4, 10*(1+rnd.IntN(40)), 10000+rnd.IntN(90000))
					c := r.Latest()
					r.Append(ringbuf.Entry{Body: body})
					text, _, _ := r.Next(&c, 1<<20)
					sent += all.deliver(r, text)
				}
				return all
			}
			weigh := func(subscribers int) int {
				before := live()
				all := run(subscribers)
				defer runtime.KeepAlive(all)
				return live() - before
			}
			// Two audiences tell what each subscriber adds from what all share. The smaller the one, the more it takes
			// to see it.
			fewer := subscribers / 4
			if !way.each {
				fewer = 5_000
			}
			few, many := weigh(fewer), weigh(4*fewer)
			each := float64(many-few) / float64(3*fewer)
			for b.Loop() {
				run(subscribers)
			}
			b.ReportMetric(each, "heap-B/subscriber")
			b.ReportMetric((float64(few)-each*float64(fewer))/1024, "shared-KiB")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(b.N)/subscribers/events, "us/delivery")
			b.ReportMetric(float64(sent)/subscribers/events, "B/event")
		})
	}
}

func live() int {
	// The first collection may leave what finalizers and pools still hold.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
