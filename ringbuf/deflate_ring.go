package ringbuf

import (
	"hash/crc32"
	"slices"
	"sync/atomic"
	"time"
)

// deflated is the compressed form beside a ring's text, for as long as somebody listens to it.
//
//	text    [e e e e e e e e e e e e e e e e e e e e e e e]
//	packs        [e e e e]       [e e e e e][e e e e e]   ^ head
//	              filled in       made as events came ^ done
//	              for a resume
//
// Who appends makes the form of new events before the watchers are woken; who joins in the past
// fills in what is missing from its place on, for as long as it cares to wait. Both may find that there is no
// room. Whatever is missing, a reader gets as text.
type deflated struct {
	deflater *Deflater // static after construction

	// Read by anyone. Changed by copy and exchange, by the appender and by who fills in.
	packs     atomic.Pointer[packs]
	mark      atomic.Pointer[mark] // up to which event the appender is through
	listeners atomic.Int64

	filling chan struct{} // has the token of the one who fills in, which the appender never takes

	asked uint64 // the last loan of a coder; guarded by the deflater's mu

	// Guarded by the ring's mu.
	tail  *pack // the appender's; nil = none
	stale bool  // nobody listened at the last look
}

// StartDeflated has the compressed form made of events from now on, until StopDeflated is called as often. It
// fills in what a reader who begins at c will need and nobody has made yet, which takes about a
// second for 50 MB; so it is not called where nobody may wait. It stops, a few milliseconds late, once patience can be received
// from (nil = never), and leaves the rest to the next who asks.
//
// All readers of a ring use the same Deflater.
func (r *Ring) StartDeflated(d *Deflater, c Cursor, patience <-chan time.Time) {
	r.mu.Lock()
	p := r.deflated.Load()
	if p == nil {
		p = &deflated{deflater: d, filling: make(chan struct{}, 1)}
		p.packs.Store(new(packs))
		r.deflated.Store(p)
	}
	head := r.head.Load()
	if p.listeners.Add(1) == 1 {
		p.mark.Store(&mark{seq: head, size: firstSize})
		p.tail = nil
	}
	p.stale = false
	p.forget(r.oldest.Load())
	v := r.view.Load()
	r.mu.Unlock()
	p.fill(r, v, c.after+1, head, patience)
}

// StopDeflated undoes one StartDeflated. It does not wait for anybody.
func (r *Ring) StopDeflated() { r.deflated.Load().listeners.Add(-1) }

// change exchanges the packs for changed ones, and returns what that freed, in bytes.
func (p *deflated) change(change func(packs) packs) {
	for {
		old := p.packs.Load()
		next := change(*old)
		if len(next) == len(*old) {
			return // packs are only added or dropped
		}
		if p.packs.CompareAndSwap(old, &next) {
			for _, gone := range *old {
				if len(next) == 0 || gone.first < next[0].first {
					p.deflater.give(gone.footprint())
				}
			}
			return
		}
	}
}

// forget drops the packs of events before oldest. Under the ring's mu.
func (p *deflated) forget(oldest uint64) {
	if p.tail != nil && p.tail.beyond() <= oldest {
		p.tail = nil
	}
	p.change(func(old packs) packs { return old.since(oldest) })
}

// deflate makes the compressed form of what was appended. Under mu, before watchers are woken.
func (r *Ring) deflate() {
	p := r.deflated.Load()
	if p == nil || p.listeners.Load() == 0 {
		return
	}
	p.forget(r.oldest.Load())
	v, head := r.view.Load(), r.head.Load()
	var k *coder
	through := *p.mark.Load()
	for seq := max(through.seq+1, r.oldest.Load()); seq <= head; seq++ {
		s, i := v.entry(seq)
		text := s.buf[s.start(i):s.stop(i)]
		through.crc = crc32.Update(through.crc, crc32.IEEETable, text)
		through.size += uint64(len(text))
		if !p.hopeful() {
			p.deflater.refused.Add(1)
			continue
		}
		if k == nil {
			k = p.deflater.borrow(p, seq)
		}
		b, need := p.deflater.encode(k, p, v, seq, text)
		if !p.append(seq, b, need) {
			p.deflater.refused.Add(1)
		}
	}
	if k != nil {
		p.deflater.hand(k)
	}
	through.seq = head
	p.mark.Store(&through)
}

