package cluster

import (
	"math/rand/v2"

	"github.com/hashicorp/memberlist"
)

// A relay that was killed and is back at another address is refused by whoever has not found its former self dead for a
// moment yet: alive or suspected there, its new address is a conflict to memberlist, which forgets it. News travels once;
// who marked the former self dead later than others hears of the new one when two lists happen to be exchanged. So whoever
// learns that it is in somebody's list under an address that is not its own exchanges lists with the others, once a second,
// until it hears nothing of that any more.

// membersMerge sees the lists that come with joining, from both sides.
type membersMerge struct{ m *Members }

func (x *membersMerge) NotifyMerge(list []*memberlist.Node) error {
	m := x.m
	m.mu.Lock()
	defer m.mu.Unlock()
	self, started := m.alive[m.Name]
	for _, n := range list {
		if started && n.Name == m.Name && n.Address() != self.Gossip {
			m.dispute = true
		}
	}
	return nil
}

func (m *Members) disputed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dispute
}

// doubters are members to exchange lists with, if any of them may take this relay to be elsewhere: all, or where there are
// many so many that the rest hears it from them.
func (m *Members) doubters() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dispute {
		return nil
	}
	m.dispute = false
	var list []string
	for _, x := range m.alive {
		if x.Name != m.Name {
			list = append(list, x.Gossip)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(len(list), joinAtOnce)]
}
