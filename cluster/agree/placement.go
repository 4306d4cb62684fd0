package agree

import (
	"cmp"
	"slices"
)

// Role says what a relay is for.
type Role uint8

const (
	Any  Role = iota // serves subscribers; owns topics where there is no hub
	Hub              // owns topics; where any hub exists only hubs do
	Edge             // serves subscribers, never owns
)

// State is what a relay says of itself by gossip.
type State uint8

const (
	Starting State = iota
	Ready
	Draining
)

// Member is a relay as gossip describes it.
type Member struct {
	Name   string
	Region string
	Role   Role
	State  State
}

// Order lists the relays that may own a topic, the one that should own it first: regions by rendezvous hashing, then the
// relays within each. When a relay joins or leaves, only the topics that it wins or held change their order's head; and
// the next in order is in the owner's region if there is one.
// See https://en.wikipedia.org/wiki/Rendezvous_hashing.
func Order(topic string, members []Member) []Member {
	hubs := slices.ContainsFunc(members, func(m Member) bool { return m.Role == Hub && m.State == Ready })
	list := make([]Member, 0, len(members))
	for _, m := range members {
		if m.State != Ready || m.Role == Edge || hubs && m.Role != Hub {
			continue
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b Member) int { return compare(topic, a, b) })
	return list
}

// Regional lists a region's relays, edges too, the topic's parent for the region first.
func Regional(topic, region string, members []Member) []Member {
	list := make([]Member, 0, len(members))
	for _, m := range members {
		if m.State == Ready && m.Region == region {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b Member) int { return compare(topic, a, b) })
	return list
}

func compare(topic string, a, b Member) int {
	if a.Region != b.Region {
		if c := cmp.Compare(weight(topic, "region", b.Region), weight(topic, "region", a.Region)); c != 0 {
			return c
		}
		return cmp.Compare(a.Region, b.Region)
	}
	if c := cmp.Compare(weight(topic, "relay", b.Name), weight(topic, "relay", a.Name)); c != 0 {
		return c
	}
	return cmp.Compare(a.Name, b.Name)
}

// weight is FNV-1a with the finisher of SplitMix64, without which names that differ in their last byte sort alike.
func weight(topic, kind, name string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, part := range [...]string{topic, kind, name} {
		for i := range len(part) {
			h = (h ^ uint64(part[i])) * prime
		}
		h = (h ^ 0xff) * prime // no byte of a topic or of UTF-8: parts cannot run together
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func (r Role) String() string { return [...]string{"any", "hub", "edge"}[r] }

func (s State) String() string { return [...]string{"starting", "ready", "draining"}[s] }
