package ringbuf

import (
	"errors"
	"math"
	"strconv"
)

// A Position is the place of an event in its topic's log, and its name for ever.
// Sequences count from 1 and go on across epochs; sequence 0 is the place before
// the first event of a topic.
type Position struct {
	Epoch uint64
	Seq   uint64
}

// ErrPosition is what ParsePosition returns for text that is no position.
var ErrPosition = errors.New("not a position: want <epoch>-<sequence>, both in base 36 and lower case")

// maxPositionText is the length of the longest position: two numbers of 64 bits in
// base 36, and the dash.
const maxPositionText = 13 + 1 + 13

// String returns the position as text, "<epoch>-<sequence>" in base 36.
func (p Position) String() string {
	var text [maxPositionText]byte
	return string(p.append(text[:0]))
}

// AppendText appends the position's text to b. It implements encoding.TextAppender
// and never fails.
func (p Position) AppendText(b []byte) ([]byte, error) { return p.append(b), nil }

func (p Position) append(b []byte) []byte {
	b = strconv.AppendUint(b, p.Epoch, 36)
	b = append(b, '-')
	return strconv.AppendUint(b, p.Seq, 36)
}

// ParsePosition reads a position's text. It takes the one form that String writes and
// no other (no capitals, signs or leading zeros), so that equal positions are equal text.
func ParsePosition(s string) (Position, error) {
	p, ok := parsePosition(s)
	if !ok {
		return Position{}, ErrPosition
	}
	return p, nil
}

func parsePosition(s string) (Position, bool) {
	if len(s) > maxPositionText {
		return Position{}, false
	}
	for i := range len(s) {
		if s[i] == '-' {
			epoch, ok := parseBase36(s[:i])
			if !ok {
				return Position{}, false
			}
			seq, ok := parseBase36(s[i+1:])
			return Position{Epoch: epoch, Seq: seq}, ok
		}
	}
	return Position{}, false
}

func parseBase36(s string) (uint64, bool) {
	if s == "" || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		var digit uint64
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digit = uint64(c - '0')
		case 'a' <= c && c <= 'z':
			digit = uint64(c-'a') + 10
		default:
			return 0, false
		}
		if n > (math.MaxUint64-digit)/36 {
			return 0, false
		}
		n = n*36 + digit
	}
	return n, true
}

// A Branch is one epoch's part of a log: the events from sequence First on, up to
// where the next branch begins.
type Branch struct {
	Epoch uint64
	First uint64
}

// A lineage lists the branches of a log, oldest first: epochs rise strictly, first
// sequences too, but for the first branch, which may be empty. It never changes once
// published and has at least one branch.
type lineage []Branch

// maxLineage bounds how many branches are remembered once they have no events left.
const maxLineage = 64

// at returns the epoch of the event with sequence seq.
func (l lineage) at(seq uint64) Position {
	i := len(l) - 1
	for i > 0 && l[i].First > seq {
		i--
	}
	return Position{Epoch: l[i].Epoch, Seq: seq}
}

// branch returns the index of epoch, or -1.
func (l lineage) branch(epoch uint64) int {
	for i := len(l) - 1; i >= 0 && l[i].Epoch >= epoch; i-- {
		if l[i].Epoch == epoch {
			return i
		}
	}
	return -1
}

// claims reports whether id is the text of a position in an epoch of the lineage. No
// origin may use such an id: it names another event, now or later.
func (l lineage) claims(id string) bool {
	p, ok := parsePosition(id)
	return ok && l.branch(p.Epoch) >= 0
}

// last returns the sequence of the last event that branch i can have.
func (l lineage) last(i int) uint64 {
	if i == len(l)-1 {
		return math.MaxUint64
	}
	return l[i+1].First - 1
}

// before returns the sequence before branch i's first event. For the first branch that
// is a position that clients hold: nothing else is the place before a topic's first event.
func (l lineage) before(i int) uint64 {
	if i == 0 {
		return l[0].First - 1
	}
	return l[i].First
}

// newest returns the epoch that the next event belongs to.
func (l lineage) newest() uint64 { return l[len(l)-1].Epoch }

// begin returns the lineage in which epoch starts after head. Branches that lie
// before oldest altogether are forgotten once there are many.
func (l lineage) begin(epoch, head, oldest uint64) lineage {
	if n := len(l); n > 1 && l[n-1].First > head {
		l = l[:n-1] // nothing happened in that epoch: no position names it
	}
	for len(l) >= maxLineage && l[1].First <= min(oldest, head) {
		l = l[1:]
	}
	return append(append(make(lineage, 0, len(l)+1), l...), Branch{Epoch: epoch, First: head + 1})
}

// leadsTo reports whether l is a lineage that a log with that head may have.
func (l lineage) leadsTo(head Position) bool {
	for i, b := range l {
		if b.First == 0 || i > 0 && (b.Epoch <= l[i-1].Epoch || b.First < l[i-1].First) {
			return false
		}
		if i > 1 && b.First == l[i-1].First {
			return false
		}
	}
	return len(l) > 0 && l[len(l)-1].First <= head.Seq+1 && l.at(head.Seq) == head
}
