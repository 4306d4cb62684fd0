package origin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"freshet/origin/sse"
)

// leanRelay takes publications at next to no cost, and keeps nothing.
func leanRelay(b *testing.B) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "text/event-stream" {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(201)
			io.WriteString(w, `{"topic":"t","id":"1-1","count":1}`)
			return
		}
		control := http.NewResponseController(w)
		control.EnableFullDuplex()
		r.Body.Read(nil)
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(200)
		control.Flush()
		var d sse.Decoder
		var e sse.Event
		count := 0
		for chunk := make([]byte, 32<<10); ; {
			n, err := r.Body.Read(chunk)
			before := count
			for d.Feed(chunk[:n]); d.Next(&e); {
				count++
			}
			if count > before {
				fmt.Fprintf(w, "{\"count\":%d,\"id\":\"1-%d\"}\n", count, count)
				control.Flush()
			}
			if err != nil {
				return
			}
		}
	}))
	b.Cleanup(srv.Close)
	return srv
}

// BenchmarkPublisher compares a stream with single publications by eight
// goroutines, and with the plain cost of eight goroutines' requests, in events
// a second.
func BenchmarkPublisher(b *testing.B) {
	srv := leanRelay(b)
	p := &Publisher{Relays: []string{srv.URL}}
	e := Event{Type: "tick", Data: bytes.Repeat([]byte("x"), 200)}
	const workers, single, streamed = 8, 800, 40_000
	ways := []struct {
		name   string
		events int
		run    func()
		took   time.Duration
	}{
		{name: "streamed", events: streamed, run: func() {
			s := p.Stream("t")
			for range streamed {
				if _, err := s.Send(b.Context(), e); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		}},
		{name: "single", events: single, run: func() {
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					for range single / workers {
						if _, err := p.Publish(b.Context(), "t", e); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
		}},
		{name: "bare", events: single, run: func() {
			client := &http.Client{Transport: newTransport(nil)}
			var all sync.WaitGroup
			for range workers {
				all.Go(func() {
					for range single / workers {
						resp, err := client.Post(srv.URL+"/events/t", "text/plain", bytes.NewReader(e.Data))
						if err != nil {
							b.Error(err)
							return
						}
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
			}
			all.Wait()
			client.CloseIdleConnections()
		}},
	}
	rounds := 0
	for b.Loop() {
		rounds++
		for i := range ways {
			start := time.Now()
			ways[i].run()
			ways[i].took += time.Since(start)
		}
	}
	rate := func(i int) float64 { return float64(rounds*ways[i].events) / ways[i].took.Seconds() }
	for i, w := range ways {
		b.ReportMetric(rate(i), w.name+"-events/s")
	}
	b.ReportMetric(rate(0)/rate(1), "streamed-x-single")
	b.ReportMetric(rate(1)/rate(2), "single-x-bare")
	b.ReportMetric(0, "ns/op")
	p.client.CloseIdleConnections()
}

// nowhere is a Sink that takes everything.
type nowhere struct{ n int }

func (s *nowhere) Append(ctx context.Context, topic string, e sse.Event) (string, error) {
	s.n++
	return e.ID, nil
}
func (*nowhere) Gap(ctx context.Context, topic, lastEventID, oldestID string) error { return nil }
func (*nowhere) End(ctx context.Context, topic string) error                        { return nil }

// BenchmarkSource hands events on from memory, and compares that with decoding
// them alone.
func BenchmarkSource(b *testing.B) {
	var stream []byte
	const n = 5000
	data := bytes.Repeat([]byte("x"), 200)
	for i := range n {
		stream, _ = sse.Event{ID: fmt.Sprint(i), Type: "tick", Data: data}.Append(stream)
	}
	var pulling, decoding time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		sink := &nowhere{}
		s := &Source{URLs: []string{"http://o/"}, Topic: "t", Sink: sink}
		if err := s.Check(); err != nil {
			b.Fatal(err)
		}
		p := s.newPull("t", s.URLs, "")
		start := time.Now()
		p.decoder.Reset("")
		if err := p.begin(b.Context(), true); err != nil {
			b.Fatal(err)
		}
		if err := p.read(b.Context(), bytes.NewReader(stream)); err != io.EOF || sink.n != n {
			b.Fatal(err, sink.n)
		}
		pulling += time.Since(start)

		start = time.Now()
		r := sse.NewReader(bytes.NewReader(stream))
		for e := (sse.Event{}); r.Read(&e) == nil; {
		}
		decoding += time.Since(start)
	}
	b.ReportMetric(float64(rounds*n)/pulling.Seconds(), "events/s")
	b.ReportMetric(pulling.Seconds()/decoding.Seconds(), "x-decoding")
	b.ReportMetric(0, "ns/op")
}
