package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"freshet/origin"
)

// BenchmarkPublish publishes events of 200 bytes to the program over loopback, through the SDK:
//
//	go test -run - -bench Publish ./cmd/freshet
//
// The rate counts events that are acknowledged. With subscribers, a thousand of them share one
// HTTP/2 connection, whose client does no more than to read, so that it is the relay that is
// measured; what they are sent is given in MiB/s. That is less than a thousand times what is
// published: they cannot keep up with a publisher at full speed, are lapped, and do not hold it up.
func BenchmarkPublish(b *testing.B) {
	for _, subscribers := range []int{0, 1000} {
		for _, way := range []struct {
			name    string
			publish func(*testing.B, *origin.Publisher)
		}{
			{"single", publishSingly},
			{"stream", publishStreaming},
		} {
			b.Run(fmt.Sprintf("%s/subscribers=%d", way.name, subscribers), func(b *testing.B) {
				relay, err := startProgram(context.Background(), nil, "", "run", "-plain", "127.0.0.1:0", "-admin", "off", "-set", "drain=100ms")
				if err != nil || relay.ready == "" {
					b.Fatal(err, relay.output)
				}
				defer relay.stop()
				crowd := newCrowd(b, strings.TrimPrefix(relay.url("plain"), "http://"), subscribers)
				publisher := &origin.Publisher{Relays: []string{relay.url("plain")}}
				before := crowd.read.Load()
				began := time.Now()
				way.publish(b, publisher)
				took := time.Since(began).Seconds() // until the last acknowledgement, which b's timer leaves out
				b.ReportMetric(float64(b.N)/took, "events/s")
				if subscribers > 0 {
					b.ReportMetric(float64(crowd.read.Load()-before)/took/(1<<20), "MiB/s")
				}
			})
		}
	}
}

var publishedData = bytes.Repeat([]byte("x"), 200)

// publishSingly publishes each event by a request of its own, from eight goroutines.
func publishSingly(b *testing.B, p *origin.Publisher) {
	var all sync.WaitGroup
	work := make(chan struct{})
	for range 8 {
		all.Go(func() {
			for range work {
				if _, err := p.Publish(b.Context(), "bench", origin.Event{Data: publishedData}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
}

// publishStreaming publishes over one request, in a window of unacknowledged events.
func publishStreaming(b *testing.B, p *origin.Publisher) {
	stream := p.Stream("bench")
	for b.Loop() {
		if _, err := stream.Send(b.Context(), origin.Event{Data: publishedData}); err != nil {
			b.Fatal(err)
		}
	}
	if err := stream.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// A crowd is subscribers that share a connection.
type crowd struct {
	read atomic.Int64 // bytes
}

// newCrowd opens the streams over one connection, HTTP/2 with prior knowledge, and reads what
// comes until the benchmark is over.
func newCrowd(b *testing.B, address string, subscribers int) *crowd {
	b.Helper()
	c := &crowd{}
	if subscribers == 0 {
		return c
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	const widest = 1<<31 - 1
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&out, nil)
	var header bytes.Buffer
	encoder := hpack.NewEncoder(&header)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", address}, {":path", "/events/bench"}, {"accept", "text/event-stream"}} {
		_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) // not in the table: one header for all
	}
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: widest})
	_ = framer.WriteWindowUpdate(0, widest-65535)
	for i := range subscribers {
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: header.Bytes(), EndStream: true, EndHeaders: true})
	}
	if _, err := conn.Write(out.Bytes()); err != nil {
		b.Fatal(err)
	}
	// All are there when the relay has answered all.
	answers := http2.NewFramer(conn, conn)
	for opened := 0; opened < subscribers; {
		f, err := answers.ReadFrame()
		if err != nil {
			b.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			opened++
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = answers.WriteSettingsAck()
			}
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 256<<10)
		window := 0
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			c.read.Add(int64(n))
			if window += n; window > 1<<28 {
				_ = answers.WriteWindowUpdate(0, uint32(window))
				window = 0
			}
		}
	}()
	b.Cleanup(func() {
		conn.Close()
		<-done
	})
	return c
}
