package origin

import (
	"hash/maphash"

	"freshet/origin/sse"
)

// remembered is how many of a connection's last events an overlap is
// recognised by.
const remembered = 8192

// repeats recognises what an origin sends again after a reconnect: events of
// the same id and the same bytes, in the order they came in the first time. Both
// matter: an origin whose ids begin again from 1 after its own restart sends
// known ids for new events.
type repeats struct {
	seed   maphash.Seed
	number map[uint64]uint64 // by digest, the event's number; they begin at 1
	ring   []uint64          // digests by number modulo its length
	count  uint64            // events so far
	run    uint64            // number of the last event recognised in this run

	logged map[uint64]struct{} // digests recognised in this run that only the log knew; bounded as ring is
}

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed(), number: make(map[uint64]uint64)}
}

// add remembers an event. One without an id is never recognised.
func (r *repeats) add(topic string, e *sse.Event) {
	if e.ID == "" {
		return
	}
	digest := r.digest(topic, e)
	r.count++
	if len(r.ring) < remembered {
		r.ring = append(r.ring, digest)
	} else {
		place := (r.count - 1) % remembered
		if old := r.ring[place]; r.number[old] == r.count-remembered {
			delete(r.number, old)
		}
		r.ring[place] = digest
	}
	r.number[digest] = r.count
}

// begin begins a run: a connection was made.
func (r *repeats) begin() { r.run, r.logged = 0, nil }

// known reports whether the event is remembered, and came in after the one that
// was recognised before it. An event that is not remembered held is asked about:
// whether the log has it from before. That is believed once in a run, for an
// event that comes twice in it is new the second time.
func (r *repeats) known(topic string, e *sse.Event, held func() bool) bool {
	if e.ID == "" {
		return false
	}
	digest := r.digest(topic, e)
	if number := r.number[digest]; number > 0 {
		if number <= r.run {
			return false
		}
		r.run = number
		return true
	}
	if _, twice := r.logged[digest]; twice || len(r.logged) >= remembered || !held() {
		return false
	}
	if r.logged == nil {
		r.logged = make(map[uint64]struct{})
	}
	r.logged[digest] = struct{}{}
	return true
}

func (r *repeats) digest(topic string, e *sse.Event) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, s := range [...]string{topic, e.ID, e.Type, e.Key} {
		h.WriteString(s)
		h.WriteByte('\n') // in none of them
	}
	h.Write(e.Data)
	return h.Sum64()
}
