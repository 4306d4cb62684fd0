package agree

import "slices"

// Found says what a log knows of an id.
type Found uint8

const (
	Known   Found = iota // goes on after Route.After, leaving out Route.Skip
	Evicted              // it was here, and so were events after it that are gone
	Ahead                // of this log's newest epoch, above its head
	Unknown
)

// Route is how a subscriber that has seen a Place goes on in a log.
type Route struct {
	Found Found
	After uint64   // sequence
	Skip  []uint64 // ascending: entries after After that it has seen on a lost branch
	// Missing says that some of what it saw on the lost branch has no place in this log, yet or for ever: it may still be
	// on its way from a relay that holds it.
	Missing bool
}

// piece is a run of one epoch that lies on a lost branch.
type piece struct{ epoch, from, to uint64 }

// route finds the way. It knows visible entries only.
func (l *Log) route(p Place) Route {
	at, pieces, found := l.path(p.At)
	if found != Known {
		return Route{Found: found}
	}
	if p.Lost != (Position{}) {
		if _, more, found := l.path(p.Lost); found == Known {
			pieces = append(pieces, more...)
		}
	}
	if at < l.base {
		return Route{Found: Evicted}
	}
	r := Route{Found: Known, After: at}
	if len(pieces) == 0 {
		return r
	}
	seen, placed := uint64(0), uint64(0)
	for _, q := range pieces {
		seen += q.to - q.from + 1
	}
	for i := range l.entries {
		e, skip := &l.entries[i], false
		for _, f := range e.Former {
			if slices.ContainsFunc(pieces, func(q piece) bool { return q.epoch == f.Epoch && q.from <= f.Seq && f.Seq <= q.to }) {
				skip = true
				placed++
			}
		}
		if skip && e.Seq > at {
			r.Skip = append(r.Skip, e.Seq)
		}
	}
	r.Missing = placed < seen
	return r
}

// path walks from p down to the log: the sequence where the two meet, and the pieces that lie beside it.
func (l *Log) path(p Position) (at uint64, pieces []piece, found Found) {
	for range maxBranches + 1 {
		if p.Seq == 0 && len(pieces) > 0 {
			return 0, pieces, Known // a log of its own from the first entry on
		}
		if i := l.spans.find(p.Epoch); i >= 0 {
			first, last := l.spans[i].First, l.spans.last(i, l.head())
			switch {
			case p.Seq+1 < first:
				return 0, nil, Unknown // no entry of that epoch ever stood there
			case p.Seq <= min(last, l.visible):
				return p.Seq, pieces, Known
			case i == len(l.spans)-1 || p.Seq <= last:
				return 0, nil, Ahead
			default:
				return last, append(pieces, piece{p.Epoch, last + 1, p.Seq}), Known
			}
		}
		i := slices.IndexFunc(l.lost, func(b Branch) bool { return b.Epoch == p.Epoch })
		if i < 0 || p.Seq+1 < l.lost[i].First {
			return 0, nil, Unknown
		}
		if p.Seq >= l.lost[i].First {
			pieces = append(pieces, piece{p.Epoch, l.lost[i].First, p.Seq})
		}
		p = l.lost[i].After
	}
	return 0, nil, Unknown
}
