package ringbuf

import "hash/crc32"

// A gzip stream ends with a CRC-32 and the length of all its text (RFC 1952, section 2.3.1). To count these
// for each reader would cost something for each event it gets. CRCs are linear, so they need not be:
//
//	crc(AB) = crc(A) * x^(8*len(B)) + crc(B)        in GF(2)[x] modulo the polynomial
//
// The log counts once for all. A reader keeps the difference between its own sum and the log's, divided by the
// power of x that belongs to the place, which makes it the same at every place for as long as the reader gets
// nothing but the log's text. See Sum.

// mark is how far the appender is: up to which event, and the sum of the text up to there
// since somebody listens.
type mark struct {
	seq  uint64
	crc  uint32
	size uint64
}

// firstSize is the size at the first mark. A reader may begin before it.
const firstSize = 1 << 40

// A LogSum stands for the text of a log up to a place. Its values mean something only beside another
// of the same ring, with a listener there all the time between.
type LogSum struct {
	residue uint32 // the CRC, divided by x^(8*size)
	size    uint64 // bytes
}

// SumAt returns the sum of the text up to c. It takes time in proportion to what lies between c and
// the head, none of which may have been evicted; else ok is false. Between StartDeflated and StopDeflated only.
func (r *Ring) SumAt(c Cursor) (sum LogSum, ok bool) {
	m := r.deflated.Load().mark.Load()
	crc, size := uint32(0), uint64(0) // of the text from c to the mark
	for c.after < m.seq {
		s, i, n, _ := r.at(&c)
		if s == nil {
			return LogSum{}, false
		}
		run, _ := s.run(&c, i, min(n, int(m.seq+1-s.first)), maxSegment)
		crc = crc32.Update(crc, crc32.IEEETable, run)
		size += uint64(len(run))
	}
	if c.after != m.seq {
		return LogSum{}, false // appended since
	}
	return LogSum{
		residue: multiply(m.crc^crc, powerDown(m.size)),
		size:    m.size - size,
	}, true
}

// A Sum is the CRC-32 and length of what a reader got: a log's text, and text of its own between. Its first
// call is Begin.
type Sum struct {
	residue uint32 // beside the log's
	size    uint32 // less the log's
}

// Begin has the reader begin at a place of the log where its sum is at.
func (s *Sum) Begin(at LogSum) { *s = Sum{residue: at.residue, size: -uint32(at.size)} }

// Text counts a text that the reader gets at a place of the log where its sum is at.
func (s *Sum) Text(at LogSum, text []byte) {
	before, _ := s.Total(at)
	crc := multiply(before, power(uint64(len(text)))) ^ crc32.ChecksumIEEE(text)
	s.residue = multiply(crc, powerDown(at.size)) ^ at.residue
	s.size += uint32(len(text))
}

// Total returns the CRC-32 and the length, modulo 2^32, of all that the reader got, when it has got all of the log's
// text up to a place where its sum is at.
func (s *Sum) Total(at LogSum) (crc, size uint32) {
	return multiply(s.residue^at.residue, power(at.size)), s.size + uint32(at.size)
}

// multiply multiplies modulo the polynomial. As in crc32.IEEE the highest power is the lowest bit.
func multiply(a, b uint32) uint32 {
	var product uint32
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b = b>>1 ^ crc32.IEEE&-carry
	}
	return product
}

// order is the order of x: the polynomial is primitive.
const order = 1<<32 - 1

// power returns x^(8*n).
func power(n uint64) uint32 {
	const one, x8 = uint32(1) << 31, uint32(1) << 23
	result := one
	for square := x8; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply(result, square)
		}
		square = multiply(square, square)
	}
	return result
}

// powerDown returns x^(-8*n).
func powerDown(n uint64) uint32 { return power(order - n%order) }
