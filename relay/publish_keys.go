package relay

import (
	"hash/maphash"
	"sync"
	"time"
)

// keepKey is for how long at least a publish key is remembered after its last
// use: longer than any publisher goes on retrying.
const keepKey = 2 * time.Minute

// publishKeys remembers what was committed under which publish key, so that a
// publisher may send again what it is not sure of. It outlives the events: a
// key may well be asked for after a burst has emptied the ring of its event.
//
// A key that is too young to be forgotten never is; when there are as many as
// Limits.PublishKeys, no publication under a new one is taken.
type publishKeys struct {
	// static after construction
	limit int
	seeds [2]maphash.Seed

	// mu guards the map, the list and each key's place and time. What a key
	// says of its events is guarded by its topic's mu, which is taken first.
	mu     sync.Mutex
	known  map[keyName]*publishKey
	oldest publishKey // the list's ends: next is the oldest, prev the newest
}

// keyName stands for topic and key. Two seeds that nobody knows make 128 bits
// that nobody can make collide.
type keyName [2]uint64

type publishKey struct {
	// guarded by publishKeys.mu
	name       keyName
	prev, next *publishKey
	used       time.Time
	holders    int // streaming publishers, during whose silence it stays

	// guarded by topic.mu
	count uint64 // number of the last event committed under it; 0 = none yet
	id    string // that event's id
	last  uint64 // that event's digest
	first uint64 // digest of event 1; 0 = not seen
	// recent is the digests of the last events of a counted publication, up to
	// and with number count: what a publisher sends again is compared with them.
	recent []uint64
}

// keepDigests is how many digests of a key are kept, at most twice as many for
// a moment. They cover a body that is sent again whole, if it is not large,
// and what a torn stream sends again.
const keepDigests = 64

// note counts the event of number n, whose digest is sum.
func (k *publishKey) note(n, sum uint64) {
	if n != k.count+1 {
		k.recent = k.recent[:0] // a jump: those before are not its neighbours
	}
	if len(k.recent) == 2*keepDigests {
		k.recent = k.recent[:copy(k.recent, k.recent[keepDigests:])]
	}
	k.recent = append(k.recent, sum)
	k.count, k.last = n, sum
	if n == 1 {
		k.first = sum
	}
}

// differs reports whether the event of number n, which was committed, is known
// to have been another than the one whose digest is sum.
func (k *publishKey) differs(n, sum uint64) bool {
	if n == 1 && k.first != 0 {
		return sum != k.first
	}
	if back := k.count - n; back < uint64(len(k.recent)) {
		return sum != k.recent[uint64(len(k.recent))-1-back]
	}
	return n == k.count && sum != k.last
}

func newPublishKeys(limit int) *publishKeys {
	k := &publishKeys{
		limit: limit,
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		known: make(map[keyName]*publishKey),
	}
	k.oldest.prev, k.oldest.next = &k.oldest, &k.oldest
	return k
}

func (k *publishKeys) name(topic, key string) (n keyName) {
	type pair struct{ topic, key string }
	for i := range n {
		n[i] = maphash.Comparable(k.seeds[i], pair{topic, key})
	}
	return n
}

// use returns what is known under the key, an empty memory if nothing is, and
// has it remembered from now on. nil = there is no room for another.
func (k *publishKeys) use(topic, key string, now time.Time) *publishKey {
	name := k.name(topic, key)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.touch(name, now)
}

// hold keeps the key from being forgotten until release is called, if there is
// room for it.
func (k *publishKeys) hold(topic, key string) (release func()) {
	name := k.name(topic, key)
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.touch(name, time.Now())
	if e == nil {
		return func() {}
	}
	e.holders++
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		e.holders--
		k.touch(name, time.Now())
	}
}

func (k *publishKeys) touch(name keyName, now time.Time) *publishKey {
	e := k.known[name]
	if e != nil {
		e.prev.next, e.next.prev = e.next, e.prev
	} else {
		k.forget(now, 2) // each new one pays for two old ones
		if len(k.known) >= k.limit {
			return nil
		}
		e = &publishKey{name: name}
		k.known[name] = e
	}
	e.used = now
	e.prev, e.next = k.oldest.prev, &k.oldest
	e.prev.next, e.next.prev = e, e
	return e
}

// expire forgets every key that is old enough.
func (k *publishKeys) expire(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(now, len(k.known))
}

// forget looks at the n oldest.
func (k *publishKeys) forget(now time.Time, n int) {
	for ; n > 0; n-- {
		e := k.oldest.next
		if e == &k.oldest || now.Sub(e.used) < keepKey {
			return
		}
		if e.holders > 0 {
			k.touch(e.name, now)
			continue
		}
		e.prev.next, e.next.prev = e.next, e.prev
		delete(k.known, e.name)
	}
}

func (k *publishKeys) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.known)
}
