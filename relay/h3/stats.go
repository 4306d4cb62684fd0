package h3

import "sync/atomic"

// counters are what the server counts. Anyone may write them.
type counters struct {
	streams  atomic.Int64
	apart    atomic.Int64
	partings atomic.Uint64
	requests atomic.Int64
	stalled  atomic.Uint64
	early    atomic.Uint64
	retries  atomic.Uint64
	refused  [refusals]atomic.Uint64
}

// Stats is what a server has done and has.
type Stats struct {
	Connections int   // open, handshakes included
	Handshakes  int   // in progress
	Streams     int64 // handed over by Take, and not ended
	Apart       int64 // of these, in a goroutine of their own because they lag behind
	Requests    int64 // in their handlers

	Partings uint64 // how often a stream went apart
	Stalled  uint64 // streams closed because the peer took nothing
	Early    uint64 // requests answered 425
	Retries  uint64 // peers that were made to prove their address first

	// What was refused, by the limit that refused it.
	RefusedFull, RefusedAddress, RefusedHandshakes, RefusedLeaving, RefusedRequests, RefusedDepartures uint64
}

// Stats returns what the server has done and has.
func (s *Server) Stats() Stats {
	s.setup()
	c := &s.stats
	s.admission.mu.Lock()
	connections := s.admission.count
	s.admission.mu.Unlock()
	return Stats{
		Connections:       connections,
		Handshakes:        int(s.admission.pending.Load()),
		Streams:           c.streams.Load(),
		Apart:             c.apart.Load(),
		Requests:          c.requests.Load(),
		Partings:          c.partings.Load(),
		Stalled:           c.stalled.Load(),
		Early:             c.early.Load(),
		Retries:           c.retries.Load(),
		RefusedFull:       c.refused[refusedFull].Load(),
		RefusedAddress:    c.refused[refusedAddress].Load(),
		RefusedHandshakes: c.refused[refusedHandshakes].Load(),
		RefusedLeaving:    c.refused[refusedLeaving].Load(),
		RefusedRequests:   c.refused[refusedRequests].Load(),
		RefusedDepartures: c.refused[refusedDepartures].Load(),
	}
}
