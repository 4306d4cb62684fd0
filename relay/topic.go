package relay

import (
	"sync"
	"sync/atomic"
	"time"

	"freshet/ringbuf"
)

// topic is one ordered log and the streams that follow it. A topic that is not
// used is this struct and an empty ring.
type topic struct {
	// static after construction
	relay *Relay
	name  string

	// guarded by its shard's mu
	users        int       // requests and subscribers: it is not forgotten while there are any
	used         time.Time // when the last of them left
	held         bool      // one of the uses is Config.Logs's, which keeps its log
	touched      time.Time // what the list is ordered by
	newer, older *topic    // neighbours in the list of topics with history
	linked       bool

	// mu is held by the one who appends, trims or ends: it makes the order.
	// The publish keys' mu is the only lock taken under it.
	mu sync.Mutex

	whole  bool          // guarded by mu: Config.Logs has brought all there is
	coming *ringbuf.Ring // guarded by mu: what it brings until then; nil = nothing yet

	// written under mu, read by anyone
	log       atomic.Pointer[shownLog]
	footprint atomic.Int64 // what the memory budget counts for it
	ended     atomic.Int64 // when it ended, Unix nanoseconds; 0 = it has not

	listed atomic.Int64  // second of touched, so that most appends need not take the shard's lock
	pace   atomic.Uint32 // ending: subscribers whose lot is below it end; see subscriber.lot

	audience audience
	catchups catchups
}

func newTopic(r *Relay, name string, epoch uint64) *topic {
	t := &topic{relay: r, name: name}
	t.log.Store(&shownLog{ring: t.newRing(ringbuf.Position{Epoch: epoch}, nil)})
	return t
}

// newRing returns a ring for the topic's log; see ringbuf.New.
func (t *topic) newRing(head ringbuf.Position, lineage []ringbuf.Branch) *ringbuf.Ring {
	c := &t.relay.config.Topics
	return ringbuf.New(ringbuf.Limits{Events: c.Events, Bytes: c.Bytes, Age: c.Age}, head, lineage...)
}

// hasEnded reports whether the topic has ended, not long ago.
func (t *topic) hasEnded() bool { return t.ended.Load() != 0 }

// untouched reports whether nothing ever happened to the topic.
func (t *topic) untouched() bool { return t.ring().Head().Seq == 0 && !t.hasEnded() }

// over reports whether the topic, which nobody uses, may be forgotten: it ended
// long ago, or nobody asked for it for long.
func (t *topic) over(now time.Time) bool {
	if at := t.ended.Load(); at != 0 {
		return now.UnixNano()-at >= int64(keepEnded)
	}
	return now.Sub(t.used) >= t.relay.config.Topics.Forget
}

// weigh accounts for what the ring holds, after a change under mu. The caller
// lets the relay relieve its memory when it holds mu no more.
func (t *topic) weigh() {
	f := t.takes(t.ring())
	if t.coming != nil {
		f += t.takes(t.coming)
	}
	t.relay.topics.memory.Add(f - t.footprint.Swap(f))
}

// takes returns the memory of a ring, and of what those who agree on its log keep
// besides: the events' bytes once more, and the books on each.
func (t *topic) takes(ring *ringbuf.Ring) int64 {
	const books = 512 // bytes an event
	n := ring.Footprint()
	if t.relay.config.Logs != nil {
		n += ring.Bytes() + ring.Len()*books
	}
	return int64(n)
}

// expire forgets the events that are too old.
func (t *topic) expire(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	oldest := t.ring().Oldest()
	t.ring().Expire(now)
	t.gave(oldest)
	t.weigh()
}

// giveBack forgets the older half of the history, or all if that is little.
func (t *topic) giveBack() {
	t.mu.Lock()
	defer t.mu.Unlock()
	const little = 8 << 10 // bytes
	ring := t.ring()
	oldest, keep := ring.Oldest(), ring.Footprint()/2
	if keep < little {
		keep = 0
	}
	ring.Trim(keep)
	t.gave(oldest)
	t.weigh()
}

// end ends the topic, and has its subscribers told and closed, spread over
// time. It reports whether it had not ended before.
func (t *topic) end() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended.CompareAndSwap(0, time.Now().UnixNano())
}
