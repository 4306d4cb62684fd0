package h2

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// ratio reports how our time compares with a baseline's of the same run.
func ratio(b *testing.B, ours, baseline func(n int)) {
	b.Helper()
	const n = 20000
	ours(n / 10)
	baseline(n / 10)
	var us, them time.Duration
	for b.Loop() {
		start := time.Now()
		ours(n)
		middle := time.Now()
		baseline(n)
		us += middle.Sub(start)
		them += time.Since(middle)
	}
	b.ReportMetric(float64(us.Nanoseconds())/float64(n*b.N), "ns/each")
	b.ReportMetric(float64(them.Nanoseconds())/float64(n*b.N), "baseline-ns/each")
	b.ReportMetric(float64(us)/float64(them), "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAppendData sends an event of 200 octets, against the Framer's WriteData.
func BenchmarkAppendData(b *testing.B) {
	p := connect(b, nil)
	s := p.open(1)
	event := make([]byte, 200)
	buf := make([]byte, 0, 64<<10)
	framer := http2.NewFramer(io.Discard, nil)
	ratio(b, func(n int) {
		for range n {
			if len(buf) > 63<<10 {
				buf = buf[:0]
			}
			if s.Window() < len(event) {
				s.send, s.conn.send = maxWindow, maxWindow
			}
			buf = s.AppendData(buf, event, false)
		}
	}, func(n int) {
		for range n {
			_ = framer.WriteData(1, false, event)
		}
	})
}

// browser is the fields of an EventSource's request by Chromium.
var browser = []string{
	"accept: text/event-stream",
	"accept-encoding: gzip, deflate, br, zstd",
	"accept-language: en-US,en;q=0.9",
	"cache-control: no-cache",
	"referer: https://relay.test/scores",
	"sec-fetch-dest: empty",
	"sec-fetch-mode: cors",
	"sec-fetch-site: same-origin",
	"user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
}

// requests is the wire form of n requests of a browser, with ids from 1 on.
func requests(b *testing.B, n int) []byte {
	p := newPeer(b, nil)
	p.encoder.SetMaxDynamicTableSize(0)
	for i := range n {
		p.request(uint32(2*i+1), true, browser...)
	}
	return bytes.Clone(p.wire.Bytes())
}

// A consumer takes what it is given and sends nothing.
type consumer struct{}

func (consumer) Request(*Stream, []hpack.HeaderField, bool) {}
func (consumer) Data(s *Stream, p []byte, _ bool)           { s.Consume(len(p)) }
func (consumer) Trailers(*Stream, []hpack.HeaderField)      {}
func (consumer) Reset(*Stream, http2.ErrCode)               {}
func (consumer) Writable(*Stream)                           {}

// A responder ends each request with an empty response, which nobody sees.
type responder struct {
	consumer
	buf []byte
}

func (r *responder) Request(s *Stream, _ []hpack.HeaderField, _ bool) {
	r.buf = s.AppendHeaders(r.buf[:0], 204, nil, true)
}

// BenchmarkRequests receives requests and answers them, against net/http2's Framer that does no more than
// parse the same frames.
func BenchmarkRequests(b *testing.B) {
	const batch = 1000
	wire := requests(b, batch)
	opening := append([]byte(http2.ClientPreface), rawFrame(http2.FrameSettings, 0, 0, nil)...)
	opening = append(opening, rawFrame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)...)
	scratch := NewScratch(nil)
	r := &responder{buf: make([]byte, 0, 4096)}
	ratio(b, func(n int) {
		for ; n > 0; n -= batch {
			c := New(scratch, r)
			if c.Receive(someTime, opening) != nil || c.Receive(someTime, wire) != nil || c.taken != 2*batch-1 {
				b.Fatal("not received")
			}
		}
	}, func(n int) {
		for ; n > 0; n -= batch {
			f := http2.NewFramer(nil, bytes.NewReader(wire))
			f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			f.SetReuseFrames()
			for {
				if _, err := f.ReadFrame(); err != nil {
					break
				}
			}
		}
	})
}

// BenchmarkUpload receives DATA in frames of 16 KiB, in pieces as a socket might give them,
// against a Framer that parses them from one buffer.
func BenchmarkUpload(b *testing.B) {
	p := connect(b, nil)
	p.post(1)
	frame := rawFrame(http2.FrameData, 0, 1, make([]byte, 16384))
	c := p.conn
	c.handler = consumer{}
	reader := bytes.NewReader(nil)
	framer := http2.NewFramer(nil, reader)
	framer.SetReuseFrames()
	ratio(b, func(n int) {
		for range n {
			_ = c.Receive(someTime, frame[:9000])
			_ = c.Receive(someTime, frame[9000:])
			c.Flushed(len(c.Output()))
		}
	}, func(n int) {
		for range n {
			reader.Reset(frame)
			_, _ = framer.ReadFrame()
		}
	})
	if c.err != nil {
		b.Fatal(c.err)
	}
}

// BenchmarkWindowUpdate receives the most frequent frame there is, against a Framer that parses it.
func BenchmarkWindowUpdate(b *testing.B) {
	p := connect(b, nil)
	for id := uint32(1); id < 2000; id += 2 {
		p.open(id)
	}
	c := p.conn
	frame := rawFrame(http2.FrameWindowUpdate, 0, 999, uint32Bytes(1))
	reader := bytes.NewReader(nil)
	framer := http2.NewFramer(nil, reader)
	ratio(b, func(n int) {
		for range n {
			c.budget[updates] = 100
			_ = c.Receive(someTime, frame)
		}
	}, func(n int) {
		for range n {
			reader.Reset(frame)
			_, _ = framer.ReadFrame()
		}
	})
	if c.err != nil {
		b.Fatal(c.err)
	}
}

// BenchmarkStreamTable finds streams among a thousand, all there or every third, against a map.
func BenchmarkStreamTable(b *testing.B) {
	for name, step := range map[string]uint32{"dense": 2, "sparse": 6} {
		b.Run(name, func(b *testing.B) {
			var table streams
			byID := make(map[uint32]*Stream)
			for i := range uint32(1000) {
				s := &Stream{id: 1 + i*step}
				table.add(s)
				byID[s.id] = s
			}
			found := 0
			ratio(b, func(n int) {
				for i := range uint32(n) {
					if table.find(1+i*7919%1000*step) != nil {
						found++
					}
				}
			}, func(n int) {
				for i := range uint32(n) {
					if byID[1+i*7919%1000*step] != nil {
						found++
					}
				}
			})
		})
	}
}

// heap is the octets that are in use when what nobody needs is gone.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemory measures what a connection and its streams keep.
func TestMemory(t *testing.T) {
	if n := unsafe.Sizeof(Stream{}); n > 64 {
		t.Errorf("a Stream takes %d octets", n)
	}
	first := requestWithTable(t)
	measure := func(open int, write func(p *Conn)) float64 {
		scratch := NewScratch(nil)
		keep := make([]*Conn, 500/max(1, open/50))
		before := heap()
		for i := range keep {
			c := New(scratch, consumer{})
			write(c)
			c.Flushed(len(c.Output()))
			keep[i] = c
		}
		used := heap() - before
		for _, c := range keep {
			if c.Streams() != open || c.err != nil {
				t.Fatalf("%d streams of %d: %v", c.Streams(), open, c.err)
			}
		}
		runtime.KeepAlive(keep)
		return float64(used) / float64(len(keep))
	}
	opening := append([]byte(http2.ClientPreface), rawFrame(http2.FrameSettings, 0, 0, nil)...)
	ack := rawFrame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
	receive := func(pieces ...[]byte) func(c *Conn) {
		return func(c *Conn) {
			for _, b := range pieces {
				_ = c.Receive(someTime, b)
			}
		}
	}
	idle := measure(0, receive(opening, ack))
	late := measure(1, receive(opening, first))
	one := measure(1, receive(opening, first, ack))
	many := measure(1000, receive(opening, ack, thousand(t)))
	t.Logf("octets: Conn %d, Stream %d; idle connection %.0f, with one stream %.0f (until our SETTINGS are acknowledged %.0f), with 1,000 streams %.0f, %.1f a stream",
		unsafe.Sizeof(Conn{}), unsafe.Sizeof(Stream{}), idle, one, late, many, (many-idle)/1000)
	maps := make([]map[uint32]*Stream, 25)
	before := heap()
	for i := range maps {
		maps[i] = make(map[uint32]*Stream)
		for id := uint32(1); id < 2000; id += 2 {
			maps[i][id] = nil
		}
	}
	t.Logf("a map instead of the table would take %.1f octets a stream instead of %d", float64(heap()-before)/25000, unsafe.Sizeof(&Stream{}))
	runtime.KeepAlive(maps)
	if idle > 350 || one > 450 {
		t.Errorf("an idle connection takes %.0f octets, one with a stream %.0f", idle, one)
	}
	if each := (many - idle) / 1000; each > 80 {
		t.Errorf("a stream takes %.1f octets", each)
	}
}

// requestWithTable is a browser's first request, which fills its dynamic table.
func requestWithTable(t *testing.T) []byte {
	p := newPeer(t, nil)
	p.request(1, true, browser...)
	return bytes.Clone(p.wire.Bytes())
}

func thousand(t *testing.T) []byte {
	p := newPeer(t, nil)
	p.encoder.SetMaxDynamicTableSize(0)
	for id := uint32(1); id < 2000; id += 2 {
		p.request(id, true)
	}
	return bytes.Clone(p.wire.Bytes())
}
