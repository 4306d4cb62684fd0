//go:build linux

package bench

import (
	"fmt"
	"strconv"
)

// The data of a bench event: a sequence number, its scheduled send time and padding, all of fixed width so that a
// subscriber reads them without searching: "000000000042 1795244400000000000 xxxx".
const (
	sequenceDigits = 12
	timeDigits     = 19
	minEventSize   = sequenceDigits + 1 + timeDigits
	padding        = 'x'
)

// appendData appends the data of event number sequence, due at unix time due (nanoseconds), padded to size bytes:
// with one letter, or with something like the text of a match, drawn from the number.
func appendData(dst []byte, sequence uint64, due int64, size int, lifelike bool) []byte {
	dst = appendPadded(dst, sequence, sequenceDigits)
	dst = append(dst, ' ')
	dst = appendPadded(dst, uint64(due), timeDigits)
	if size > minEventSize {
		dst = append(dst, ' ')
		end := len(dst) + size - minEventSize - 1
		for lifelike && len(dst) < end {
			dst = appendIncident(dst, sequence)
			dst = dst[:min(len(dst), end)]
		}
		for len(dst) < end {
			dst = append(dst, padding)
		}
	}
	return dst
}

func appendPadded(dst []byte, v uint64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], v, 10)
	for range width - len(text) {
		dst = append(dst, '0')
	}
	return append(dst, text...)
}

// parseData reads what appendData wrote.
func parseData(p []byte) (sequence uint64, due int64, ok bool) {
	if len(p) < minEventSize || p[sequenceDigits] != ' ' {
		return 0, 0, false
	}
	sequence, ok = parseDigits(p[:sequenceDigits])
	if !ok {
		return 0, 0, false
	}
	nanoseconds, ok := parseDigits(p[sequenceDigits+1 : minEventSize])
	return sequence, int64(nanoseconds), ok
}

func parseDigits(p []byte) (v uint64, ok bool) {
	for _, c := range p {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}

func checkSize(size int) error {
	if size < minEventSize || size > 64<<10 {
		return fmt.Errorf("-size %d: an event holds its number and its time, %d to 65536 bytes", size, minEventSize)
	}
	return nil
}
