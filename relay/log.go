package relay

import (
	"slices"
	"sync"

	"freshet/ringbuf"
)

// A shownLog is what the subscribers of a topic read: a ring, and how those go
// on who read another before it. It never changes, but for what the ring gets.
type shownLog struct {
	ring    *ringbuf.Ring
	version uint16 // counts up
	turns   []*turn
}

// A turn leads from one version of a topic's log to the next: relays that had
// lost sight of one another went on with logs of their own, and one survived.
// Whoever stands in the older one takes the turn when it is next asked.
type turn struct {
	from   *ringbuf.Ring
	before uint16 // the version that it leads from
	to     uint16 // the version that it leads to
	merged bool   // from is the ring still: only who is in a catch-up goes on elsewhere
	route  func(ringbuf.Place) Route
	routes sync.Map // Place to Route: those who stand at one place share one way
}

// keepTurns is how many turns are remembered. Who stands still for longer is
// told of a gap.
const keepTurns = 16

// then is the log after one more turn, into ring.
func (l *shownLog) then(ring *ringbuf.Ring, next *turn) *shownLog {
	next.before, next.to = l.version, l.version+1
	turns := slices.Clip(l.turns)
	if n := len(turns); next.merged && n > 0 && turns[n-1].merged {
		next.before, turns = turns[n-1].before, turns[:n-1:n-1] // the later one knows more of the same log
	}
	turns = append(turns, next)
	if len(turns) > keepTurns {
		turns = slices.Clone(turns[1:])
	}
	return &shownLog{ring: ring, version: l.version + 1, turns: turns}
}

// since returns the turns that lead here from a version; false if some are
// forgotten.
func (l *shownLog) since(version uint16) ([]*turn, bool) {
	behind := l.version - version
	i := len(l.turns)
	for i > 0 && l.version-l.turns[i-1].to < behind {
		i--
	}
	return l.turns[i:], behind == 0 || i < len(l.turns) && l.version-l.turns[i].before >= behind
}

// read returns the ring that a version is about; nil = it is forgotten.
func (l *shownLog) read(version uint16) *ringbuf.Ring {
	turns, known := l.since(version)
	switch {
	case !known:
		return nil
	case len(turns) > 0:
		return turns[0].from
	}
	return l.ring
}

// way is route, asked once for each place.
func (t *turn) way(p ringbuf.Place) Route {
	if r, ok := t.routes.Load(p); ok {
		return r.(Route)
	}
	r := t.route(p)
	t.routes.Store(p, r)
	return r
}

// byPosition is how one goes on in a ring that has the same log.
func byPosition(ring *ringbuf.Ring) func(ringbuf.Place) Route {
	return func(p ringbuf.Place) Route {
		at, found := ring.Find(p.At.String())
		return Route{Found: found, After: at.Seq()}
	}
}

// bySequence is how one goes on who has seen nothing.
func bySequence(p ringbuf.Place) Route {
	return Route{Found: ringbuf.Known, After: p.At.Seq, Lost: p.Lost, Missing: p.Lost != ringbuf.Position{}}
}

// ring is what new subscribers read.
func (t *topic) ring() *ringbuf.Ring { return t.log.Load().ring }
