package agree

import (
	"slices"

	"freshet/ringbuf"
)

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
	// Lost goes into the subscriber's Place beside every event that it is sent from here on: until the last of Skip is
	// behind it, or if Missing until another Route says otherwise (see Merged).
	Lost Position
	// Missing says that some of what it saw on another branch has no place in this log yet: if the branch is merged, those
	// events are new to this log and not to the subscriber.
	Missing bool
}

// piece is a run of one epoch that lies on a lost branch.
type piece struct{ epoch, from, to uint64 }

// chart is what of a log finds ways in it. It never changes, so anybody may keep it.
type chart struct {
	spans               Lineage
	lost                []Branch
	base, visible, head uint64
	placed              []Alias // where entries stood on lost branches, ascending by Seq
	attached            bool    // for subscribers that are here: what is ahead of the log is left out when it comes
}

// chart makes one of the log as it is now.
func (l *Log) chart() *chart {
	c := &chart{spans: slices.Clone(l.spans), lost: slices.Clone(l.lost), base: l.base, visible: l.visible, head: l.head()}
	if len(l.former) == 0 {
		return c
	}
	for i := range l.entries {
		for _, f := range l.entries[i].Former {
			c.placed = append(c.placed, Alias{f, l.entries[i].Seq})
		}
	}
	return c
}

// onward is the way of subscribers that are here, when the log becomes another or learns where lost events stand.
func (l *Log) onward() func(Place) Route {
	c := l.chart()
	c.attached = true
	return c.route
}

// routeID finds the way of a client that comes with an id: one that the origin set, or a Place as text.
func (l *Log) routeID(id string) Route {
	if seq, known := l.ids[id]; known && id != "" {
		return l.routeOrigin(seq)
	}
	if id != "" && id == l.recalled {
		if l.base > 0 {
			return Route{Found: Evicted}
		}
		return Route{}
	}
	p, err := ringbuf.ParsePlace(id)
	if err != nil {
		return Route{Found: Unknown}
	}
	return l.chart().route(p)
}

// routeOrigin goes on after an entry that is known by the origin's id. If it stood on another branch too, nothing tells on
// which of the two the client saw it, and what came after the earlier fork is sent: repeats, never losses.
func (l *Log) routeOrigin(seq uint64) Route {
	if seq > l.visible {
		return Route{Found: Ahead}
	}
	r := Route{Found: Known, After: seq}
	if former := l.entry(seq).Former; len(former) > 0 {
		c := l.chart()
		for _, f := range former {
			fork, _, found := c.path(f)
			if found != Known {
				fork = l.base
			}
			r.After = min(r.After, fork)
		}
	}
	if r.After < l.base {
		return Route{Found: Evicted}
	}
	return r
}

// claims says that an id is the text of a position, or of a place, in an epoch of this log: no event may have it.
func (l *Log) claims(id string) bool {
	p, err := ringbuf.ParsePlace(id)
	return err == nil && (l.spans.find(p.At.Epoch) >= 0 ||
		slices.ContainsFunc(l.lost, func(b Branch) bool { return b.Epoch == p.At.Epoch }))
}

// route finds the way of a client that has seen a place. It knows visible entries only.
func (c *chart) route(p Place) Route {
	r := Route{Lost: p.Lost}
	at, pieces, found := c.path(p.At)
	if len(pieces) > 0 {
		r.Lost = p.At
	}
	if p.Lost != (Position{}) {
		fork, more, lost := c.path(p.Lost)
		switch {
		case found == Known && lost == Known:
			at, pieces = max(at, fork), append(pieces, more...)
		case found == Unknown && lost == Known && len(more) == 0: // the client is back on the branch that it had left
			at, found, r.Lost, r.Missing = fork, Known, p.At, true
		case lost == Unknown:
			r.Missing = true
		case found == Known:
			found = lost // ahead
		}
	}
	if found != Known {
		return Route{Found: found}
	}
	if at < c.base {
		return Route{Found: Evicted}
	}
	r.After = at
	seen, placed := uint64(0), uint64(0)
	for _, q := range pieces {
		seen += q.to - q.from + 1
	}
	for _, a := range c.placed {
		if !slices.ContainsFunc(pieces, func(q piece) bool { return q.epoch == a.Former.Epoch && q.from <= a.Former.Seq && a.Former.Seq <= q.to }) {
			continue
		}
		placed++
		if n := len(r.Skip); a.Seq > at && (n == 0 || r.Skip[n-1] != a.Seq) {
			r.Skip = append(r.Skip, a.Seq)
		}
	}
	if r.Missing = r.Missing || placed < seen; !r.Missing && len(r.Skip) == 0 {
		r.Lost = Position{}
	}
	return r
}

// path walks from p down to the log: the sequence where the two meet, and the pieces that lie beside it.
func (c *chart) path(p Position) (at uint64, pieces []piece, found Found) {
	for range maxBranches + 1 {
		if p.Seq == 0 { // before the first entry of any log
			return 0, pieces, Known
		}
		if i := c.spans.find(p.Epoch); i >= 0 {
			first, last := c.spans[i].First, c.spans.last(i, c.head)
			switch {
			case p.Seq+1 < first:
				return 0, nil, Unknown // no entry of that epoch ever stood there
			case p.Seq <= min(last, c.visible):
				return p.Seq, pieces, Known
			case (i == len(c.spans)-1 || p.Seq <= last) && c.attached:
				return c.visible, append(pieces, piece{p.Epoch, c.visible + 1, p.Seq}), Known
			case i == len(c.spans)-1 || p.Seq <= last:
				return 0, nil, Ahead
			default:
				return last, append(pieces, piece{p.Epoch, last + 1, p.Seq}), Known
			}
		}
		i := slices.IndexFunc(c.lost, func(b Branch) bool { return b.Epoch == p.Epoch })
		if i < 0 || p.Seq+1 < c.lost[i].First {
			return 0, nil, Unknown
		}
		if p.Seq >= c.lost[i].First {
			pieces = append(pieces, piece{p.Epoch, c.lost[i].First, p.Seq})
		}
		p = c.lost[i].After
	}
	return 0, nil, Unknown
}
