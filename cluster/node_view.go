package cluster

import (
	"errors"

	"freshet/cluster/agree"
)

// ErrOwnerless is why nothing can be published or resumed here: whoever is in view serves subscribers only, leaves, or has
// not said yet that it is ready.
var ErrOwnerless = errors.New("cluster: no relay in view may own a topic")

// Owners is nil if at least one relay in view may own topics, this one included.
func (n *Node) Owners() error {
	select {
	case <-n.started:
	default:
		return ErrClosed
	}
	if !n.members.owners() {
		return ErrOwnerless
	}
	return nil
}

// owners says that somebody in view may own topics.
func (m *Members) owners() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range m.alive {
		if x.Name == m.Name {
			x.State = m.state
		}
		if mayOwn(x.Member) {
			return true
		}
	}
	return false
}

// mayOwn is for whether anybody may: while hubs are in view, they alone may.
func mayOwn(m agree.Member) bool { return m.State == agree.Ready && m.Role != agree.Edge }

// ownership tells an operator when nobody in view may own a topic, and when that is over. It is called with every view.
type ownership struct{ none bool }

func (o *ownership) see(n *Node, self agree.State, view []agree.Member) {
	if self != agree.Ready { // it has not met the others yet, or is about to go
		return
	}
	none := true
	for _, m := range view {
		if mayOwn(m) {
			none = false
		}
	}
	if none == o.none {
		return
	}
	o.none = none
	if none {
		n.Log.Warn("no relay in view may own a topic", "members", len(view))
	} else {
		n.Log.Info("a relay that may own topics is in view again", "members", len(view))
	}
}
