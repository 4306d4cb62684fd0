package netloop

import (
	"runtime"
	"slices"
	"time"

	"freshet/relay/h2"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A loop owns connections. It works in turns: it takes what the poller and the inbox report, then
// reads, marks and writes a bounded amount, and starts over.
type loop struct {
	// Static after construction.
	engine    *Engine
	id        int
	scratch   *h2.Scratch
	stall     tick
	idle      tick
	handshake tick
	header    tick
	heartbeat tick // 0 = never

	inbox inbox
	poll  poller // nil before open

	stats loopStats // written by the loop, read by anyone

	// Owned by the loop.
	now      time.Time
	elapsed  time.Duration // since the engine's start
	tick     tick
	wheel    wheel
	conns    connSet
	numbers  uint32         // connections so far
	toRead   queue[*conn]   // readable
	toServe  queue[*conn]   // with marked seats, or something the protocol has to say
	toMore   queue[*conn]   // with waiting streams
	toMark   queue[*part]   // woken
	holding  partHeap       // woken, and held
	in       [readSize]byte // what was read last
	out      []byte         // what is gathered for a connection
	wire     []byte         // the same, encrypted
	count    counts
	begun    int           // requests, in this turn
	yielded  time.Duration // when it last let others run, on the loop's clock
	seen     byte          // by warm
	told     bool          // connections leave after their next request
	draining bool          // connections leave as they come
	stopped  bool
}

const (
	longTurn     = time.Millisecond // after which others may run
	turnReads    = 64               // connections read in one turn
	turnRequests = 256              // requests begun in one turn, about
	turnMarks    = 512              // streams marked in one turn
	turnBatches  = 16               // connections with waiting streams served in one turn, each up to turnBytes
)

func newLoop(e *Engine, id int) *loop {
	l := &loop{
		engine:    e,
		id:        id,
		scratch:   h2.NewScratch(e.options),
		stall:     ticks(e.Stall),
		idle:      ticks(e.Idle),
		handshake: ticks(e.Handshake),
		header:    ticks(e.HeaderRead),
		heartbeat: ticks(max(0, e.Heartbeat)),
		out:       make([]byte, 0, turnBytes+4<<10),
	}
	l.clock()
	return l
}

func (l *loop) open() error {
	p, err := newPoller(l, l.engine.Portable)
	if err != nil {
		return err
	}
	l.poll = p
	return nil
}

// shut ends what the loop still had to do after it has returned: handlers that ran on may have
// given it streams.
func (l *loop) shut() {
	if l.poll == nil {
		return
	}
	l.stopped = true
	for tasks := l.inbox.take(); len(tasks) > 0; tasks = l.inbox.take() {
		for _, t := range tasks {
			t.run(l)
		}
	}
	l.poll.close()
}

// push asks the loop to run t. Any goroutine may call it.
func (l *loop) push(t task) {
	if l.inbox.push(t) {
		l.poll.wake()
	}
}

func (l *loop) clock() {
	l.now = time.Now()
	l.elapsed = l.now.Sub(l.engine.start)
	l.tick = tick(l.elapsed / tickLength)
}

// work runs the loop until stopLoop.
func (l *loop) work() error {
	for !l.stopped {
		d := l.timeout()
		rests := d != 0 && l.inbox.rest()
		if !rests {
			d = 0
		}
		if !rests && (l.begun > 0 || l.elapsed-l.yielded > longTurn) {
			// Handlers come first: a loop that went on reading could start them faster than they run. And a
			// loop with much to send would keep its processor until the scheduler takes it away, 10 ms later.
			runtime.Gosched()
			l.yielded = l.elapsed
		}
		err := l.poll.wait(d)
		if rests {
			l.inbox.rise()
			l.yielded = time.Since(l.engine.start)
		}
		if err != nil {
			return err
		}
		l.clock()
		for _, t := range l.inbox.take() {
			t.run(l)
		}
		l.wheel.advance(l.tick, l.ring)
		l.turn()
		l.stats.publish(&l.count)
	}
	return nil
}

// turn does a bounded amount of what is to be done.
func (l *loop) turn() {
	l.begun = 0
	for n := min(turnReads, l.toRead.len()); n > 0 && l.begun < turnRequests; n-- {
		c := l.toRead.pop()
		c.queued &^= toRead
		c.read()
	}
	for len(l.holding) > 0 && l.holding[0].due <= l.elapsed {
		l.holding.pop().begin(l)
	}
	// Parts take turns, so that a small one is not behind all of a huge one.
	for marks := turnMarks; marks > 0 && l.toMark.len() > 0; {
		p := l.toMark.pop()
		marks -= max(1, p.mark(l, min(marks, turnMarks/4)))
		if p.left > 0 {
			l.toMark.push(p)
		} else {
			p.queued = false
		}
	}
	for n := l.toServe.len(); n > 0; n-- {
		c := l.toServe.pop()
		c.queued &^= toServe
		c.serve(false)
	}
	for n := min(turnBatches, l.toMore.len()); n > 0; n-- {
		c := l.toMore.pop()
		c.queued &^= toServeMore
		c.serve(true)
	}
}

// timeout is how long the loop may wait, < 0 for ever.
func (l *loop) timeout() time.Duration {
	if l.toRead.len()+l.toMark.len()+l.toServe.len()+l.toMore.len() > 0 {
		return 0
	}
	until := time.Duration(-1)
	if t, ok := l.wheel.next(); ok {
		until = time.Duration(int64(l.elapsed/tickLength)+int64(t-l.tick)) * tickLength
	}
	if len(l.holding) > 0 && (until < 0 || l.holding[0].due < until) {
		until = l.holding[0].due
	}
	if until < 0 {
		return -1
	}
	return max(0, until-time.Since(l.engine.start))
}

// ring is what the wheel calls.
func (l *loop) ring(a *alarm) {
	if a.conn.phase != closed {
		a.conn.setAlarm()
	}
}

func (l *loop) queueServe(c *conn) {
	if c.queued&toServe == 0 {
		c.queued |= toServe
		l.toServe.push(c)
	}
}

func (l *loop) queueServeMore(c *conn) {
	if c.queued&toServeMore == 0 {
		c.queued |= toServeMore
		l.toMore.push(c)
	}
}

// arrived is the task that gives a connection to its loop.
type arrived conn

func (a *arrived) run(l *loop) {
	c := (*conn)(a)
	if !l.add(c) {
		return
	}
	c.phase = opening
	c.http2 = h2.New(l.scratch, c)
	l.queueServe(c) // our SETTINGS
	c.queueRead()   // what came with the end of the handshake is in the tls.Conn already
	if l.draining {
		c.leave()
	}
	c.setAlarm()
}

// add makes c one of the loop's connections.
func (l *loop) add(c *conn) bool {
	l.numbers++
	c.number = l.numbers
	c.since = l.tick
	l.conns.add(c)
	l.stats.connections.Add(1)
	if l.stopped {
		c.abort(ErrShutdown)
		return false
	}
	if err := l.poll.watch(c); err != nil {
		l.engine.log.Warn("connection not watched", "err", err)
		c.abort(ErrGone)
		return false
	}
	return true
}

// The steps of a shutdown, of which the first may be left out.
type (
	leaveLoop struct{}
	drainLoop struct{}
	stopLoop  struct{}
)

func (leaveLoop) run(l *loop) {
	l.told = true
	for _, c := range slices.Clone(l.conns) {
		c.leaveIfAsked()
	}
}

func (drainLoop) run(l *loop) {
	l.draining = true
	for _, c := range slices.Clone(l.conns) {
		c.leave()
	}
}

func (stopLoop) run(l *loop) {
	l.stopped = true
	for len(l.conns) > 0 {
		l.conns[len(l.conns)-1].abort(ErrShutdown)
	}
}

// Request and the methods below make conn the h2.Handler of itself.
func (c *conn) Request(hs *h2.Stream, fields []hpack.HeaderField, end bool) {
	s := &stream{conn: c, h2: hs, since: c.loop.tick}
	hs.Owner = s
	c.streams++
	c.begun = c.loop.tick // one header has ended: what is begun now began since
	c.asked = true
	c.begin(s, fields, end)
}

func (c *conn) Data(hs *h2.Stream, p []byte, end bool) {
	s := hs.Owner.(*stream)
	if x, ok := s.body.(*exchange); ok && x.body != nil {
		x.body.receive(p, end)
	} else {
		hs.Consume(len(p))
	}
}

func (c *conn) Trailers(hs *h2.Stream, _ []hpack.HeaderField) {
	c.Data(hs, nil, true)
}

func (c *conn) Reset(hs *h2.Stream, _ http2.ErrCode) {
	cause := c.cause
	if cause == nil {
		cause = ErrGone
	}
	c.drop(hs.Owner.(*stream), cause)
}

func (c *conn) Writable(hs *h2.Stream) {
	s := hs.Owner.(*stream)
	s.flags &^= blocked
	s.since = c.loop.tick
	c.wait(s)
}