const (
	leastPack = 512      // bytes
	mostPack  = 32 << 10 // larger only for one event that is; bytes
)

// hopeful reports whether there may be room for another event, before time is spent on it.
func (p *deflated) hopeful() bool {
	return p.tail != nil || len(*p.packs.Load()) > 0 || p.deflater.held.Load()+leastPack <= p.deflater.memory
}

// append puts an event into the tail, or a new one. It makes room at its own ring's expense only: the
// oldest go first.
func (p *deflated) append(seq uint64, b []byte, need int) bool {
	if p.tail != nil && p.tail.beyond() == seq && p.tail.fits(len(b)) {
		p.tail.put(b, need)
		return true
	}
	size := leastPack
	if p.tail != nil {
		size = min(2*len(p.tail.buf), mostPack)
	}
	tail := newPack(max(size, len(b)+packIndex), seq)
	for !p.deflater.take(tail.footprint()) {
		list := *p.packs.Load()
		if len(list) == 0 {
			p.tail = nil
			return false
		}
		p.forget(list[0].beyond())
	}
	tail.put(b, need)
	p.tail = tail
	p.change(func(old packs) packs { return old.with(tail) })
	return true
}

// fill makes the compressed form of the events from first to last where it is missing. Who begins at first
// gets the first of them as text anyway, so these are left out. One at a time does it for a ring: the others wait and
// find it done.
func (p *deflated) fill(r *Ring, v *view, first, last uint64, patience <-chan time.Time) {
	first = max(first, r.oldest.Load())
	for skip := p.deflater.primed(); skip > 0 && first <= last; first++ {
		if first < r.oldest.Load() || !v.holds(first) {
			return
		}
		s, i := v.entry(first)
		skip -= s.stop(i) - s.start(i)
	}
	seq, _ := p.missing(first, last)
	if seq > last {
		return // and nobody is waited for
	}
	// The ring's first, so that nobody waits with a token that others could use.
	if !await(p.filling, patience) {
		p.hurry(seq, last)
		return
	}
	defer func() { <-p.filling }()
	if !await(p.deflater.fillers, patience) {
		p.hurry(seq, last)
		return
	}
	defer func() { <-p.deflater.fillers }()
	for {
		var stop uint64
		if seq, stop = p.missing(seq, last); seq > last {
			return
		}
		select {
		case <-patience:
			p.hurry(seq, last)
			return
		default:
		}
		fresh := p.chunk(v, seq, stop)
		if fresh.first < r.oldest.Load() {
			return // what the appender has evicted meanwhile it would not look for again
		}
		if !p.deflater.take(fresh.footprint()) {
			p.deflater.refused.Add(stop - seq)
			return
		}
		p.change(func(old packs) packs { return old.with(fresh) })
		seq = fresh.beyond()
	}
}

// await puts a token of its own, unless patience ends before there is room.
func await(tokens chan struct{}, patience <-chan time.Time) bool {
	select {
	case tokens <- struct{}{}:
		return true
	default:
	}
	select {
	case tokens <- struct{}{}:
		return true
	case <-patience:
		return false
	}
}

// missing returns the first events from seq to last that have no compressed form: those from first on,
// before stop. If all have one, first is last+1.
func (p *deflated) missing(seq, last uint64) (first, stop uint64) {
	list := *p.packs.Load()
	for seq <= last {
		have, next := list.find(seq)
		if have == nil {
			if next == 0 || next > last {
				next = last + 1
			}
			return seq, next
		}
		seq = have.beyond()
	}
	return last + 1, last + 1
}

