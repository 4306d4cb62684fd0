package cluster

import (
	"context"
	"slices"
	"strings"
	"time"

	"freshet/cluster/agree"
)

// Status is the cluster as this relay sees it, for the admin listener and "freshet cluster".
type Status struct {
	Name    string         `json:"name"`
	Cluster string         `json:"cluster"`
	Members []MemberStatus `json:"members"` // those in view, and those lost within the last hour
	Topics  agree.Counts   `json:"topics"`
	Change  *ChangeStatus  `json:"last_change,omitempty"` // none: no topic has changed hands here
}

// ChangeStatus is an event in which topics came to this relay, or went.
type ChangeStatus struct {
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"` // takeover: the peer was gone; move, moved: it gave them here, or was given; fenced, met: it owned them, too
	Peer   string    `json:"peer"`   // who owned them before, or owns them since
	Topics int       `json:"topics"`
}

// MemberStatus is one relay, and the link to it. One that is lost has the addresses that it had.
type MemberStatus struct {
	Name     string      `json:"name"`
	Region   string      `json:"region,omitempty"`
	Role     string      `json:"role"`
	State    string      `json:"state"`           // starting, ready, draining, lost
	Since    *time.Time  `json:"since,omitempty"` // it is lost
	Gossip   string      `json:"gossip"`
	Links    string      `json:"links"`
	Protocol uint8       `json:"protocol"`
	Link     *LinkStatus `json:"link,omitempty"` // none to this relay itself, or none now
}

// LinkStatus is one link.
type LinkStatus struct {
	Since    time.Time `json:"since"`
	Delay    float64   `json:"delay_seconds"` // there and back
	Quiet    float64   `json:"quiet_seconds"` // since something was heard
	Received uint64    `json:"received_bytes"`
	Sent     uint64    `json:"sent_bytes"`
	Text     uint64    `json:"sent_text_bytes"` // of Sent, before it was compressed
	Pending  int       `json:"pending_bytes"`   // lag: what the peer has not taken yet, before compression
	Links    uint64    `json:"links"`           // to this relay so far
}

// TopicStatus is what this relay knows of a topic.
type TopicStatus struct {
	Topic     string         `json:"topic"`
	Owner     string         `json:"owner"`
	OwnerLost bool           `json:"owner_lost,omitempty"` // it is not in view, and nobody is known to have taken over
	Standby   string         `json:"standby"`              // empty: none, or the owner was not asked
	Role      string         `json:"role"`                 // of this relay: follower, standby, candidate, owner, sealed; none: it does not hold the topic
	Alone     bool           `json:"alone,omitempty"`
	Parent    string         `json:"parent,omitempty"`
	Parents   []RegionParent `json:"regional_parents"`
	Followers []string       `json:"followers"`
	Oldest    string         `json:"oldest"`
	Head      string         `json:"head"`                 // newest that is shown here
	OwnerHead string         `json:"owner_head,omitempty"` // and at the owner
	Ended     bool           `json:"ended,omitempty"`
	Tail      uint64         `json:"uncommitted"`
	Lineage   []SpanStatus   `json:"lineage"`
	Lost      []BranchStatus `json:"lost_branches"` // that this relay knows of
	Merging   int            `json:"merging,omitempty"`
}

// RegionParent is the relay that a region's others should follow a topic from.
type RegionParent struct {
	Region string `json:"region"`
	Relay  string `json:"relay"`
}

// SpanStatus is an epoch of the log.
type SpanStatus struct {
	First string `json:"first"` // position where it begins
}

// BranchStatus is what did not become part of the log: of an owner that another one replaced meanwhile.
type BranchStatus struct {
	First string `json:"first"` // position where it begins
	After string `json:"after"` // position in the log that it follows
}

// Status describes the cluster.
func (n *Node) Status(ctx context.Context) (Status, error) {
	var lost []sighting
	s, err := ask(ctx, n, func() Status {
		lost = n.roster.missing(n.now)
		return Status{Name: n.Name, Cluster: n.Cluster, Topics: n.relay.Count(), Change: n.changes.latest}
	})
	if err != nil {
		return Status{}, err
	}
	alive := n.members.Alive()
	for _, m := range alive {
		s.Members = append(s.Members, MemberStatus{
			Name: m.Name, Region: m.Region, Role: m.Role.String(), State: m.State.String(), Gossip: m.Gossip, Links: m.Link,
			Protocol: m.Protocol, Link: n.links.status(m.Name),
		})
	}
	for _, m := range lost {
		if slices.ContainsFunc(alive, func(x Member) bool { return x.Name == m.Name }) {
			continue // it came back just now
		}
		s.Members = append(s.Members, MemberStatus{
			Name: m.Name, Region: m.Region, Role: m.Role.String(), State: "lost", Since: &m.lost, Gossip: m.Gossip, Links: m.Link, Protocol: m.Protocol,
		})
	}
	slices.SortFunc(s.Members, func(a, b MemberStatus) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

// Topic describes a topic as it is known here; ok is false if nothing is. See TopicAnywhere.
func (n *Node) Topic(ctx context.Context, topic string) (s TopicStatus, ok bool, err error) {
	type found struct {
		agree.Description
		ok bool
	}
	f, err := ask(ctx, n, func() found {
		d, ok := n.relay.Describe(topic)
		return found{d, ok}
	})
	if err != nil || !f.ok {
		return TopicStatus{}, false, err
	}
	s = TopicStatus{
		Topic: topic, Owner: f.Owner, Standby: f.Standby, Role: f.Role, Alone: f.Alone, Parent: f.Parent,
		Followers: append([]string{}, f.Followers...), Oldest: f.Oldest.String(), Head: f.Head.String(), Ended: f.Ended, Tail: f.Tail, Merging: f.Merging,
		Parents: []RegionParent{}, Lineage: []SpanStatus{}, Lost: []BranchStatus{}, // lists in JSON, though they be empty
	}
	for _, b := range f.Lost {
		s.Lost = append(s.Lost, BranchStatus{First: agree.Position{Epoch: b.Epoch, Seq: b.First}.String(), After: b.After.String()})
	}
	for _, span := range f.Lineage {
		s.Lineage = append(s.Lineage, SpanStatus{First: agree.Position{Epoch: span.Epoch, Seq: span.First}.String()})
	}
	byRegion := map[string][]agree.Member{}
	for _, m := range n.members.Alive() {
		byRegion[m.Region] = append(byRegion[m.Region], m.Member)
	}
	for region, members := range byRegion {
		if list := agree.Regional(topic, region, members); len(list) > 0 {
			s.Parents = append(s.Parents, RegionParent{region, list[0].Name})
		}
	}
	slices.SortFunc(s.Parents, func(a, b RegionParent) int { return strings.Compare(a.Region, b.Region) })
	return s, true, nil
}

// status of the link to a peer; nil if there is none.
func (ls *Links) status(name string) *LinkStatus {
	ls.mu.Lock()
	p := ls.peers[name]
	if p == nil || p.link == nil {
		ls.mu.Unlock()
		return nil
	}
	l, count := p.link, ls.past[name].links
	ls.mu.Unlock()
	return &LinkStatus{
		Since: l.began, Delay: time.Duration(l.delay.Load()).Seconds(),
		Quiet:    time.Duration(time.Now().UnixNano() - l.heard.Load()).Seconds(),
		Received: l.in.Load(), Sent: l.out.Load(), Text: l.text.Load(), Pending: l.lag(), Links: count,
	}
}
