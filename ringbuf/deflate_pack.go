package ringbuf

import (
	"encoding/binary"
	"slices"
	"sort"
	"sync/atomic"
	"unsafe"
)

// A pack holds the compressed form of consecutive events, much as a segment does their text.
//
//	buf  [event|event|event ........ |index 2|index 1|index 0]
//
// An entry is looked at by readers only if it is below n, which is stored after it was written.
type pack struct {
	// Static after construction.
	buf   []byte
	first uint64 // sequence of entry 0

	n   atomic.Uint32 // entries
	end int           // bytes of events; the writer's
}

// An index entry: the offset where the event ends (4 bytes), and how far back it may refer (2 bytes).
const packIndex = 4 + 2

func newPack(size int, first uint64) *pack {
	buf := slices.Grow([]byte(nil), size)
	return &pack{buf: buf[:cap(buf)], first: first}
}

func (p *pack) footprint() int { return int(unsafe.Sizeof(*p)) + len(p.buf) }

// fits reports whether n bytes can be put.
func (p *pack) fits(n int) bool {
	return p.end+n+packIndex*(int(p.n.Load())+1) <= len(p.buf)
}

// put appends an event. The caller has made sure that it fits.
func (p *pack) put(b []byte, need int) {
	p.end += copy(p.buf[p.end:], b)
	n := p.n.Load()
	x := p.index(int(n))
	binary.LittleEndian.PutUint32(x, uint32(p.end))
	binary.LittleEndian.PutUint16(x[4:], uint16(need))
	p.n.Store(n + 1)
}

func (p *pack) index(i int) []byte {
	at := len(p.buf) - packIndex*(i+1)
	return p.buf[at : at+packIndex : at+packIndex]
}

func (p *pack) start(i int) int {
	if i == 0 {
		return 0
	}
	return p.stop(i - 1)
}

func (p *pack) stop(i int) int { return int(binary.LittleEndian.Uint32(p.index(i))) }

// need is how many bytes of text before entry i a decoder must have.
func (p *pack) need(i int) int { return int(binary.LittleEndian.Uint16(p.index(i)[4:])) }

// beyond is the sequence after the pack's last.
func (p *pack) beyond() uint64 { return p.first + uint64(p.n.Load()) }

// last returns the last of entries i to n-1 that ends at most max bytes behind where i starts, or i.
func (p *pack) last(i, n, max int) int {
	limit := p.start(i) + max
	if p.stop(n-1) <= limit {
		return n - 1
	}
	k := sort.Search(n-1-i, func(k int) bool { return p.stop(i+k) > limit })
	if k == 0 {
		return i
	}
	return i + k - 1
}

// packs is what is there in compressed form: packs in the order of their events, which may leave holes and
// never overlap. It is immutable; a changed copy takes its place.
type packs []*pack

// find returns the pack that has the event seq, or nil, and where the next pack begins (0 = there is none).
func (ps packs) find(seq uint64) (p *pack, next uint64) {
	i := sort.Search(len(ps), func(i int) bool { return ps[i].first > seq })
	if i < len(ps) {
		next = ps[i].first
	}
	if i > 0 && seq < ps[i-1].beyond() {
		p = ps[i-1]
	}
	return p, next
}

// with returns a copy that has p as well.
func (ps packs) with(p *pack) packs {
	i := sort.Search(len(ps), func(i int) bool { return ps[i].first > p.first })
	return slices.Insert(append(make(packs, 0, len(ps)+1), ps...), i, p)
}

// since returns what is left without the packs whose events are all before oldest.
func (ps packs) since(oldest uint64) packs {
	n := 0
	for n < len(ps) && ps[n].beyond() <= oldest {
		n++
	}
	if n == 0 {
		return ps
	}
	// A copy, because an array shared with the old list would keep the dropped ones alive.
	return append(make(packs, 0, len(ps)-n), ps[n:]...)
}
