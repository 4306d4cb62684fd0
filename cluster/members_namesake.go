package cluster

import (
	"github.com/hashicorp/memberlist"
)

// membersConflict hears of another relay that calls itself as this one does: by mistake, or it is this one's former self,
// which the others do not know to be dead yet. It is called by memberlist with its locks held: it notes, nothing else.
type membersConflict struct{ m *Members }

func (c *membersConflict) NotifyConflict(existing, other *memberlist.Node) {
	if existing.Name != c.m.Name {
		return // two others
	}
	c.m.mu.Lock()
	c.m.namesake = other.Address()
	c.m.dispute = true
	c.m.mu.Unlock()
}

// suspectsNamesake says that there was a conflict, and nobody has looked into it.
func (m *Members) suspectsNamesake() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.namesake != ""
}

// findNamesake looks for the other relay where it is said to be. Only one that lives answers, and then there is the same
// conflict again; a former self does not.
func (m *Members) findNamesake() (address string, found bool) {
	m.mu.Lock()
	address, m.namesake = m.namesake, ""
	m.mu.Unlock()
	if address == "" {
		return "", false
	}
	_, err := m.list.Join([]string{address})
	if err == nil && m.suspectsNamesake() {
		return address, true
	}
	m.changed() // whoever waited for this goes on
	return "", false
}
