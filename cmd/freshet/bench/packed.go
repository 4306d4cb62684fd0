//go:build linux

package bench

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// packed reads a compressed stream without decompressing it: to decode ten thousand would measure the decoder. It
// goes by what a relay sends (RFC 1951, section 3.2.4). Each block, or run of blocks, begins at a byte and ends in an empty
// stored block.
//
//	stored      text as it is, read like that of a plain stream
//	compressed  one event, the next; when it was due, the publisher knows
//	empty       the end of either, or a heartbeat
//
// What is in the compressed blocks is seen in one stream of keepEvery: these are kept, and decoded when all is over.
type packed struct {
	state packedState
	left  int    // bytes left of the header or the text
	last  uint32 // the last four bytes
	after bool   // a text came, whose end is an empty block
	due   *dueTimes
	topic int
	keep  bool
	all   []byte // if kept
}

type packedState uint8

const (
	packedHeader packedState = iota
	packedBorder             // a block begins
	packedLength             // of a stored block
	packedText               // of a stored block
	packedCoded              // compressed blocks, up to the mark
	packedOver               // the last block and the trailer
)

const (
	keepEvery    = 100
	headerLength = 10         // bytes of a header without a name (RFC 1952, section 2.3)
	flushMark    = 0x0000ffff // the length of a stored block, none, and its complement
)

var errBadBlock = errors.New("a stored block's length is not its complement's")

// receive takes the next bytes of s, which arrived at unix time now (nanoseconds).
func (k *packed) receive(s *subscriber, p []byte, now int64, t *tally) error {
	if k.keep {
		k.all = append(k.all, p...)
	}
	for len(p) > 0 {
		switch k.state {
		case packedText:
			n := min(len(p), k.left)
			s.text(p[:n], now, t)
			if p, k.left = p[n:], k.left-n; k.left == 0 {
				k.state = packedBorder
			}
			continue
		case packedOver:
			return nil
		}
		c := p[0]
		p = p[1:]
		k.last = k.last<<8 | uint32(c)
		switch k.state {
		case packedHeader:
			if k.left++; k.left == headerLength {
				k.state = packedBorder
			}
		case packedBorder:
			switch {
			case c&1 != 0:
				k.state = packedOver
			case c == 0:
				k.state, k.left = packedLength, 4
			default:
				k.state = packedCoded
			}
		case packedLength:
			if k.left--; k.left > 0 {
				break
			}
			// Both are little endian.
			length, complement := bits.ReverseBytes16(uint16(k.last>>16)), bits.ReverseBytes16(uint16(k.last))
			if length != ^complement {
				return errBadBlock
			}
			k.state, k.left = packedText, int(length)
			if length == 0 {
				k.state = packedBorder
				if !k.after {
					t.heartbeats++
				}
			}
			k.after = length > 0
		case packedCoded:
			if k.last == flushMark {
				k.state = packedBorder
				s.coded(k.due.of(s.next), now, t)
			}
		}
	}
	return nil
}

// decode checks the streams that were kept: t gets what was lost, doubled or foreign in them.
func (r *run) decode(p *publisher, t *tally) {
	for _, reading := range r.pollers {
		reading.guard.Lock()
		defer reading.guard.Unlock()
	}
	for _, k := range r.kept {
		got, s := tally{}, subscriber{next: 1}
		text, err := k.text()
		if err != nil {
			r.failed(fmt.Errorf("decode a stream: %w", err))
			continue
		}
		s.text(text, 0, &got)
		t.lost += got.lost + p.published[k.topic] - min(p.published[k.topic], got.delivered)
		t.doubled += got.doubled
		t.foreign += got.foreign
		t.gaps += got.gaps
	}
}

func (k *packed) text() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(k.all))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	if !errors.Is(err, io.ErrUnexpectedEOF) { // the stream has not ended
		return nil, err
	}
	return text, nil
}

// appendIncident appends text like that of a match.
func appendIncident(dst []byte, n uint64) []byte {
	seed := n * 0x9e3779b97f4a7c15
	pick := func(words ...string) string {
		seed ^= seed >> 29
		seed *= 0xbf58476d1ce4e5b9
		return words[seed>>32%uint64(len(words))]
	}
	seconds := n % 5400
	dst = fmt.Appendf(dst, `{"match":"match-42","minute":%d,"second":%d,"kind":"%s","team":"%s","player":%d,"x":%.1f,"score":{"home":%d,"away":%d}}`,
		seconds/60, seconds%60, pick("shot", "corner", "foul", "throw-in", "offside", "goal-kick"), pick("Northport", "Ashvale"),
		1+seed>>40%23, float64(seed>>20%1050)/10, n/900, n/1500)
	return dst
}
