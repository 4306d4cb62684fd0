package origin

import (
	"container/list"
	"math"
	"sync"
	"time"
)

// demand knows which topics of a template are pulled, and which the origin
// lately had and had not, so that strangers who ask for a million names cost
// the origin little. It remembers a bounded number of names of each kind.
type demand struct {
	// static after construction
	most    int // pulls at once
	rate    float64
	missFor time.Duration

	// mu guards all below.
	mu     sync.Mutex
	pulled map[string]struct{}
	misses recent[miss]
	had    recent[place]
	tokens float64 // misses that may still be caused; refilled at rate, to five seconds' worth
	filled time.Time
}

// A miss is an answer that ends the waiting for a topic.
type miss struct {
	status int
	until  time.Time
}

// A place is where the pull of a topic that the origin had was left.
type place struct {
	seen   time.Time
	cursor string // the origin's id to resume from
	newest string // the log's newest id then; "" = there was nothing
}

const (
	rememberPerPull = 10        // names of each kind, for each pull that may be open
	rememberHad     = time.Hour // how long a topic counts as one that the origin has
	missBurst       = 5         // seconds' worth of misses at once
)

func newDemand(most, rate int, missFor time.Duration) *demand {
	n := most * rememberPerPull
	return &demand{
		most: most, rate: float64(rate), missFor: missFor,
		pulled: make(map[string]struct{}), misses: newRecent[miss](n), had: newRecent[place](n),
		tokens: float64(rate) * missBurst,
	}
}

// admit takes a place for the topic's pull, which release gives back, unless
// there is a reason not to ask the origin. A miss comes with its status.
func (d *demand) admit(topic string, now time.Time) (status int, refused unaskedReason) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m, ok := d.misses.get(topic); ok && now.Before(m.until) {
		return m.status, unaskedMiss
	}
	if _, twice := d.pulled[topic]; twice || len(d.pulled) >= d.most {
		return 0, unaskedBusy
	}
	if p, ok := d.had.get(topic); !ok || now.Sub(p.seen) > rememberHad {
		if !d.filled.IsZero() {
			d.tokens = math.Min(d.rate*missBurst, d.tokens+d.rate*now.Sub(d.filled).Seconds())
		}
		d.filled = now
		// Those that are being asked for may all turn out to be misses.
		if d.tokens < 1 {
			return 0, unaskedRate
		}
		d.tokens--
	}
	d.pulled[topic] = struct{}{}
	return 0, ""
}

// hit says that the origin has the topic, which costs nobody anything.
func (d *demand) hit(topic string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.had.get(topic)
	if !ok {
		d.tokens = math.Min(d.rate*missBurst, d.tokens+1)
	}
	p.seen = now
	d.had.put(topic, p)
}

// miss says that the origin does not have the topic.
func (d *demand) miss(topic string, status int, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.misses.put(topic, miss{status, now.Add(d.missFor)})
	d.had.remove(topic)
}

// release ends the topic's pull. If the origin had it, the place where it was
// left is remembered.
func (d *demand) release(topic string, cursor, newest string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pulled, topic)
	if p, ok := d.had.get(topic); ok {
		p.cursor, p.newest = cursor, newest
		d.had.put(topic, p)
	}
}

// left returns where the topic's pull was left.
func (d *demand) left(topic string) place {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, _ := d.had.get(topic)
	return p
}

// recent is a map that forgets what was put longest ago when it holds too much.
type recent[V any] struct {
	most  int
	items map[string]*list.Element
	order list.List // of recentItem[V], the newest first
}

type recentItem[V any] struct {
	key   string
	value V
}

func newRecent[V any](most int) recent[V] {
	return recent[V]{most: most, items: make(map[string]*list.Element)}
}

func (r *recent[V]) get(key string) (v V, ok bool) {
	e, ok := r.items[key]
	if ok {
		v = e.Value.(recentItem[V]).value
	}
	return v, ok
}

func (r *recent[V]) put(key string, v V) {
	if e, ok := r.items[key]; ok {
		e.Value = recentItem[V]{key, v}
		r.order.MoveToFront(e)
		return
	}
	if len(r.items) >= r.most {
		oldest := r.order.Back()
		delete(r.items, r.order.Remove(oldest).(recentItem[V]).key)
	}
	r.items[key] = r.order.PushFront(recentItem[V]{key, v})
}

func (r *recent[V]) remove(key string) {
	if e, ok := r.items[key]; ok {
		r.order.Remove(e)
		delete(r.items, key)
	}
}