// hurry counts what a reader of the events from seq to last will not wait for.
func (p *deflated) hurry(seq, last uint64) {
	for {
		first, stop := p.missing(seq, last)
		if first > last {
			return
		}
		p.deflater.hurried.Add(stop - first)
		seq = stop
	}
}

// mostChunk bounds what is compressed between two looks at the clock: a few milliseconds' worth; bytes of text.
const mostChunk = 128 << 10

// chunk makes a pack of the events from first on, of those before stop.
func (p *deflated) chunk(v *view, first, stop uint64) *pack {
	type entry struct{ end, need int }
	k := p.deflater.borrow(p, first)
	defer p.deflater.hand(k)
	var all []byte
	var entries []entry
	text := 0
	for seq := first; seq < stop; seq++ {
		s, i := v.entry(seq)
		event := s.buf[s.start(i):s.stop(i)]
		b, need := p.deflater.encode(k, p, v, seq, event)
		all = append(all, b...)
		entries = append(entries, entry{len(all), need})
		text += len(event)
		if len(all)+packIndex*len(entries) >= mostPack || text >= mostChunk {
			break
		}
	}
	fresh := newPack(len(all)+packIndex*len(entries), first)
	start := 0
	for _, e := range entries {
		fresh.put(all[start:e.end], e.need)
		start = e.end
	}
	return fresh
}

// rest drops the compressed form when nobody has listened to it between two looks. Under mu.
func (p *deflated) rest() {
	switch {
	case p.listeners.Load() > 0:
		p.stale = false
	case !p.stale:
		p.stale = true
	default:
		p.forget(^uint64(0))
	}
}

// NextDeflated is Next for a reader of the compressed form. What it got last must have been own bytes
// of this log's text, up to the place c, without a break; more than the Deflater's window make
// no difference. The run is of one of two kinds:
//
//   - shared: deflate blocks up to a byte boundary, none final, which whoever got those own bytes
//     can decode, whatever it got before them;
//   - else: the events' text, of which the caller makes blocks itself. It is as much as is needed
//     until the compressed form can be used, or until there is one.
//
// Either is of text bytes when decoded. Either holds whole events, as many as fit in max bytes, but
// at least one. Between StartDeflated and StopDeflated only.
func (r *Ring) NextDeflated(c *Cursor, own, max int) (run []byte, shared bool, events, text int, lost uint64) {
	p := r.deflated.Load()
	done := p.mark.Load().seq
	if c.after >= done {
		return nil, false, 0, 0, 0
	}
	list := *p.packs.Load()
	s, i, n, lost := r.at(c)
	if s == nil {
		return nil, false, 0, 0, lost
	}
	seq := c.after + 1
	n = min(n, int(done+1-s.first))
	have, next := list.find(seq)
	if have == nil {
		if next > 0 && next < s.first+uint64(n) {
			n = int(next - s.first)
		}
		run, events = s.run(c, i, n, max)
		return run, false, events, len(run), 0
	}
	at := int(seq - have.first)
	switch window := p.deflater.window; {
	case own >= window:
		// Nothing in any event refers to more than is there, so no entry need be asked.
		last := min(have.last(at, int(have.n.Load()), max), at+int(done-seq))
		events = last - at + 1
		run = have.buf[have.start(at):have.stop(last):have.stop(last)]
		c.after += uint64(events)
		return run, true, events, 0, 0
	case own >= have.need(at):
		run = have.buf[have.start(at):have.stop(at):have.stop(at)]
		c.after++
		return run, true, 1, s.stop(i) - s.start(i), 0
	default:
		run, events = s.run(c, i, n, min(max, window-own))
		return run, false, events, len(run), 0
	}
}

// run returns entries of s from i on, of those before n, and moves c behind them.
func (s *segment) run(c *Cursor, i, n, max int) (run []byte, events int) {
	last := s.last(i, n, max)
	stop := s.stop(last)
	c.after += uint64(last - i + 1)
	return slices.Clip(s.buf[s.start(i):stop]), last - i + 1
}
