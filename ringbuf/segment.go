package ringbuf

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
	"unsafe"
)

// A segment holds consecutive events: their bytes from the front of buf on, their
// index from its end downwards, so that neither has to guess the other's size.
//
//	buf  [event|event|event ........ |index 2|index 1|index 0]
//
// Readers may look at entries up to the ring's head, which is stored after the entry
// was written; what lies beyond belongs to the appender.
type segment struct {
	// Static after construction.
	buf   []byte
	first uint64 // sequence of entry 0
	base  int64  // commit times count from here; Unix milliseconds

	// Guarded by the ring's mu; readers go by the ring's head instead.
	n   int // entries
	end int // bytes of events
}

// An index entry: the offset where the event ends (4 bytes), the length of its id line
// with the blank line (2 bytes, the top bit set for an id of the origin's own), and its
// commit time (4 bytes, milliseconds after base).
const (
	indexSize = 4 + 2 + 4
	ownID     = 1 << 15
)

// The id line as it stands behind every event's body. The id comes last: clients that
// act on it at once then lose nothing when the stream tears before the blank line.
const (
	idPrefix = "id: "
	idSuffix = "\n\n"
	idMarks  = len(idPrefix) + len(idSuffix)
)

// maxBody bounds one event, because offsets in a segment have 32 bits.
const maxBody = 1 << 30

// newSegment makes a segment with room for at least size bytes of events and index.
func newSegment(size int, first uint64, base int64) *segment {
	// Grow rounds up to what the allocator gives anyway.
	buf := slices.Grow([]byte(nil), size)
	return &segment{buf: buf[:cap(buf)], first: first, base: base}
}

// footprint is the memory that the segment holds, in bytes.
func (s *segment) footprint() int { return int(unsafe.Sizeof(*s)) + len(s.buf) }

// fits reports whether an event of n bytes committed at ms can be put.
func (s *segment) fits(n int, ms int64) bool {
	return s.end+n+indexSize*(s.n+1) <= len(s.buf) &&
		ms >= s.base && uint64(ms-s.base) <= math.MaxUint32
}

// put appends an event. The caller has made sure that it fits.
func (s *segment) put(body []byte, id []byte, own bool, ms int64) {
	at := s.end
	at += copy(s.buf[at:], body)
	at += copy(s.buf[at:], idPrefix)
	at += copy(s.buf[at:], id)
	at += copy(s.buf[at:], idSuffix)
	line := uint16(len(id) + idMarks)
	if own {
		line |= ownID
	}
	s.seal(at, line, ms)
}

func (s *segment) seal(end int, line uint16, ms int64) {
	x := s.index(s.n)
	binary.LittleEndian.PutUint32(x, uint32(end))
	binary.LittleEndian.PutUint16(x[4:], line)
	binary.LittleEndian.PutUint32(x[6:], uint32(ms-s.base))
	s.end = end
	s.n++
}

// take copies the entries of from, from sequence seq to its last, behind its own.
func (s *segment) take(from *segment, seq uint64) {
	i := int(seq - from.first)
	shift := s.end - from.start(i)
	copy(s.buf[s.end:], from.buf[from.start(i):from.end])
	for ; i < from.n; i++ {
		s.seal(from.stop(i)+shift, from.idLine(i), from.commit(i))
	}
}

func (s *segment) index(i int) []byte {
	at := len(s.buf) - indexSize*(i+1)
	return s.buf[at : at+indexSize : at+indexSize]
}

// start and stop are the offsets between which entry i lies.
func (s *segment) start(i int) int {
	if i == 0 {
		return 0
	}
	return s.stop(i - 1)
}

func (s *segment) stop(i int) int { return int(binary.LittleEndian.Uint32(s.index(i))) }

// idLine is the length of entry i's id line, with the mark of an origin's id.
func (s *segment) idLine(i int) uint16 { return binary.LittleEndian.Uint16(s.index(i)[4:]) }

// commit is entry i's commit time in Unix milliseconds.
func (s *segment) commit(i int) int64 {
	return s.base + int64(binary.LittleEndian.Uint32(s.index(i)[6:]))
}

// own returns the id of entry i if it is the origin's, else nil.
func (s *segment) own(i int) []byte {
	line := s.idLine(i)
	if line&ownID == 0 {
		return nil
	}
	stop := s.stop(i)
	return s.buf[stop-int(line&^ownID)+len(idPrefix) : stop-len(idSuffix)]
}

// last returns the last of entries i to n-1 that ends at most max bytes behind
// where i starts, or i.
func (s *segment) last(i, n, max int) int {
	limit := s.start(i) + max
	if s.stop(n-1) <= limit {
		return n - 1
	}
	lo, hi := i, n-1 // lo is taken, hi does not fit
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) / 2); s.stop(mid) <= limit {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// event returns entry i.
func (s *segment) event(i int, at Position) Event {
	start, stop := s.start(i), s.stop(i)
	line := s.idLine(i)
	split := stop - int(line&^ownID)
	return Event{
		At:     at,
		Commit: time.UnixMilli(s.commit(i)),
		Wire:   s.buf[start:stop:stop],
		Body:   s.buf[start:split:split],
		ID:     s.buf[split+len(idPrefix) : stop-len(idSuffix) : stop-len(idSuffix)],
		OwnID:  line&ownID != 0,
	}
}
