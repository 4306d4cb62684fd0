package agree

import (
	"fmt"
	"strings"

	"freshet/ringbuf"
)

// Position is the place of an entry in its topic's log. Sequences go on across epochs; a new topic's first entry is 1.
type Position = ringbuf.Position

// Place is what a subscriber has seen: everything up to At, and everything up to Lost on a branch that did not survive.
// Lost is zero except in the middle of a catch-up after a heal.
type Place struct{ At, Lost Position }

// String is At, and with a lost part both joined by a tilde.
func (p Place) String() string {
	if p.Lost == (Position{}) {
		return p.At.String()
	}
	return p.At.String() + "~" + p.Lost.String()
}

// ParsePlace reads what String writes.
func ParsePlace(s string) (Place, error) {
	at, lost, two := strings.Cut(s, "~")
	var p Place
	var err error
	if p.At, err = ringbuf.ParsePosition(at); err != nil || !two {
		return p, err
	}
	if p.Lost, err = ringbuf.ParsePosition(lost); err == nil && p.Lost == (Position{}) {
		err = fmt.Errorf("place %q: the lost part is zero", s)
	}
	return p, err
}

// An epoch is a count that never goes back (at least the Unix time in seconds) above 16 bits that its process drew when it
// started. The count orders takeovers; the bits keep two relays that draw in the same second apart.
const nonceBits = 16

// nextEpoch is above every epoch seen so far, and never one that another process draws.
func nextEpoch(seen uint64, unix int64, nonce uint16) uint64 {
	count := max(seen>>nonceBits+1, uint64(max(unix, 0)))
	return count<<nonceBits | uint64(nonce)
}
