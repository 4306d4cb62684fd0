package ringbuf

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Limits bound what a ring shows. They are exact: whatever is beyond them is evicted
// before the event that would break them becomes visible.
type Limits struct {
	Events int           // most events kept; 0 = no bound
	Bytes  int           // most bytes of events on the wire, but the newest is always kept; 0 = no bound
	Age    time.Duration // events committed longer ago are evicted, to the millisecond; 0 = no bound
}

// An Entry is an event to be appended.
type Entry struct {
	// Body is the event in its wire form, whole lines, all but the id line and the blank
	// line that ends it: the ring adds these. It is copied.
	Body []byte

	// ID is the origin's id; "" = none. It becomes the event's id if a client can send
	// it back (sse.UsableID), no event in the ring has it, and it is not the text of a
	// position in the ring's lineage. Otherwise the event's position becomes its id.
	ID string

	// Settled says that another ring of the same topic has decided on the ID, so that
	// it is used even if an event here has it too: what that ring has evicted already,
	// this one may still hold.
	Settled bool

	// Commit is when the event was committed, kept to the millisecond. In a ring
	// time never runs backwards: a time before that of the event before becomes that one's.
	Commit time.Time
}

// A Ring is the log of one topic. Make one with New.
type Ring struct {
	// Static after construction.
	limits Limits

	// Read by anyone at any time, written under mu. An event is visible once head has
	// reached it. Writers store the view that holds it before head, and move oldest
	// before they drop what is older from the view; readers load head, view and oldest
	// in that order.
	head     atomic.Uint64 // sequence of the newest event
	view     atomic.Pointer[view]
	oldest   atomic.Uint64 // sequence of the oldest event kept; head+1 = none
	bytes    atomic.Int64  // of the events from oldest to head
	held     atomic.Int64  // memory, see Footprint
	watchers atomic.Pointer[[]*watcher]
	deflated atomic.Pointer[deflated] // nil = nobody asked for it yet

	superseded atomic.Uint64 // the event whose id the next one to become visible has, too; see probe

	// mu lets one writer in at a time. Readers never take it.
	mu       sync.Mutex
	segBytes int   // memory of the view's segments
	newest   int64 // commit time of the newest event; Unix milliseconds
}

// New returns an empty ring whose next event comes after head, in head's epoch. A fresh
// topic has head {epoch, 0}, so that its first event is number 1.
//
// Whoever takes a log over from another ring passes the lineage that led to head, too.
// Without one, or with one that does not lead to head, head's epoch is taken to reach
// back to the first event.
func New(limits Limits, head Position, branches ...Branch) *Ring {
	r := &Ring{limits: limits, newest: math.MinInt64}
	l := lineage(slices.Clone(branches))
	if !l.leadsTo(head) {
		l = lineage{{Epoch: head.Epoch, First: 1}}
	}
	r.head.Store(head.Seq)
	r.oldest.Store(head.Seq + 1)
	r.publish(view{lineage: l})
	return r
}

// Append appends one event, wakes the watchers, and returns the event's position.
func (r *Ring) Append(e Entry) Position {
	e.check()
	r.mu.Lock()
	r.append(&e, 0)
	r.deflate()
	at := r.Head()
	r.mu.Unlock()
	r.wake()
	return at
}

// AppendAll appends events in one go and wakes the watchers once. It returns the
// position of the last; the others' sequences lead up to it without a hole, in the same
// epoch. Without entries it returns the head.
//
// A batch is subject to the limits like any other events: of one that exceeds them, the
// first are evicted before a reader can see them.
func (r *Ring) AppendAll(entries []Entry) Position {
	rest := 0
	for i := range entries {
		entries[i].check()
		rest += entries[i].size()
	}
	r.mu.Lock()
	for i := range entries {
		rest -= entries[i].size()
		r.append(&entries[i], rest)
	}
	r.deflate()
	at := r.Head()
	r.mu.Unlock()
	if len(entries) > 0 {
		r.wake()
	}
	return at
}

// check panics if the entry could not be stored, before anything is locked or changed.
func (e *Entry) check() {
	if len(e.Body) > maxBody {
		panic(fmt.Sprintf("ringbuf: a body of %d bytes, above the limit of %d", len(e.Body), maxBody))
	}
}

// size estimates the room that the entry takes in a segment.
func (e *Entry) size() int {
	return len(e.Body) + max(len(e.ID), usualID) + idMarks + indexSize
}

// usualID is the length of a position's text when epochs count seconds and random bits.
const usualID = 13

