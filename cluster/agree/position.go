package agree

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is the place of an entry in its topic's log. Sequences go on across epochs; a new topic's first entry is 1.
type Position struct{ Epoch, Seq uint64 }

// String is the form that clients see: "<epoch>-<sequence>", lower-case base 36, safe in a CORS request header.
func (p Position) String() string {
	return strconv.FormatUint(p.Epoch, 36) + "-" + strconv.FormatUint(p.Seq, 36)
}

// ParsePosition reads what String writes and nothing else: one position has one text.
func ParsePosition(s string) (Position, error) {
	epoch, seq, ok := strings.Cut(s, "-")
	if !ok {
		return Position{}, fmt.Errorf("position %q: no hyphen", s)
	}
	var p Position
	var err error
	if p.Epoch, err = strconv.ParseUint(epoch, 36, 64); err != nil {
		return Position{}, fmt.Errorf("position %q: epoch: %w", s, err)
	}
	if p.Seq, err = strconv.ParseUint(seq, 36, 64); err != nil {
		return Position{}, fmt.Errorf("position %q: sequence: %w", s, err)
	}
	if p.String() != s {
		return Position{}, fmt.Errorf("position %q is not canonical, want %q", s, p.String())
	}
	return p, nil
}

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
	if p.At, err = ParsePosition(at); err != nil || !two {
		return p, err
	}
	if p.Lost, err = ParsePosition(lost); err == nil && p.Lost == (Position{}) {
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
