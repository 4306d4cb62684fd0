//go:build linux

package bench

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func wireEvent(sequence uint64, due int64) string {
	return fmt.Sprintf("data: %s\nid: e-%d\n\n", appendData(nil, sequence, due, 40, false), sequence)
}

const opening = "retry: 2000\nevent: freshet.open\ndata:\nid: e-0\n\n"

// Any chunking of a complete stream counts every event once.
func TestSubscriberAnyChunking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := opening
		events := rapid.IntRange(0, 20).Draw(t, "events")
		for i := range events {
			if rapid.Bool().Draw(t, "heartbeat") {
				stream += ":\n"
			}
			stream += wireEvent(uint64(i+1), 5)
		}
		s, seen := subscriber{next: 1}, tally{}
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "chunk")
			s.receive([]byte(stream[:n]), 10, &seen)
			stream = stream[n:]
		}
		if seen.delivered != uint64(events) || seen.lost+seen.doubled+seen.foreign != 0 || seen.opened != 1 {
			t.Fatalf("%d events: counted %+v", events, seen)
		}
	})
}

func TestSubscriberCountsFaults(t *testing.T) {
	tests := []struct {
		name                           string
		sequences                      []uint64
		delivered, lost, doubled, gaps uint64
		before                         string
	}{
		{"a hole", []uint64{1, 2, 5}, 3, 2, 0, 0, ""},
		{"a repeat", []uint64{1, 2, 2, 3}, 3, 0, 1, 0, ""},
		{"out of order", []uint64{1, 3, 2}, 2, 1, 1, 0, ""},
		{"a gap that was owned up to", []uint64{4}, 1, 3, 0, 1, "event: freshet.gap\ndata: {}\nid: e-3\n\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, seen := subscriber{next: 1}, tally{}
			s.receive([]byte(opening+test.before), 0, &seen)
			for _, sequence := range test.sequences {
				s.receive([]byte(wireEvent(sequence, 0)), 0, &seen)
			}
			got := [4]uint64{seen.delivered, seen.lost, seen.doubled, seen.gaps}
			if want := [4]uint64{test.delivered, test.lost, test.doubled, test.gaps}; got != want {
				t.Errorf("delivered, lost, doubled, gaps = %v, want %v", got, want)
			}
		})
	}
}

func TestSubscriberAllocatesNothing(t *testing.T) {
	s, seen := subscriber{next: 1}, tally{}
	events := [1000]string{}
	for i := range events {
		events[i] = wireEvent(uint64(i+1), time.Now().UnixNano())
	}
	chunk := make([]byte, 0, 256)
	i := 0
	allocations := testing.AllocsPerRun(900, func() {
		chunk = append(chunk[:0], events[i]...)
		s.receive(chunk, 0, &seen)
		i++
	})
	if allocations != 0 || seen.delivered < 900 {
		t.Errorf("%v allocations an event, %d delivered", allocations, seen.delivered)
	}
}

// Quantiles are never below the true one and at most 1/32 above.
func TestHistogramQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64Range(0, int64(time.Hour)).Draw(t, "duration")
		if upper := int64(upperBound(bucketOf(uint64(v)))); upper < v || upper > v+v/32+1 {
			t.Fatalf("%d falls into a bucket that ends at %d", v, upper)
		}
	})
	var h histogram
	for i := range 1000 {
		h.record(time.Duration(i+1) * time.Microsecond)
	}
	if p50 := h.quantile(0.5); p50 < 500*time.Microsecond || p50 > 520*time.Microsecond {
		t.Errorf("median of 1..1000 us is %v", p50)
	}
	if h.quantile(1) != time.Millisecond {
		t.Errorf("the largest of 1..1000 us is %v", h.quantile(1))
	}
}
