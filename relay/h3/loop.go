package h3

import (
	"container/heap"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// A loop owns the streams of its connections that were handed over by Take. It works in turns: it
// takes what the inbox brings, marks a bounded number of streams, writes what is due on
// their connections, and starts over.
type loop struct {
	// Static after construction.
	server *Server
	id     int

	inbox inbox

	conns atomic.Int32 // those that were given to this loop; for picking one

	// Owned by the loop.
	elapsed time.Duration // since the server's start
	wheel   wheel
	streams map[*stream]struct{}
	toMark  []*part // woken
	holding held    // woken, and held
	dirty   *conn   // with marked streams; the first of a list
	last    *conn   // of that list
	out     []byte  // one frame
	stopped bool
}

const (
	// turnMarks is how many streams are marked in one turn.
	turnMarks = 512
	// burst is how many connections are written to before their goroutines get a turn. quic-go packs
	// into buffers of 20 KiB and holds each until the socket has taken it.
	burst = 64
)

func newLoop(s *Server, id int) *loop {
	l := &loop{
		server:  s,
		id:      id,
		inbox:   inbox{wake: make(chan struct{}, 1)},
		streams: make(map[*stream]struct{}),
	}
	if s.Heartbeat > 0 {
		l.wheel.length = max(s.Heartbeat/heartbeatTicks, time.Millisecond)
	}
	return l
}

// work runs the loop until it is stopped.
func (l *loop) work() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !l.stopped {
		if wait := l.timeout(); wait != 0 {
			var alarm <-chan time.Time
			if wait > 0 {
				timer.Reset(wait)
				alarm = timer.C
			}
			select {
			case <-l.inbox.wake:
			case <-alarm:
			}
		}
		l.turn()
	}
}

// turn does a bounded amount of what is to be done.
func (l *loop) turn() {
	l.elapsed = time.Since(l.server.start)
	for _, t := range l.inbox.take() {
		t.run(l)
	}
	if l.wheel.length > 0 {
		l.wheel.advance(tick(l.elapsed/l.wheel.length), l.beat)
	}
	for len(l.holding) > 0 && l.holding[0].due <= l.elapsed {
		heap.Pop(&l.holding).(*part).begin(l)
	}
	// Parts take turns, so that a small one is not behind all of a huge one.
	for marks := turnMarks; marks > 0 && len(l.toMark) > 0; {
		p := l.toMark[0]
		l.toMark = slices.Delete(l.toMark, 0, 1)
		marks -= max(1, p.mark(l, min(marks, turnMarks/4)))
		if p.left > 0 {
			l.toMark = append(l.toMark, p)
		} else {
			p.queued = false
		}
	}
	for n := 1; l.dirty != nil; n++ {
		if n%burst == 0 {
			runtime.Gosched()
		}
		c := l.dirty
		if l.dirty = c.dirtier; l.dirty == nil {
			l.last = nil
		}
		c.dirtier, c.queued = nil, false
		c.serve()
	}
}

// timeout is how long the loop may wait, < 0 for ever.
func (l *loop) timeout() time.Duration {
	if len(l.toMark) > 0 {
		return 0
	}
	until := time.Duration(-1)
	if l.wheel.set > 0 {
		until = time.Duration(l.wheel.now+1) * l.wheel.length
	}
	if len(l.holding) > 0 && (until < 0 || l.holding[0].due < until) {
		until = l.holding[0].due
	}
	if until < 0 {
		return -1
	}
	return max(0, until-time.Since(l.server.start))
}

// mark makes s be served in this turn, together with what else is due on its connection, so that it
// shares packets.
func (l *loop) mark(s *stream) {
	if s.flags&(marked|apart|gone) != 0 {
		return // who is apart is asked when it comes back
	}
	s.flags |= marked
	c := s.conn
	if c.marked == nil {
		c.marked = s
	} else {
		c.lastMarked.next = s
	}
	c.lastMarked = s
	if !c.queued {
		c.queued = true
		if l.last == nil {
			l.dirty = c
		} else {
			l.last.dirtier = c
		}
		l.last = c
	}
}

// serve asks the marked streams for what they have.
func (c *conn) serve() {
	for c.marked != nil {
		s := c.marked
		if c.marked = s.next; c.marked == nil {
			c.lastMarked = nil
		}
		s.next = nil
		s.flags &^= marked
		s.serve()
	}
}

// beat is called when the time of s has come: it looks whether there was silence.
func (l *loop) beat(s *stream) {
	if quiet := l.wheel.now - s.wrote; quiet < heartbeatTicks {
		l.wheel.add(s, s.wrote+heartbeatTicks)
		return
	}
	if s.flags&(apart|marked) == 0 {
		if p := s.body.Heartbeat(); len(p) > 0 {
			s.send(p)
		}
	}
	if s.flags&gone == 0 {
		l.wheel.add(s, l.wheel.now+heartbeatTicks)
	}
}

// stopLoop ends what the loop has, and then the loop.
type stopLoop struct{}

func (stopLoop) run(l *loop) {
	l.end()
	l.stopped = true
}

// endStreams ends what the loop has.
type endStreams struct{}

func (endStreams) run(l *loop) { l.end() }

func (l *loop) end() {
	for s := range l.streams {
		s.abort(ErrShutdown)
	}
}
