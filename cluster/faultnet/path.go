package faultnet

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// fault is the state of a path. It never changes: another takes its place.
type fault struct {
	cut           bool
	paused        [2]bool // the sender, the receiver
	delay, jitter time.Duration
	loss          float64       // of packets
	changed       chan struct{} // closed when another has taken its place
}

// still says that nothing arrives on the path.
func (f *fault) still() bool { return f.cut || f.paused[0] || f.paused[1] }

// late draws how long something takes that is sent now.
func (f *fault) late() time.Duration {
	if f.jitter <= 0 {
		return f.delay
	}
	return f.delay + rand.N(f.jitter)
}

// path is one way between two hosts.
type path struct {
	now atomic.Pointer[fault] // written by Network.change alone

	packets, packetBytes, lost atomic.Uint64
	streams, streamBytes, held atomic.Uint64
}

func newPath() *path {
	p := &path{}
	p.now.Store(&fault{changed: make(chan struct{})})
	return p
}

// Stats is what one way between two hosts has carried.
type Stats struct {
	Packets     uint64 // that arrived
	PacketBytes uint64
	Lost        uint64 // packets: cut, dropped, or too many for a paused host
	Streams     uint64 // connections opened this way
	StreamBytes uint64 // written, whether they arrived or not
	Held        uint64 // times that a reader found what was sent to it, or its silence, held back by a cut or a pause
}

func (p *path) stats() Stats {
	return Stats{
		Packets: p.packets.Load(), PacketBytes: p.packetBytes.Load(), Lost: p.lost.Load(),
		Streams: p.streams.Load(), StreamBytes: p.streamBytes.Load(), Held: p.held.Load(),
	}
}
