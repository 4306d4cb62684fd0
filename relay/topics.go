package relay

import (
	"hash/maphash"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// keepEnded is for how long an ended topic is known as such.
const keepEnded = time.Hour

// topics knows every topic by name, bounds how many there are, and bounds the
// memory of their events together.
//
//	name -> shard -> topic        found, and kept from being forgotten by its users
//	           |
//	           +--> list of those with history, least recently used last:
//	                when memory runs out, the oldest of all shards' ends gives
//	                its history back, a half at a time
type topics struct {
	// static after construction
	relay *Relay
	seed  maphash.Seed
	birth uint16 // low bits of every epoch: drawn once, so that two processes draw different ones

	count  atomic.Int64
	memory atomic.Int64  // sum of all topics' footprint
	newest atomic.Uint64 // high bits of the epoch of the next topic
	shards [topicShards]topicShard

	relieving sync.Mutex // held by the one who makes room; taken before all other locks
}

const topicShards = 64

type topicShard struct {
	// mu guards the map, the list, and in each topic what it says. No other
	// lock is taken under it.
	mu     sync.Mutex
	byName map[string]*topic
	newest *topic // ends of the list of topics with history
	oldest *topic
}

func newTopics(r *Relay) *topics {
	ts := &topics{relay: r, seed: maphash.MakeSeed(), birth: uint16(rand.Uint32())}
	ts.newest.Store(uint64(time.Now().Unix()))
	for i := range ts.shards {
		ts.shards[i].byName = make(map[string]*topic)
	}
	return ts
}

func (ts *topics) len() int { return int(ts.count.Load()) }

func (ts *topics) shard(name string) *topicShard {
	return &ts.shards[maphash.String(ts.seed, name)%topicShards]
}

// purpose is what a topic is made for, if it must be.
type purpose bool

const (
	subscribing purpose = false
	publishing  purpose = true
)

// use finds the topic, or makes it, and keeps it until the caller releases it.
// The name is valid. It fails when there are too many topics, and for those who
// only subscribe a little earlier: strangers who ask for names that nobody
// publishes to cannot keep publishers out.
func (ts *topics) use(name string, why purpose) (*topic, *Problem) {
	now := time.Now()
	sh := ts.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.byName[name]
	if t != nil && t.users == 0 && t.over(now) {
		ts.forget(sh, t)
		t = nil
	}
	if t == nil {
		limits := &ts.relay.config.Limits
		most := int64(limits.Topics)
		if why == subscribing {
			most = max(int64(float64(most)*limits.AddressShare), 1)
		}
		if ts.count.Add(1) > most {
			ts.count.Add(-1)
			ts.relay.metrics.hits.add(limitTopics)
			return nil, overLimit(http.StatusServiceUnavailable, "limits.topics", int64(limits.Topics), "this relay knows %d topics already and takes no other", most)
		}
		t = newTopic(ts.relay, name, ts.epoch())
		sh.byName[name] = t
	}
	t.users++
	sh.touch(t, now)
	return t, nil
}

// hold is use on behalf of Config.Logs, which keeps the topic's log here; it
// counts once. Which topics there are is decided elsewhere, so it has no limit.
func (ts *topics) hold(name string) *topic {
	sh := ts.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.byName[name]
	if t == nil {
		ts.count.Add(1)
		t = newTopic(ts.relay, name, ts.epoch())
		sh.byName[name] = t
	}
	if !t.held {
		t.held = true
		t.users++
	}
	return t
}

// kept returns a topic that Config.Logs keeps here; nil = it does not. It stays
// until unhold.
func (ts *topics) kept(name string) *topic {
	sh := ts.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if t := sh.byName[name]; t != nil && t.held {
		return t
	}
	return nil
}

// unhold undoes hold. What nobody else uses is forgotten: its log is not known
// here any more.
func (ts *topics) unhold(t *topic) {
	sh := ts.shard(t.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.held = false
	if t.users--; t.users == 0 {
		ts.forget(sh, t)
	}
}

// peek is use for a topic that must exist already.
func (ts *topics) peek(name string) *topic {
	sh := ts.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.byName[name]
	if t != nil {
		t.users++
	}
	return t
}

// retain is one more use of a topic that the caller uses already.
func (ts *topics) retain(t *topic) {
	sh := ts.shard(t.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.users++
}

// release undoes one use. A topic that nothing ever came to is forgotten with
// its last user: if it comes back, it is the same.
func (ts *topics) release(t *topic) {
	sh := ts.shard(t.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.users--
	t.used = time.Now()
	if t.users == 0 && t.untouched() {
		ts.forget(sh, t)
	}
}

// epoch draws the epoch of a new topic: this process's own, or a higher one
// once a topic with events was forgotten, for if that one comes back its
// positions begin again.
func (ts *topics) epoch() uint64 { return ts.newest.Load()<<16 | uint64(ts.birth) }

// forget drops a topic that nobody uses.
func (ts *topics) forget(sh *topicShard, t *topic) {
	if !t.untouched() {
		next := max(t.ring().Head().Epoch>>16+1, uint64(time.Now().Unix()))
		for {
			newest := ts.newest.Load()
			if next <= newest || ts.newest.CompareAndSwap(newest, next) {
				break
			}
		}
	}
	sh.unlink(t)
	delete(sh.byName, t.name)
	ts.count.Add(-1)
	ts.memory.Add(-t.footprint.Load())
}

// remember puts a topic that was appended to at the front of the list. Within a
// second of the last time the order is good enough, and the lock is spared.
func (ts *topics) remember(t *topic, now time.Time) {
	if second := now.Unix(); t.listed.Swap(second) == second {
		return
	}
	sh := ts.shard(t.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.unlink(t)
	sh.link(t)
	t.touched = now
}

// relieve makes room when the topics' events take too much memory.
func (ts *topics) relieve() {
	most := int64(ts.relay.config.Limits.Memory)
	if ts.memory.Load() <= most {
		return
	}
	ts.relieving.Lock()
	defer ts.relieving.Unlock()
	for ts.memory.Load() > most {
		t := ts.leastUsed()
		if t == nil {
			return
		}
		t.giveBack()
		ts.settle(t)
		ts.relay.metrics.trims.Inc()
		ts.relay.metrics.hits.add(limitMemory)
	}
}

// leastUsed returns the topic with history that was used longest ago, in use,
// or nil. It keeps its place, so that it is the next again until it has no
// history left. The caller settles it.
func (ts *topics) leastUsed() *topic {
	for {
		var victim *topicShard
		var touched time.Time
		for i := range ts.shards {
			sh := &ts.shards[i]
			sh.mu.Lock()
			if t := sh.oldest; t != nil && (victim == nil || t.touched.Before(touched)) {
				victim, touched = sh, t.touched
			}
			sh.mu.Unlock()
		}
		if victim == nil {
			return nil
		}
		victim.mu.Lock()
		t := victim.oldest
		if t != nil {
			t.users++
		}
		victim.mu.Unlock()
		if t != nil { // else it was emptied in between
			return t
		}
	}
}

// settle undoes a use of the relay's own, which does not count as one, and
// takes a topic that has no history any more off the list.
func (ts *topics) settle(t *topic) {
	sh := ts.shard(t.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.users--
	// In this order: who appends from now on finds listed unset, and links.
	t.listed.Store(0)
	if t.ring().Len() == 0 {
		sh.unlink(t)
	}
}

// sweep lets age do its work: events past Topics.Age, topics past
// Topics.Forget, and those that have ended.
func (ts *topics) sweep(now time.Time) {
	var found []*topic
	for i := range ts.shards {
		sh := &ts.shards[i]
		sh.mu.Lock()
		found = found[:0]
		for _, t := range sh.byName {
			switch {
			case t.users == 0 && t.over(now):
				ts.forget(sh, t)
			case t.ring().Len() > 0:
				t.users++
				found = append(found, t)
			}
		}
		sh.mu.Unlock()
		for _, t := range found {
			t.expire(now)
			ts.settle(t)
		}
	}
}

// wake wakes everybody. The list of topics is taken first, so that no shard is
// held meanwhile; a topic that is forgotten meanwhile has nobody to wake.
func (ts *topics) wake() {
	var found []*topic
	for i := range ts.shards {
		sh := &ts.shards[i]
		sh.mu.Lock()
		for _, t := range sh.byName {
			if t.users > 0 {
				found = append(found, t)
			}
		}
		sh.mu.Unlock()
	}
	for _, t := range found {
		t.audience.wake()
	}
}

// touch moves a topic with history to the front of the list.
func (sh *topicShard) touch(t *topic, now time.Time) {
	if t.linked {
		sh.unlink(t)
		sh.link(t)
		t.touched = now
	}
}

func (sh *topicShard) link(t *topic) {
	t.linked, t.older, t.newer = true, sh.newest, nil
	if sh.newest != nil {
		sh.newest.newer = t
	} else {
		sh.oldest = t
	}
	sh.newest = t
}

func (sh *topicShard) unlink(t *topic) {
	if !t.linked {
		return
	}
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		sh.newest = t.older
	}
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		sh.oldest = t.newer
	}
	t.linked, t.newer, t.older = false, nil, nil
}