// append makes one entry visible. More of about rest bytes are to follow.
func (r *Ring) append(e *Entry, rest int) {
	v := r.view.Load()
	seq := r.head.Load() + 1
	ms := max(e.Commit.UnixMilli(), r.newest)
	at := Position{Epoch: v.lineage.newest(), Seq: seq}

	var text [maxID]byte
	id := text[:0]
	var own, found bool
	var hash uint32
	var old uint64
	if usableID(e.ID) && !v.lineage.claims(e.ID) {
		hash = hashID(e.ID)
		old, found = r.lookup(v, seq-1, e.ID, hash)
		if own = e.Settled || !found || old < r.oldest.Load(); own {
			id = append(id, e.ID...)
		}
	}
	if !own {
		id = at.append(id)
	}

	size := len(e.Body) + len(id) + idMarks
	r.bound(size, ms)
	r.room(size, rest, seq, ms).put(e.Body, id, own, ms)
	r.newest = ms
	r.bytes.Add(int64(size))

	// The table comes before the head: a reader that has seen the event must find its id.
	if own && found {
		r.supersede(hash, old, seq)
	} else if own {
		r.enter(hash, seq)
	}
	r.head.Store(seq)
	r.drop()
}

const (
	smallLog   = 4 << 10  // bytes; up to this a log is one segment, moved to a larger one when full
	maxSegment = 64 << 10 // bytes; larger only for one event that is
)

// room returns the segment into which an event of size bytes, number seq, is to be put.
func (r *Ring) room(size, rest int, seq uint64, ms int64) *segment {
	v := r.view.Load()
	if n := len(v.segs); n > 0 && v.segs[n-1].fits(size, ms) {
		return v.segs[n-1]
	}
	next := *v
	need := size + indexSize
	kept := int(r.bytes.Load()) + indexSize*r.count()
	if all := kept + need; all <= smallLog {
		if s := r.gather(max(all*3/2, min(all+rest, smallLog)), v, ms); s != nil {
			next.segs = []*segment{s}
			r.segBytes = s.footprint()
			r.publish(next)
			return s
		}
	}
	// A chain's segments grow with what it holds and may hold, so that spare room at one
	// end and evicted events at the other stay a small part.
	most := maxSegment
	if r.limits.Bytes > 0 {
		most = min(most, max(smallLog/2, r.limits.Bytes/16))
	}
	s := newSegment(max(need, min(most, max(kept/4, need+rest))), seq, ms)
	next.segs = append(append(make([]*segment, 0, len(v.segs)+1), v.segs...), s)
	r.segBytes += s.footprint()
	r.publish(next)
	return s
}

// gather returns a segment of size bytes that holds what is kept of the whole ring, or
// nil if an event committed at ms would not fit for its time.
func (r *Ring) gather(size int, v *view, ms int64) *segment {
	seq, head := r.oldest.Load(), r.head.Load()
	base := ms
	if seq <= head {
		s, i := v.entry(seq)
		base = s.commit(i)
	}
	if uint64(ms-base) > math.MaxUint32 {
		return nil
	}
	fresh := newSegment(size, seq, base)
	if seq <= head {
		for _, s := range v.segs[v.find(seq):] {
			fresh.take(s, max(seq, s.first))
		}
	}
	return fresh
}

// Begin starts a new epoch with the next event. Epochs only rise: it reports false, and
// does nothing, if epoch is not above the newest.
func (r *Ring) Begin(epoch uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := *r.view.Load()
	if epoch <= next.lineage.newest() {
		return false
	}
	next.lineage = next.lineage.begin(epoch, r.head.Load(), r.oldest.Load())
	r.publish(next)
	return true
}

// publish makes next the view that readers see. It keeps the books on memory, and
// the id of the last event that is no longer held.
func (r *Ring) publish(next view) {
	head := r.head.Load()
	first := head + 1
	if len(next.segs) > 0 {
		first = next.segs[0].first
	}
	if old := r.view.Load(); old != nil && old.holds(first-1) && first-1 <= head {
		s, i := old.entry(first - 1)
		next.gone = goneID{seq: first - 1, id: string(s.own(i))}
	}
	if len(next.segs) == 0 {
		next.segs, next.ids = nil, nil
	}
	r.view.Store(&next)
	r.account()
}

// account brings the figure for Footprint up to date.
func (r *Ring) account() {
	n := int(unsafe.Sizeof(*r)) + r.segBytes + r.view.Load().footprint()
	if w := r.watchers.Load(); w != nil {
		n += watchersFootprint(*w)
	}
	r.held.Store(int64(n))
}

// Head returns the position of the newest event, evicted or not.
func (r *Ring) Head() Position {
	head := r.head.Load()
	return r.view.Load().lineage.at(head)
}

// Lineage returns where each epoch begins, oldest first. Epochs of which no event is
// kept are forgotten in the end.
func (r *Ring) Lineage() []Branch { return slices.Clone(r.view.Load().lineage) }

// Len returns how many events are kept.
func (r *Ring) Len() int {
	head := r.head.Load()
	return int(head + 1 - min(r.oldest.Load(), head+1))
}

// Bytes returns the length of the kept events as they go over the wire, in bytes.
func (r *Ring) Bytes() int { return int(r.bytes.Load()) }

// Footprint returns the memory that the ring holds, in bytes.
func (r *Ring) Footprint() int { return int(r.held.Load()) }
