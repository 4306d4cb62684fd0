//go:build linux

package bench

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freshet/relay/gzipstream"
	"freshet/ringbuf"
)

// TestPackedCountsAndChecks compresses a stream as relays do, an event and a flush at a time, and loses an event.
func TestPackedCountsAndChecks(t *testing.T) {
	for _, lost := range []uint64{0, 7} {
		var sent bytes.Buffer
		z := gzip.NewWriter(&sent)
		send := func(block string) {
			z.Write([]byte(block))
			z.Flush()
		}
		send("event: freshet.open\ndata:\nid: 1-0\n\n")
		for i := uint64(1); i <= 20; i++ {
			if i != lost {
				send(fmt.Sprintf("data: %s\nid: e-%d\n\n", appendData(nil, i, 1, 150, true), i))
			}
		}
		k := &packed{keep: true}
		f := &subscriber{next: 1, packed: k}
		var got tally
		for _, b := range sent.Bytes() {
			if err := f.receive([]byte{b}, 0, &got); err != nil {
				t.Fatal(err)
			}
		}
		r := &run{kept: []*packed{k}}
		r.decode(&publisher{published: []uint64{20}}, &got)
		if delivered := map[uint64]uint64{0: 20, 7: 19}[lost]; got.opened != 1 || got.delivered != delivered || r.fault != nil {
			t.Errorf("%+v, %v", got, r.fault)
		}
		if (got.lost > 0) != (lost > 0) {
			t.Errorf("event %d was lost, %d are said to be", lost, got.lost)
		}
	}
}

// TestPackedReadsWhatRelaysSend follows a relay's stream: a replay, whose first events come many in one block, live events and
// heartbeats, a gap, and the end. All are counted, whatever the chunking, with their latencies.
func TestPackedReadsWhatRelaysSend(t *testing.T) {
	const late = 5 * time.Millisecond
	rapid.Check(t, func(t *rapid.T) {
		d, err := ringbuf.NewDeflater(ringbuf.Compression{Window: 1024})
		if err != nil {
			t.Fatal(err)
		}
		ring := ringbuf.New(ringbuf.Limits{Events: 100}, ringbuf.Position{Epoch: 7})
		var due dueTimes
		sequence := uint64(0)
		publish := func(n int) {
			for range n {
				sequence++
				due.add(sequence, int64(sequence))
				data := appendData([]byte("data: "), sequence, int64(sequence), 150, true)
				ring.Append(ringbuf.Entry{Body: append(data, '\n')})
			}
		}
		publish(rapid.IntRange(0, 90).Draw(t, "before"))
		cursor := ring.Oldest()
		ring.StartDeflated(d, cursor, nil)
		var stream gzipstream.Stream
		var sum ringbuf.Sum
		sent := stream.Open(nil, &sum, ring, cursor, []byte(opening))
		var want tally
		pull := func() {
			for {
				p, _, events, lost := stream.Next(ring, &cursor, rapid.IntRange(200, 5000).Draw(t, "max"))
				if lost > 0 {
					stream.Lapped()
					sent = stream.Private(sent, &sum, ring, cursor, []byte("event: freshet.gap\ndata: {}\nid: 7-1\n\n"))
					want.gaps++
					want.lost += lost
					continue
				}
				if events == 0 {
					return
				}
				want.delivered += uint64(events)
				sent = append(sent, p...)
			}
		}
		for range rapid.IntRange(0, 10).Draw(t, "rounds") {
			if rapid.Bool().Draw(t, "pull") {
				pull()
			}
			publish(rapid.IntRange(0, 60).Draw(t, "events"))
		}
		pull()
		for range rapid.IntRange(0, 2).Draw(t, "heartbeats") {
			sent = append(sent, gzipstream.Heartbeat()...)
			want.heartbeats++
		}
		sent = stream.End(sent, &sum, ring, cursor, []byte("event: freshet.end\ndata: {}\nid: 7-1\n\n"))

		s := &subscriber{next: 1, packed: &packed{due: &due}}
		var got tally
		for p := sent; len(p) > 0; {
			n := rapid.IntRange(1, min(len(p), 2000)).Draw(t, "chunk")
			if err := s.receive(p[:n], int64(sequence)+int64(late), &got); err != nil {
				t.Fatal(err)
			}
			p = p[n:]
		}
		if got.opened != 1 || got.ends != 1 || got.doubled+got.foreign != 0 || got.bytes != uint64(len(sent)) {
			t.Fatalf("%+v", got)
		}
		if got.delivered != want.delivered || got.lost != want.lost || got.gaps != want.gaps || got.heartbeats != want.heartbeats {
			t.Fatalf("%d delivered, %d lost, %d gaps, %d heartbeats; want %d, %d, %d, %d", got.delivered, got.lost, got.gaps, got.heartbeats,
				want.delivered, want.lost, want.gaps, want.heartbeats)
		}
		if got.latency.count != got.delivered || got.delivered > 0 && got.latency.quantile(0.01) < late {
			t.Fatalf("%d latencies for %d deliveries, from %v", got.latency.count, got.delivered, got.latency.quantile(0.01))
		}
	})
}

func TestPackedTellsABrokenBlock(t *testing.T) {
	var got tally
	s := &subscriber{next: 1, packed: &packed{}}
	if err := s.receive([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x00\x05\x00\x05\x00hello"), 0, &got); err == nil {
		t.Error("a stored block whose length is not its complement's was taken")
	}
}

func TestLifelikeEventsDiffer(t *testing.T) {
	a, b := appendData(nil, 1, 1, 200, true), appendData(nil, 2, 1, 200, true)
	if len(a) != 200 || len(b) != 200 || bytes.Equal(a[minEventSize:], b[minEventSize:]) {
		t.Errorf("%d bytes %q\n%d bytes %q", len(a), a, len(b), b)
	}
}
