package netloop

import "sync/atomic"

// Stats is a look at an engine. Numbers of different fields need not be of the same moment.
type Stats struct {
	// Now.
	Connections int // open, of any protocol and at any stage
	Handshakes  int // on their way to their first request
	Requests    int // of HTTP/2 in their handlers
	Subscribers int // streams that Take gave to loops

	// Since the start.
	Accepted         uint64
	FailedHandshakes uint64
	Refused          Refused
	Loops            []LoopStats
}

// Refused counts connections and requests that a limit kept out, by the limit.
type Refused struct {
	Connections uint64 // Engine.Connections
	Address     uint64 // Engine.AddressShare
	Handshakes  uint64 // Engine.Handshakes
	Descriptors uint64 // times that the process had no descriptor for a connection
	Requests    uint64 // Engine.Requests
}

// LoopStats is what one loop has and has done.
type LoopStats struct {
	Connections    int
	Subscribers    int
	Read           uint64 // bytes, as on the wire
	Written        uint64 // bytes, as on the wire
	Writes         uint64 // to sockets
	Frames         uint64 // deliveries: pieces of bodies sent
	Heartbeats     uint64
	Stalled        uint64 // streams and connections closed because they took nothing
	ProtocolErrors uint64 // connections closed because of what the peer sent
}

// Stats returns what there is now.
func (e *Engine) Stats() Stats {
	e.setup()
	s := Stats{
		Requests:         int(e.handlersOpen.Load()),
		Accepted:         e.counters.accepted.Load(),
		FailedHandshakes: e.counters.failedHandshakes.Load(),
		Refused: Refused{
			Connections: e.counters.refused[refusedFull].Load(),
			Address:     e.counters.refused[refusedAddress].Load(),
			Handshakes:  e.counters.refused[refusedHandshakes].Load(),
			Descriptors: e.counters.refused[refusedDescriptor].Load(),
			Requests:    e.counters.refusedRequests.Load(),
		},
	}
	s.Connections, s.Handshakes = e.admission.counts()
	for _, l := range e.loops {
		t := &l.stats
		one := LoopStats{
			Connections:    int(t.connections.Load()),
			Subscribers:    int(t.subscribers.Load()),
			Read:           t.read.Load(),
			Written:        t.written.Load(),
			Writes:         t.writes.Load(),
			Frames:         t.frames.Load(),
			Heartbeats:     t.heartbeats.Load(),
			Stalled:        t.stalled.Load(),
			ProtocolErrors: t.protocolErrors.Load(),
		}
		s.Subscribers += one.Subscribers
		s.Loops = append(s.Loops, one)
	}
	return s
}

// counters are those of no loop.
type counters struct {
	accepted         atomic.Uint64
	failedHandshakes atomic.Uint64
	refused          [refusals]atomic.Uint64
	refusedRequests  atomic.Uint64
}

// counts are a loop's own; the same numbers for others are in loopStats once a turn.
type counts struct {
	read, written, writes, frames       uint64
	heartbeats, stalled, protocolErrors uint64
}

type loopStats struct {
	connections, subscribers            atomic.Int64
	read, written, writes, frames       atomic.Uint64
	heartbeats, stalled, protocolErrors atomic.Uint64
}

func (s *loopStats) publish(c *counts) {
	s.read.Store(c.read)
	s.written.Store(c.written)
	s.writes.Store(c.writes)
	s.frames.Store(c.frames)
	s.heartbeats.Store(c.heartbeats)
	s.stalled.Store(c.stalled)
	s.protocolErrors.Store(c.protocolErrors)
}
