//go:build linux

package bench

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"testing"
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
		var got tally
		for _, b := range sent.Bytes() { // in any chunking
			k.receive([]byte{b}, &got)
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

func TestLifelikeEventsDiffer(t *testing.T) {
	a, b := appendData(nil, 1, 1, 200, true), appendData(nil, 2, 1, 200, true)
	if len(a) != 200 || len(b) != 200 || bytes.Equal(a[minEventSize:], b[minEventSize:]) {
		t.Errorf("%d bytes %q\n%d bytes %q", len(a), a, len(b), b)
	}
}
