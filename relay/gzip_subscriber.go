package relay

import (
	"time"

	"freshet/relay/gzipstream"
)

// A gzipSubscriber is a subscriber whose client takes gzip. Its stream says the
// same; see gzipstream for how. private holds what is framed already, and sent
// counts bytes of the stored form of the event at the cursor.
type gzipSubscriber struct {
	subscriber
	stream gzipstream.Stream // owned by the loop
}

// fillPatience is how long one who joins in the past waits for what nobody has
// compressed yet. A full topic of 1 MiB takes less, if the processors are free;
// else the rest comes as it is, at once, and whoever joins next goes on with it.
const fillPatience = 30 * time.Millisecond

// newGzipSubscriber is newSubscriber with gzip. It may take as long as
// fillPatience, so no event loop calls it.
func newGzipSubscriber(t *topic, who *address, from start) (*gzipSubscriber, joined) {
	s := &gzipSubscriber{subscriber: subscriber{topic: t, who: who}}
	how := s.begin(from)
	t.relay.metrics.gzip.streams.Add(1)
	patience := time.NewTimer(fillPatience)
	defer patience.Stop()
	t.ring.StartDeflated(t.relay.deflater, s.cursor, patience.C)
	s.private = s.stream.Open(nil, t.ring, s.cursor, s.private)
	return s, how
}

// Next is subscriber.Next, compressed.
func (s *gzipSubscriber) Next(max int) (p []byte, end bool) {
	ring := s.topic.ring
	for {
		if len(s.private) > 0 {
			return s.takePrivate(max)
		}
		if s.reason != staying {
			return nil, true
		}
		if s.sent > 0 {
			if p := s.part(max); p != nil {
				return p, false
			}
			continue
		}
		at, before := s.cursor, s.stream
		p, shared, events, lost := s.stream.Next(ring, &s.cursor, max)
		switch {
		case lost > 0:
			s.lapped(at)
			s.stream.Lapped()
			s.private = s.stream.Private(nil, ring, s.cursor, s.private)
		case events == 0:
			// What was appended but is not compressed yet is about to come.
			if ring.Lag(s.cursor) > 0 || !s.leave() {
				return nil, false
			}
			s.private = s.stream.End(nil, ring, s.cursor, s.private)
		case len(p) <= max:
			s.countForm(shared, events)
			s.count(events, len(p))
			return p, false
		case s.topic.relay.held.take(len(p) - max):
			rest := p[max:]
			s.private, s.rest = append([]byte(nil), rest...), int32(len(rest))
			s.countForm(shared, 1)
			s.count(1, max)
			return p[:max], false
		default:
			// A shared form may be gone, or another, when the rest is asked for.
			s.cursor, s.stream = at, before
			if p := s.part(max); p != nil {
				return p, false
			}
		}
	}
}

// part sends more of the stored form of the event at the cursor; nil if that is
// gone.
func (s *gzipSubscriber) part(max int) []byte {
	p, done, lost := s.stream.Part(s.topic.ring, &s.cursor, int(s.sent), max)
	if lost > 0 {
		s.reason = eventLost
		return nil
	}
	if done {
		s.sent = 0
		s.countForm(false, 1)
		s.count(1, len(p))
	} else {
		s.sent += int32(len(p))
		s.count(0, len(p))
	}
	return p
}

// Heartbeat returns what to send after a silence, or nil inside an event.
func (s *gzipSubscriber) Heartbeat() []byte {
	if s.subscriber.Heartbeat() == nil {
		return nil
	}
	return gzipstream.Heartbeat()
}

// Close is subscriber.Close.
func (s *gzipSubscriber) Close(cause error) {
	s.topic.ring.StopDeflated()
	s.topic.relay.metrics.gzip.streams.Add(-1)
	s.subscriber.Close(cause)
}

func (s *gzipSubscriber) countForm(shared bool, events int) {
	d := &s.topic.relay.metrics.delivered[s.loop]
	if shared {
		d.shared.Add(uint64(events))
	} else {
		d.stored.Add(uint64(events))
	}
}
