package ringbuf

import (
	"hash/maphash"
	"math"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"
)

// maxID is the longest id, in bytes, that an origin may set.
const maxID = 256

// usableID reports whether a client can send id back in a header: 1 to 256 bytes of
// valid UTF-8, no controls (RFC 9110, section 5.5), no blank at either end. It is
// sse.UsableID's rule.
func usableID(id string) bool {
	if id == "" || len(id) > maxID || id[0] == ' ' || id[len(id)-1] == ' ' {
		return false
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(id)
}

// idSeed keys the hashes of ids, so that no origin can choose ids that collide.
var idSeed = maphash.MakeSeed()

// hashID hashes an id to the 32 bits that are kept in a slot.
func hashID(id string) uint32 { return uint32(maphash.String(idSeed, id)) }

// An idTable finds events by the origin's ids: open addressing with linear probing.
// A slot is one word: the id's hash above, below it the event's sequence counted from
// base, plus 1; 0 is a slot never used. The id itself stays in the event, where a match
// is verified.
//
// There is one writer. Readers take no lock: a slot changes in one store, from unused
// to an event or from an event to a later one with the same id, and is never emptied. A
// slot whose event is no longer held is dead, and readers pass over it. When too many slots
// are in use, a new table takes over the living.
type idTable struct {
	slots []atomic.Uint64 // a power of two
	base  uint64

	used int // slots other than 0; guarded by the ring's mu
}

const minSlots = 8

// newIDTable makes a table that is half full when it holds that many ids.
func newIDTable(ids int, base uint64) *idTable {
	n := minSlots
	for n < 2*ids {
		n *= 2
	}
	return &idTable{slots: make([]atomic.Uint64, n), base: base}
}

func (t *idTable) footprint() int {
	return int(unsafe.Sizeof(*t)) + len(t.slots)*int(unsafe.Sizeof(t.slots[0]))
}

// slot returns the word for an event.
func (t *idTable) slot(hash uint32, seq uint64) uint64 {
	return uint64(hash)<<32 | (seq - t.base + 1)
}

// seq returns the sequence of the event that a word names.
func (t *idTable) seq(word uint64) uint64 { return t.base + uint64(uint32(word)) - 1 }

// spans reports whether a slot can name that sequence.
func (t *idTable) spans(seq uint64) bool { return seq >= t.base && seq-t.base < math.MaxUint32 }

// takes reports whether an event with that sequence can be put.
func (t *idTable) takes(seq uint64) bool {
	return t.spans(seq) && 4*(t.used+1) <= 3*len(t.slots)
}

// home is where a hash's path begins, next where it goes on; an unused slot ends it.
func (t *idTable) home(hash uint32) int { return int(hash) & (len(t.slots) - 1) }
func (t *idTable) next(at int) int      { return (at + 1) & (len(t.slots) - 1) }

// put stores a word in the first unused slot on its path.
func (t *idTable) put(hash uint32, seq uint64) {
	at := t.home(hash)
	for t.slots[at].Load() != 0 {
		at = t.next(at)
	}
	t.slots[at].Store(t.slot(hash, seq))
	t.used++
}

// replace puts seq into the slot that names old, which has the same hash. It reports
// whether there is one.
func (t *idTable) replace(hash uint32, old, seq uint64) bool {
	if !t.spans(old) {
		return false
	}
	word := t.slot(hash, old)
	for at := t.home(hash); ; at = t.next(at) {
		switch t.slots[at].Load() {
		case word:
			t.slots[at].Store(t.slot(hash, seq))
			return true
		case 0:
			return false
		}
	}
}

// rebuilt returns a table of fitting size with the events from first on, and room for
// one more.
func (t *idTable) rebuilt(first uint64) *idTable {
	live := 1
	for i := range t.slots {
		if word := t.slots[i].Load(); word != 0 && t.seq(word) >= first {
			live++
		}
	}
	fresh := newIDTable(live, first)
	for i := range t.slots {
		if word := t.slots[i].Load(); word != 0 && t.seq(word) >= first {
			fresh.put(uint32(word>>32), t.seq(word))
		}
	}
	return fresh
}
