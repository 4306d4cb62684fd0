package ringbuf

import (
	"errors"
	"strings"
)

// A Place is what a subscriber has seen of a topic whose log once forked: everything up
// to At, and everything up to Lost on a branch that did not survive. Lost is zero except
// in the middle of a catch-up after a heal.
type Place struct{ At, Lost Position }

// ErrPlace is what ParsePlace returns for text that is no place.
var ErrPlace = errors.New("not a place: want a position, or two joined by a tilde")

// String returns At as text, and with a lost part both joined by a tilde.
func (p Place) String() string {
	if p.Lost == (Position{}) {
		return p.At.String()
	}
	return p.At.String() + "~" + p.Lost.String()
}

// ParsePlace reads what String writes, and nothing else, so that equal places are equal
// text.
func ParsePlace(s string) (Place, error) {
	at, lost, two := strings.Cut(s, "~")
	var p Place
	var ok bool
	if p.At, ok = parsePosition(at); !ok {
		return Place{}, ErrPlace
	}
	if !two {
		return p, nil
	}
	if p.Lost, ok = parsePosition(lost); !ok || p.Lost == (Position{}) {
		return Place{}, ErrPlace
	}
	return p, nil
}
