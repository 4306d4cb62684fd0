package relay

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"freshet/origin/sse"
	"freshet/relay/gzipstream"
	"freshet/relay/netloop"
	"freshet/ringbuf"
)

// A subscriber is the body of one downstream stream: a cursor in the topic's
// ring, and the few bytes that are meant for this client alone. Replay and live
// are the same loop: whoever owns the stream asks Next for what comes after the
// cursor for as long as the connection takes bytes, and again when the topic
// was woken.
//
//	           Next                    Next                 Next
//	private: opening block, gap ──▶ ring: events ──▶ ... ──▶ private: end or retry ──▶ over
//	              ▲                   │
//	              └─── lapped ────────┘
//
// It has no queue: a client that does not read stands still with its cursor.
// All methods are called by the one goroutine or loop that owns the stream.
type subscriber struct {
	// static after Start
	topic *topic
	who   *address

	// owned by the loop
	cursor ringbuf.Cursor
	aside  *aside // nil = nothing

	// static after Start; here because there are millions of these
	lot  uint16 // the place in the order of being sent away
	loop uint8  // whose counters count it

	// owned by the loop
	reason  leaving
	version uint16            // of the topic's log, that cursor is in
	stream  gzipstream.Stream // a gzipSubscriber's; here because here is room
}

// leaving is why the stream is about to end.
type leaving uint8

const (
	staying leaving = iota
	topicEnded
	relayDrains
	eventLost // the rest of an event that was begun is gone
)

// everyLot is above all lots.
const everyLot = 1 << 16

// newSubscriber returns a subscriber of t, which the caller has joined, that
// begins at its seat, and how that is to be counted.
func newSubscriber(t *topic, who *address, from start, at seat) (*subscriber, joined) {
	s := &subscriber{topic: t, who: who}
	return s, s.begin(from, at)
}

// begin has the subscriber, of which topic and who are set, begin at its seat.
func (s *subscriber) begin(from start, at seat) joined {
	s.lot = uint16(rand.Uint32())
	s.cursor, s.version = at.cursor, at.log.version
	if at.catchup != nil {
		s.topic.catchups.set(s, at.catchup)
		at.leave(s.topic)
	}
	retry := s.topic.relay.retry()
	ring := at.log.ring
	before := ring.Before(s.cursor).String()
	switch {
	case at.gap != "":
		// A client that is cut off before it got the gap must be told again.
		// What can not come back cannot be written into the stream either.
		id := before
		if sse.UsableID(from.resume) {
			id = from.resume
		}
		s.say(s.appendGap(appendOpen(nil, retry, id), ring, from.resume, at.gap))
		return joinedGap
	case from.resume != "":
		s.say(appendOpen(nil, retry, from.resume))
		return joinedReplay
	}
	s.say(appendOpen(nil, retry, before))
	if from.from == fromLive {
		return joinedLive
	}
	return joinedReplay
}

// appendGap appends a gap before what is at the cursor.
func (s *subscriber) appendGap(dst []byte, r *ringbuf.Ring, lastEventID string, why reason) []byte {
	s.topic.relay.metrics.gaps[why].Inc()
	before := r.Before(s.cursor)
	oldest := before
	if r.Lag(s.cursor) > 0 {
		oldest = r.Before(ringbuf.CursorAfter(before.Seq + 1))
	}
	return appendGap(dst, gap{
		Topic:       s.topic.name,
		LastEventID: lastEventID,
		OldestID:    r.ID(oldest),
		Reason:      why,
	}, before.String())
}

// Start says which loop owns the stream.
func (s *subscriber) Start(loop int) {
	s.loop = uint8(loop % loopCounters)
}

// Next returns at most max bytes to send next, max being at least 1. They stay
// as they are for as long as anybody holds them. No bytes mean that there is
// nothing now; end means that nothing comes after them.
func (s *subscriber) Next(max int) (p []byte, end bool) {
	for {
		if len(s.private()) > 0 {
			return s.takePrivate(max)
		}
		if s.reason != staying {
			return nil, true
		}
		log := s.topic.log.Load()
		if s.version != log.version {
			s.take(log)
			continue
		}
		if s.catching() {
			if !s.catchUp(log.ring, max) && !s.leave(log.ring) {
				return nil, false
			}
			continue
		}
		at, sent := s.cursor, s.sent()
		run, events, lost := log.ring.Next(&s.cursor, max+sent)
		switch {
		case events > 0:
			if run = run[sent:]; len(run) > max {
				return s.cut(at, run, max), false
			}
			s.setSent(0)
			s.count(events, len(run))
			return run, false
		case lost > 0 && sent > 0:
			s.reason = eventLost
		case lost > 0:
			s.lapped(log.ring, at)
		case !s.leave(log.ring):
			return nil, false
		}
	}
}

