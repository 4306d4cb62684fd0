package h3

import (
	"container/heap"
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
	members []*stream
	next    int           // the member that was marked last
	left    int           // members that are still to be marked
	queued  bool          // in loop.toMark
	walked  time.Duration // when it was last begun to be marked, on the loop's clock
	due     time.Duration // while it is in loop.holding

	_ [64]byte // what another loop's Wake writes is not in a line with ours
}

// NewFanout returns a Fanout without streams. Between two times that its streams are asked there is
// at least hold, so that what comes meanwhile is sent at once; what comes after a longer silence
// does not wait.
func (s *Server) NewFanout(hold time.Duration) *Fanout {
	s.setup()
	f := &Fanout{parts: make([]part, len(s.loops))}
	for i, l := range s.loops {
		p := &f.parts[i]
		p.loop, p.hold, p.walked = l, hold, -hold
	}
	return f
}

// Wake makes every stream's Body be asked. It does not block, and any goroutine may call it, after
// what it announces has become visible.
func (f *Fanout) Wake() {
	for i := range f.parts {
		p := &f.parts[i]
		if p.streams.Load() > 0 && !p.dirty.Load() && p.dirty.CompareAndSwap(false, true) {
			p.loop.inbox.push(p)
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
	if due := p.walked + p.hold; p.hold > 0 && due > l.elapsed {
		p.due = due
		heap.Push(&l.holding, p)
		return
	}
	p.begin(l)
}

// begin makes all members be marked, once around from where marking stands.
func (p *part) begin(l *loop) {
	p.dirty.Store(false) // before any Body is asked: what comes later wakes again
	p.walked = l.elapsed
	p.left = len(p.members)
	if !p.queued && p.left > 0 {
		p.queued = true
		l.toMark = append(l.toMark, p)
	}
}

// mark marks at most so many members, and reports how many.
func (p *part) mark(l *loop, most int) int {
	n := min(p.left, most)
	p.left -= n
	for range n {
		if p.next++; p.next >= len(p.members) {
			p.next = 0
		}
		l.mark(p.members[p.next])
	}
	return n
}

// add puts s in, last. If a walk is under way it comes to s too, or another would miss its turn.
func (p *part) add(s *stream) {
	s.part, s.place = p, len(p.members)
	p.members = append(p.members, s)
	if p.left > 0 {
		p.left++
	}
	p.streams.Add(1) // before its Body is asked for the first time
}

// remove takes s out. The last member takes its place there; if a walk is under way that might make
// it miss its turn, so it is marked.
func (p *part) remove(s *stream) {
	last := len(p.members) - 1
	moved := p.members[last]
	p.members[s.place] = moved
	moved.place = s.place
	p.members[last] = nil
	p.members = p.members[:last]
	p.streams.Add(-1)
	s.part = nil
	p.left = min(p.left, last)
	if p.left > 0 && moved != s {
		p.loop.mark(moved)
	}
	if cap(p.members) > 64 && len(p.members) < cap(p.members)/4 {
		p.members = append(make([]*stream, 0, 2*len(p.members)), p.members...)
	}
}

// held are the parts that were woken and wait for their time, the soonest first.
type held []*part

func (h held) Len() int           { return len(h) }
func (h held) Less(i, j int) bool { return h[i].due < h[j].due }
func (h held) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *held) Push(x any)        { *h = append(*h, x.(*part)) }
func (h *held) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}
