package agree

import (
	"maps"
	"slices"
)

// Description is what a relay knows of a topic, for operators.
type Description struct {
	Role      string   // follower, standby, candidate, owner, sealed
	Owner     string   // as far as known here
	Standby   string   // at the owner only; empty: none, or not yet
	Alone     bool     // at the owner: nobody else may own
	Parent    string   // at a follower
	Followers []string // relays that follow from here
	Epoch     uint64   // of the owner
	Oldest    Position // of what is kept
	Head      Position // newest visible
	Ended     bool     // Head is the topic's end
	Tail      uint64   // entries that are not committed yet
	Lineage   Lineage
	Lost      []Branch
	Merging   int // events of a lost branch that wait for their place
}

// Describe says what is known of a topic; false: nothing.
func (r *Relay) Describe(name string) (Description, bool) {
	t := r.topics[name]
	if t == nil {
		return Description{}, false
	}
	l := t.target()
	d := Description{
		Role: t.role.String(), Owner: t.holder, Epoch: t.holderEpoch, Parent: t.up.parent,
		Followers: slices.Sorted(maps.Keys(t.children)),
		Head:      l.position(l.visible), Tail: l.head() - l.visible,
		Lineage: slices.Clone(l.spans), Lost: slices.Clone(l.lost), Merging: len(t.orphans),
	}
	if l.visible > l.base {
		d.Oldest = l.position(l.base + 1)
		d.Ended = l.entry(l.visible).Kind == End
	}
	switch t.role {
	case owner, sealed:
		d.Owner, d.Epoch, d.Alone = r.cfg.Name, t.own.epoch, t.own.alone
		if t.own.synced {
			d.Standby = t.own.standby
		}
	case standby:
		d.Owner, d.Standby, d.Epoch = t.second.owner, r.cfg.Name, t.second.epoch
	}
	return d, true
}

// Counts of topics by what this relay is to them.
type Counts struct {
	Topics  int `json:"held"`
	Owned   int `json:"owned"`
	Standby int `json:"standby"`
	Alone   int `json:"alone"`           // of those owned: nobody else may own
	Unsafe  int `json:"without_standby"` // of those owned: others may own, and no standby has its copy yet
}

// Count the topics held here.
func (r *Relay) Count() Counts {
	c := Counts{Topics: len(r.topics)}
	for _, t := range r.topics {
		switch t.role {
		case owner, sealed:
			c.Owned++
			switch {
			case t.own.alone:
				c.Alone++
			case !t.own.synced || len(t.own.flight) > 0 && t.own.acked == 0:
				c.Unsafe++
			}
		case standby:
			c.Standby++
		}
	}
	return c
}

// Topics lists the topics held here.
func (r *Relay) Topics() []string { return slices.Sorted(maps.Keys(r.topics)) }
