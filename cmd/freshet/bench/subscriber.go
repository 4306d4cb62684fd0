//go:build linux

package bench

import (
	"bytes"
	"time"
)

// A subscriber is one stream's reader: it takes body bytes in any chunking and checks every event. Owned by the
// poller of its connection.
type subscriber struct {
	next   uint64  // the sequence number that must come next
	rest   []byte  // of a block whose end has not come yet
	packed *packed // nil: the stream is not compressed
	opened bool    // freshet.open, or any first block, has come
}

// A tally is what one poller's subscribers saw. Owned by that poller until the run is over.
type tally struct {
	delivered  uint64
	lost       uint64 // numbers that were jumped over
	doubled    uint64 // numbers that came again
	gaps       uint64 // freshet.gap events: losses that the server owned up to
	ends       uint64 // freshet.end events
	foreign    uint64 // events that no publisher of this run sent
	opened     uint64 // streams whose first block has come
	heartbeats uint64
	bytes      uint64 // of response bodies
	latency    histogram
}

var (
	blockEnd   = []byte("\n\n")
	dataPrefix = []byte("data: ")
	heartbeat  = []byte(":\n")
)

// receive takes the next bytes of the stream, which arrived at unix time now (nanoseconds).
func (s *subscriber) receive(p []byte, now int64, t *tally) error {
	t.bytes += uint64(len(p))
	if s.packed != nil {
		return s.packed.receive(s, p, now, t)
	}
	s.text(p, now, t)
	return nil
}

// text takes the next bytes of the text.
func (s *subscriber) text(p []byte, now int64, t *tally) {
	if len(s.rest) > 0 {
		s.rest = append(s.rest, p...)
		p = s.rest
	}
	for {
		for bytes.HasPrefix(p, heartbeat) {
			t.heartbeats++
			p = p[len(heartbeat):]
		}
		end := bytes.Index(p, blockEnd)
		if end < 0 {
			break
		}
		s.block(p[:end+1], now, t)
		p = p[end+len(blockEnd):]
	}
	if len(p) == 0 {
		s.rest = s.rest[:0]
		return
	}
	s.rest = append(s.rest[:0], p...)
}

// block checks one block; every line of it ends in LF, as relays write them.
func (s *subscriber) block(block []byte, now int64, t *tally) {
	if !s.opened {
		s.opened = true
		t.opened++
	}
	if !bytes.HasPrefix(block, dataPrefix) {
		s.control(block, t)
		return
	}
	sequence, due, ok := parseData(block[len(dataPrefix):])
	if !ok {
		t.foreign++
		return
	}
	switch {
	case sequence < s.next:
		t.doubled++
		return
	case sequence > s.next:
		t.lost += sequence - s.next
	}
	s.next = sequence + 1
	t.delivered++
	t.latency.record(time.Duration(now - due))
}

// coded counts an event that was not looked into, and was due then (0 = not known). The first one opens the stream.
func (s *subscriber) coded(due, now int64, t *tally) {
	if !s.opened {
		s.opened = true
		t.opened++
		return
	}
	s.next++
	t.delivered++
	if due > 0 {
		t.latency.record(time.Duration(now - due))
	}
}

// control counts the blocks that are not events of this run.
func (s *subscriber) control(block []byte, t *tally) {
	switch {
	case bytes.Contains(block, []byte("event: freshet.gap\n")):
		t.gaps++
	case bytes.Contains(block, []byte("event: freshet.end\n")):
		t.ends++
	case bytes.Contains(block, []byte("event: freshet.open\n")):
	case bytes.Contains(block, []byte("data:")):
		t.foreign++
	}
}
