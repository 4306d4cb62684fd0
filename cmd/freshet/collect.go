package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A collector gives back what a crowd left behind, to the system. A hundred thousand clients that connect at once
// leave handshakes and request headers behind as garbage, and then a relay that does its work allocates nearly
// nothing: Go's collector, which is driven by allocation, would not come round for minutes.
type collector struct {
	allocated uint64 // bytes, ever, when last looked
}

const (
	collectEvery = 5 * time.Second
	quiet        = 1 << 20 // bytes allocated since the last look, below which nobody is coming
	worthwhile   = 4 << 20 // bytes of garbage, or free, and an eighth of what lives, below which they may stay
)

// Run looks from time to time until ctx ends.
func (c *collector) Run(ctx context.Context) {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if c.due(readHeap()) {
				debug.FreeOSMemory()
			}
		}
	}
}

// A heap is what the runtime says of it, in bytes.
type heap struct {
	allocated uint64 // ever
	objects   uint64 // live, or not yet collected
	live      uint64 // after the last collection
	free      uint64 // of nobody, and not given back
}

// due reports whether it is quiet and there is something to be had.
func (c *collector) due(h heap) bool {
	recent := h.allocated - c.allocated
	c.allocated = h.allocated
	least := max(worthwhile, h.live/8)
	return recent < quiet && (h.objects > h.live+least || h.free > least)
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()}
}