func (s *subscriber) takePrivate(max int) (p []byte, end bool) {
	p = s.private()
	if len(p) > max {
		p = p[:max]
	}
	rest := s.private()[len(p):]
	s.say(rest)
	if len(rest) == 0 {
		s.letGo()
	}
	s.count(0, len(p))
	return p, len(rest) == 0 && s.reason != staying
}

// cut sends the first part of an event that is too large for now. The rest is
// held in a copy, so that the event comes whole even if the ring forgets it
// meanwhile. Copies are bounded over all subscribers, so that many slow ones do
// not pin many large events; past the bound the cursor stays before the event,
// to read it again.
func (s *subscriber) cut(at ringbuf.Cursor, event []byte, max int) []byte {
	rest := event[max:]
	if s.topic.relay.held.take(len(rest)) {
		s.hold(rest)
		s.count(1, max)
	} else {
		s.cursor = at
		s.setSent(s.sent() + max)
		s.count(0, max)
	}
	return event[:max]
}

// lapped goes on from the newest event: a client that cannot keep up is better
// served with what is now than with what it would lose again.
func (s *subscriber) lapped(r *ringbuf.Ring, at ringbuf.Cursor) {
	last := r.ID(r.Before(at))
	s.cursor = r.Last(1)
	s.say(s.appendGap(nil, r, last, gapLapped))
}

// leave lets the subscriber go if its lot has come, now that it stands at the
// head of the log, between two events.
func (s *subscriber) leave(r *ringbuf.Ring) bool {
	t := s.topic
	switch lot := uint32(s.lot); {
	case lot < t.pace.Load():
		s.reason = topicEnded
		if t.relay.config.Logs == nil { // else the end is an event of the log
			s.say(appendEnd(nil, t.name, r.Before(s.cursor).String()))
		}
	case lot < t.relay.pace.Load():
		// One line, and no blank line after it: a retry counts as soon as its
		// line is read, and a block without an id would clear what the client
		// remembers.
		s.reason = relayDrains
		s.say(sse.AppendRetry(nil, t.relay.retry()))
	default:
		return false
	}
	return true
}

// heartbeat is a comment, which no parser makes anything of. A blank line after
// it would end a block, which some clients report.
var heartbeat = []byte(":\n")

// Heartbeat returns what to send after a silence, or nil inside an event.
func (s *subscriber) Heartbeat() []byte {
	if len(s.private()) > 0 || s.sent() > 0 || s.reason != staying {
		return nil
	}
	return heartbeat
}

// Close is called exactly once, when the stream is over: after end, or because
// of cause.
func (s *subscriber) Close(cause error) {
	r := s.topic.relay
	s.letGo()
	if s.catching() {
		s.topic.catchups.set(s, nil)
	}
	why := leftGone
	switch {
	case s.reason == topicEnded:
		why = leftEnded
	case s.reason == relayDrains:
		why = leftDrained
	case s.reason == eventLost:
		why = leftTorn
	case errors.Is(cause, netloop.ErrShutdown):
		why = leftStopped
	case errors.Is(cause, netloop.ErrStalled) || errors.Is(cause, os.ErrDeadlineExceeded):
		why = leftStalled
	}
	r.metrics.leaves[why].Inc()
	r.forsake(s.topic, s.who)
}

// count adds to what was handed on.
func (s *subscriber) count(events, bytes int) {
	d := &s.topic.relay.metrics.delivered[s.loop]
	if events > 0 {
		d.events.Add(uint64(events))
	}
	d.bytes.Add(uint64(bytes))
}

// held bounds the memory of the rests of events, over all subscribers.
type held struct {
	most  int64 // static after construction; bytes
	bytes atomic.Int64
}

func (h *held) take(n int) bool {
	if h.bytes.Add(int64(n)) > h.most {
		h.bytes.Add(int64(-n))
		return false
	}
	return true
}

func (h *held) give(n int) { h.bytes.Add(int64(-n)) }

// spread raises pace until all lots are below it, over as long as most, or over
// a millisecond for each of the audience if that is less. So one subscriber is
// let go at once, and a million do not come back in the same second. When ctx
// ends, the rest goes at once.
func spread(pace *atomic.Uint32, audience int, most time.Duration, wake func(), over <-chan struct{}) {
	window := min(most, time.Duration(audience)*time.Millisecond)
	const least = 10 * time.Millisecond // between two steps
	if step := max(window/64, least); window > step {
		tick := time.NewTicker(step)
		defer tick.Stop()
	steps:
		for gone := step; gone < window; gone += step {
			pace.Store(uint32(everyLot * gone / window))
			wake()
			select {
			case <-tick.C:
			case <-over:
				break steps
			}
		}
	}
	pace.Store(everyLot)
	wake()
}
