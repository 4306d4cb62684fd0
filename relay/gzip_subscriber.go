package relay

import (
	"time"

	"freshet/relay/gzipstream"
	"freshet/ringbuf"
)

// A gzipSubscriber is a subscriber whose client takes gzip. Its stream says the
// same; see gzipstream for how. What is private is framed already, and what was
// sent of the event at the cursor is counted in its stored form.
type gzipSubscriber struct {
	subscriber
	sum ringbuf.Sum // of the stream's text; owned by the loop
}

// fillPatience is how long one who joins in the past waits for what nobody has
// compressed yet. A full topic of 1 MiB takes less, if the processors are free;
// else the rest comes as it is, at once, and whoever joins next goes on with it.
const fillPatience = 30 * time.Millisecond

// hurry is the patience of who may not wait at all.
var hurry = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// newGzipSubscriber is newSubscriber with gzip. It may take as long as
// fillPatience, so no event loop calls it.
func newGzipSubscriber(t *topic, who *address, from start, at seat) (*gzipSubscriber, joined) {
	s := &gzipSubscriber{subscriber: subscriber{topic: t, who: who}}
	how := s.begin(from, at)
	t.relay.metrics.gzip.streams.Add(1)
	patience := time.NewTimer(fillPatience)
	defer patience.Stop()
	at.log.ring.StartDeflated(t.relay.deflater, s.cursor, patience.C)
	s.say(s.stream.Open(nil, &s.sum, at.log.ring, s.cursor, s.private()))
	return s, how
}

// Next is subscriber.Next, compressed.
func (s *gzipSubscriber) Next(max int) (p []byte, end bool) {
	for {
		if len(s.private()) > 0 {
			return s.takePrivate(max)
		}
		if s.reason != staying {
			return nil, true
		}
		log := s.topic.log.Load()
		ring := log.ring
		if s.version != log.version {
			s.turn(log)
			continue
		}
		if s.catching() {
			something := s.catchUp(ring, max)
			s.stream.Lapped() // not all that it passed is in the stream
			switch {
			case something:
				s.frame(ring)
			case s.leave(ring):
				s.say(s.stream.End(nil, &s.sum, ring, s.cursor, s.private()))
			default:
				return nil, false
			}
			continue
		}
		if s.sent() > 0 {
			if p := s.part(ring, max); p != nil {
				return p, false
			}
			continue
		}
		at, before := s.cursor, s.stream
		p, shared, events, lost := s.stream.Next(ring, &s.cursor, max)
		switch {
		case lost > 0:
			s.lapped(ring, at)
			s.stream.Lapped()
			s.frame(ring)
		case events == 0:
			// What was appended but is not compressed yet is about to come.
			if ring.Lag(s.cursor) > 0 || !s.leave(ring) {
				return nil, false
			}
			s.say(s.stream.End(nil, &s.sum, ring, s.cursor, s.private()))
		case len(p) <= max:
			s.countForm(shared, events)
			s.count(events, len(p))
			return p, false
		case s.topic.relay.held.take(len(p) - max):
			s.hold(p[max:])
			s.countForm(shared, 1)
			s.count(1, max)
			return p[:max], false
		default:
			// A shared form may be gone, or another, when the rest is asked for.
			s.cursor, s.stream = at, before
			if p := s.part(ring, max); p != nil {
				return p, false
			}
		}
	}
}

// frame puts private text into the stream.
func (s *gzipSubscriber) frame(ring *ringbuf.Ring) {
	if text := s.private(); len(text) > 0 {
		s.say(s.stream.Private(nil, &s.sum, ring, s.cursor, text))
	}
}

// turn is take, where the text that came before may be of another ring.
func (s *gzipSubscriber) turn(log *shownLog) {
	at, from := s.cursor, log.read(s.version)
	s.take(log)
	if from != log.ring {
		if from != nil {
			from.StopDeflated()
		}
		log.ring.StartDeflated(s.topic.relay.deflater, log.ring.Latest(), hurry)
	} else if at == s.cursor && len(s.private()) == 0 {
		return
	}
	s.stream.Lapped()
	s.frame(log.ring)
}

// part sends more of the stored form of the event at the cursor; nil if that is
// gone.
func (s *gzipSubscriber) part(ring *ringbuf.Ring, max int) []byte {
	p, done, lost := s.stream.Part(ring, &s.cursor, s.sent(), max)
	if lost > 0 {
		s.reason = eventLost
		return nil
	}
	if done {
		s.setSent(0)
		s.countForm(false, 1)
		s.count(1, len(p))
	} else {
		s.setSent(s.sent() + len(p))
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
	if ring := s.topic.log.Load().read(s.version); ring != nil {
		ring.StopDeflated()
	}
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
