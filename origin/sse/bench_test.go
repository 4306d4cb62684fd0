package sse

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/launchdarkly/eventsource"
	gosse "github.com/tmaxmax/go-sse"
)

// ticker is a stream of n events as a feed sends them.
func ticker(n, dataSize int) []byte {
	var stream []byte
	data := bytes.Repeat([]byte(`{"price":"101.25","ccy":"EUR"} `), dataSize/31+1)[:dataSize]
	for i := range n {
		stream, _ = Event{ID: fmt.Sprint("1-", i), Type: "tick", Data: data}.Append(stream)
	}
	return stream
}

func decodeStream(b *testing.B, d *Decoder, stream []byte) (events int) {
	d.Reset("")
	var ev Event
	for rest := stream; len(rest) > 0; {
		n := min(16<<10, len(rest))
		d.Feed(rest[:n])
		rest = rest[n:]
		for d.Next(&ev) {
			events++
		}
	}
	if d.Err() != nil {
		b.Fatal(d.Err())
	}
	return events
}

// The decoder allocates one string for each new id, and nothing else.
func TestDecoderAllocations(t *testing.T) {
	const n = 500
	same := bytes.Repeat([]byte("event: tick\nkey: k\ntopic: a/b\ndata: {\"price\":1}\ndata: 2\n\n"), n)
	for _, c := range []struct {
		name   string
		stream []byte
		want   float64
	}{{"ids that differ", ticker(n, 200), n}, {"no ids, lines of data", same, 0}} {
		var d Decoder
		var b testing.B
		if got := testing.AllocsPerRun(20, func() { decodeStream(&b, &d, c.stream) }); got != c.want {
			t.Errorf("%s: %v allocations for %d events, want %v", c.name, got, n, c.want)
		}
	}
	var buf []byte
	e := Event{ID: "1-7", Type: "tick", Data: []byte("a\nb")}
	if got := testing.AllocsPerRun(20, func() { buf, _ = e.Append(buf[:0]) }); got > 0 {
		t.Errorf("%v allocations to encode an event", got)
	}
}

// BenchmarkDecode reads the same stream with the decoder, through the Reader,
// and with the Go clients people use, and reports how many times the speed of
// the better of them the decoder and the Reader have.
func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{50, 200, 2000} {
		b.Run(fmt.Sprintf("data=%d", size), func(b *testing.B) {
			const n = 1000
			stream := ticker(n, size)
			readers := []struct {
				name string
				read func() int
				took time.Duration
			}{
				{name: "decoder", read: func() func() int {
					var d Decoder
					return func() int { return decodeStream(b, &d, stream) }
				}()},
				{name: "reader", read: func() (events int) {
					r := NewReader(bytes.NewReader(stream))
					for ev := (Event{}); r.Read(&ev) == nil; {
						events++
					}
					return events
				}},
				{name: "go-sse", read: func() (events int) {
					for _, err := range gosse.Read(bytes.NewReader(stream), nil) {
						if err == nil {
							events++
						}
					}
					return events
				}},
				{name: "launchdarkly", read: func() (events int) {
					d := eventsource.NewDecoder(bytes.NewReader(stream))
					for {
						if _, err := d.Decode(); err != nil {
							if err != io.EOF {
								b.Fatal(err)
							}
							return events
						}
						events++
					}
				}},
			}
			rounds := 0
			for b.Loop() {
				rounds++
				for i := range readers {
					r := &readers[i]
					start := time.Now()
					if got := r.read(); got != n {
						b.Fatalf("%s read %d events of %d", r.name, got, n)
					}
					r.took += time.Since(start)
				}
			}
			for _, r := range readers {
				b.ReportMetric(float64(rounds*len(stream))/r.took.Seconds()/1e6, r.name+"-MB/s")
			}
			best := min(readers[2].took, readers[3].took).Seconds()
			b.ReportMetric(best/readers[0].took.Seconds(), "decoder-x-best")
			b.ReportMetric(best/readers[1].took.Seconds(), "reader-x-best")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	e := Event{ID: "1-2k", Type: "tick", Data: bytes.Repeat([]byte("x"), 200)}
	buf, _ := e.Append(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = e.Append(buf[:0])
	}
}
