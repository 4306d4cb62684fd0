package netloop

import (
	"sync/atomic"
	"time"
)

// A Fanout is a set of streams that are woken together: the subscribers of one topic. Waking them
// carries no data; each stream's Body is then asked, by its own loop, for what it has. Wakes
// that come before the loop has got around to asking are one.
type Fanout struct {
	parts []part // one for each loop
}

// A part is what one loop has of a Fanout.
type part struct {
	// Static after construction.
	loop *loop
	hold time.Duration

	streams atomic.Int32 // how many there are; others than the loop look whether to wake it
	dirty   atomic.Bool  // woken, and not yet asked

	// Owned by the loop.
	seats  []*seat
	next   int           // the seat to be marked next
	left   int           // seats that are still to be marked
	queued bool          // in loop.toMark
	walked time.Duration // when it was last begun to be marked, on the loop's clock
	due    time.Duration // while it is in loop.holding

	_ [64]byte // what another loop's Wake writes is not in a line with ours
}

// NewFanout returns a Fanout without streams. Between two times that its streams are asked there is
// at least hold, so that what comes meanwhile is sent at once; what comes after a longer silence does not wait.
func (e *Engine) NewFanout(hold time.Duration) *Fanout {
	e.setup()
	f := &Fanout{parts: make([]part, len(e.loops))}
	for i, l := range e.loops {
		p := &f.parts[i]
		p.loop, p.hold = l, hold
		p.walked = -hold
	}
	return f
}

// Wake makes every stream's Body be asked. It does not block, and any goroutine may call it, after
// what it announces has become visible.
func (f *Fanout) Wake() {
	for i := range f.parts {
		p := &f.parts[i]
		if p.streams.Load() > 0 && !p.dirty.Load() && p.dirty.CompareAndSwap(false, true) {
			p.loop.push(p)
		}
	}
}

// Streams is how many streams there are.
func (f *Fanout) Streams() int {
	n := 0
	for i := range f.parts {
		n += int(f.parts[i].streams.Load())
	}
	return n
}

// run takes the wake-up into the loop. While the part is held it stays dirty, so that further
// wakes cost nothing.
func (p *part) run(l *loop) {
	if p.hold > 0 {
		if due := p.walked + p.hold; due > l.elapsed {
			p.due = due
			l.holding.push(p)
			return
		}
	}
	p.begin(l)
}

// begin makes all seats be marked, once around from where marking stands.
func (p *part) begin(l *loop) {
	p.dirty.Store(false) // before any Body is asked: what comes later wakes again
	p.walked = l.elapsed
	p.left = len(p.seats)
	if !p.queued && p.left > 0 {
		p.queued = true
		l.toMark.push(p)
	}
}

// mark marks seats of about so many streams, and reports how many.
func (p *part) mark(l *loop, streams int) int {
	n := 0
	for p.left > 0 && n < streams {
		p.left--
		if p.next >= len(p.seats) {
			p.next = 0
		}
		seat := p.seats[p.next]
		p.next++
		n += len(seat.streams)
		seat.conn.mark(seat)
	}
	return n
}

// A seat holds the streams of one connection in one part, so that what they are sent can be
// written together.
type seat struct {
	// Static after construction.
	conn *conn
	part *part

	// Owned by the loop.
	streams []*stream
	next    int   // the stream to be asked next
	left    int   // streams that are still to be asked
	place   int   // in part.seats
	mine    int   // in conn.seats.all
	later   *seat // in conn.marked
	marked  bool
}

// warmed is how many streams are looked at ahead of being asked.
const warmed = 16

// warm looks at the next few streams, what h2 has of them, and their bodies, and returns how many. Each is in memory
// that nobody has touched since the last event; asked one after the other, each would make the processor wait
// for three lines of it. Looked at in a row they come at the same time, which makes a
// delivery on a connection of a thousand streams a quarter cheaper.
func (s *seat) warm(l *loop) int {
	next := s.streams[s.next:]
	next = next[:min(len(next), warmed)]
	if len(next) < 4 {
		return len(next)
	}
	var seen byte
	for _, t := range next {
		seen += byte(t.flags)
	}
	for _, t := range next {
		if t.h2 != nil && t.h2.Closed() {
			seen++
		}
		seen += *bodyOf(t)
	}
	l.seen += seen // so that the compiler does not think it is of no use
	return len(next)
}

// seats are those of one connection.
type seats struct {
	all    []*seat
	byPart map[*part]*seat // once there are many
}

const manySeats = 8

func (t *seats) find(p *part) *seat {
	if t.byPart != nil {
		return t.byPart[p]
	}
	for _, s := range t.all {
		if s.part == p {
			return s
		}
	}
	return nil
}

func (t *seats) add(s *seat) {
	s.mine = len(t.all)
	t.all = append(t.all, s)
	switch {
	case t.byPart != nil:
		t.byPart[s.part] = s
	case len(t.all) > manySeats:
		t.byPart = make(map[*part]*seat, 2*manySeats)
		for _, s := range t.all {
			t.byPart[s.part] = s
		}
	}
}

func (t *seats) remove(s *seat) {
	last := len(t.all) - 1
	t.all[s.mine] = t.all[last]
	t.all[s.mine].mine = s.mine
	t.all[last] = nil
	t.all = t.all[:last]
	if t.byPart != nil {
		delete(t.byPart, s.part)
	}
	if last == 0 {
		t.all, t.byPart = nil, nil
	}
}

// sit puts s into the part.
func (c *conn) sit(s *stream, p *part) {
	at := c.seats.find(p)
	if at == nil {
		at = &seat{conn: c, part: p, place: len(p.seats)}
		p.seats = append(p.seats, at)
		c.seats.add(at)
	}
	s.seat, s.place = at, uint32(len(at.streams))
	at.streams = append(at.streams, s)
	p.streams.Add(1) // before its Body is asked for the first time
}

// unsit takes s out of its part. The last of its seat takes its place there; if a walk is under way
// that might have made the last one miss its turn, so it waits for one of its own.
func (c *conn) unsit(s *stream) {
	seat := s.seat
	p := seat.part
	s.seat = nil
	p.streams.Add(-1)
	last := len(seat.streams) - 1
	if moved := seat.streams[last]; moved != s {
		seat.streams[s.place] = moved
		moved.place = s.place
		if seat.left > 0 && c.phase < closing && moved.flags&blocked == 0 {
			c.wait(moved)
		}
	}
	seat.streams[last] = nil
	seat.streams = seat.streams[:last]
	seat.left = min(seat.left, last)
	if last > 0 {
		return
	}
	c.seats.remove(seat)
	last = len(p.seats) - 1
	if moved := p.seats[last]; moved != seat {
		p.seats[seat.place] = moved
		moved.place = seat.place
		if p.left > 0 {
			moved.conn.mark(moved)
		}
	}
	p.seats[last] = nil
	p.seats = p.seats[:last]
	p.left = min(p.left, last)
}

// mark makes the streams of the seat be asked when the connection is next served.
func (c *conn) mark(seat *seat) {
	seat.left = len(seat.streams)
	if !seat.marked {
		seat.marked = true
		if c.marked == nil {
			seat.later = seat
		} else {
			seat.later = c.marked.later
			c.marked.later = seat
		}
		c.marked = seat
	}
	if len(c.unsent) == 0 {
		c.loop.queueServe(c)
	}
}

// unmark takes the seat, which is the first, out of the circle.
func (c *conn) unmark(seat *seat) {
	if seat == c.marked {
		c.marked = nil
	} else {
		c.marked.later = seat.later
	}
	seat.later, seat.marked = nil, false
}
