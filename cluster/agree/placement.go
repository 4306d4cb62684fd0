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
	return sorted(topic, members, mayOwn(members))
}

// First is the head of Order, without the rest: its name, or nothing.
func First(topic string, members []Member) string {
	may, scale := mayOwn(members), newScale(topic)
	var first weighed
	for i := range members {
		if m := &members[i]; may(m) {
			if w := scale.weigh(m); first.member == nil || w.compare(first) < 0 {
				first = w
			}
		}
	}
	if first.member == nil {
		return ""
	}
	return first.member.Name
}

// Regional lists a region's relays, edges too, the topic's parent for the region first.
func Regional(topic, region string, members []Member) []Member {
	return sorted(topic, members, func(m *Member) bool { return m.State == Ready && m.Region == region })
}

func mayOwn(members []Member) func(*Member) bool {
	hubs := slices.ContainsFunc(members, func(m Member) bool { return m.Role == Hub && m.State == Ready })
	return func(m *Member) bool { return m.State == Ready && m.Role != Edge && (!hubs || m.Role == Hub) }
}

func sorted(topic string, members []Member, with func(*Member) bool) []Member {
	scale := newScale(topic)
	list := make([]weighed, 0, len(members))
	for i := range members {
		if m := &members[i]; with(m) {
			list = append(list, scale.weigh(m))
		}
	}
	slices.SortFunc(list, weighed.compare)
	order := make([]Member, len(list))
	for i := range list {
		order[i] = *list[i].member
	}
	return order
}

// weighed is a relay with what places it for one topic: among a thousand relays weighing is most of the work.
type weighed struct {
	region, relay uint64
	member        *Member
}

func (a weighed) compare(b weighed) int {
	switch {
	case a.region != b.region:
		return cmp.Compare(b.region, a.region)
	case a.member.Region != b.member.Region:
		return cmp.Compare(a.member.Region, b.member.Region)
	case a.relay != b.relay:
		return cmp.Compare(b.relay, a.relay)
	}
	return cmp.Compare(a.member.Name, b.member.Name)
}

// scale weighs relays for one topic.
type scale struct {
	region, relay uint64 // hashes so far
	last          string // region
	weight        uint64 // of last
}

func newScale(topic string) *scale {
	h := mix(offset, topic)
	s := &scale{region: mix(h, "region"), relay: mix(h, "relay")}
	s.weight = finish(mix(s.region, s.last))
	return s
}

func (s *scale) weigh(m *Member) weighed {
	if m.Region != s.last {
		s.last, s.weight = m.Region, finish(mix(s.region, m.Region))
	}
	return weighed{s.weight, finish(mix(s.relay, m.Name)), m}
}

// A weight is FNV-1a with the finisher of SplitMix64, without which names that differ in their last byte sort alike.
const offset, prime = 14695981039346656037, 1099511628211

func mix(h uint64, part string) uint64 {
	for i := range len(part) {
		h = (h ^ uint64(part[i])) * prime
	}
	return (h ^ 0xff) * prime // no byte of a topic or of UTF-8: parts cannot run together
}

func finish(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

func (r Role) String() string { return [...]string{"any", "hub", "edge"}[r] }

func (s State) String() string { return [...]string{"starting", "ready", "draining"}[s] }
