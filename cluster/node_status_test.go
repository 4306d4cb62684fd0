package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// decoded is what somebody who reads the JSON sees.
func decoded(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func keys(m any) []string {
	var list []string
	for k := range m.(map[string]any) {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// TestStatus: two regions of three relays; what is told of members, of links, and of a topic, as JSON.
func TestStatus(t *testing.T) {
	onNetwork(t, 0, func(t *testing.T, c *testCluster) {
		region := func(name string) string { return map[bool]string{true: "eu", false: "us"}[name <= "r3"] }
		for _, name := range []string{"r1", "r2", "r3", "r4", "r5", "r6"} {
			c.add(name, func(n *Node) { n.Region = region(name) })
		}
		c.net.Delay(nil, nil, 10*time.Millisecond, 0)
		for _, r := range c.relays {
			r.waitMembers(t, 6)
			r.Open("t")
			r.shelf.wait(t, "open", func() bool { return r.shelf.opened["t"] })
		}
		for i := range 10 {
			if err := c.relays[0].publish(t.Context(), "t", fmt.Sprint("event ", i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second) // for pings, and what is paced
		first, err := c.relays[0].Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := decoded(t, first)
		if d := cmp.Diff([]string{"cluster", "members", "name", "topics"}, keys(s)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"alone", "held", "owned", "standby", "without_standby"}, keys(s["topics"])); d != "" {
			t.Error(d)
		}
		members := s["members"].([]any)
		if len(members) != 6 {
			t.Fatalf("%d members", len(members))
		}
		for i, m := range members {
			m := m.(map[string]any)
			name := fmt.Sprint("r", i+1)
			address := c.net.Host(name).Addr().String()
			link, linked := m["link"].(map[string]any)
			delete(m, "link")
			want := map[string]any{
				"name": name, "region": region(name), "role": "any", "state": "ready", "protocol": float64(Protocol),
				"gossip": address + ":7946", "links": address + ":7947",
			}
			if d := cmp.Diff(want, m); d != "" {
				t.Error(d)
			}
			if linked != (name != "r1") {
				t.Errorf("%s: a link: %v", name, linked)
			}
			if !linked {
				continue
			}
			want = map[string]any{
				"since": link["since"], "delay_seconds": 0.02, "quiet_seconds": link["quiet_seconds"], "pending_bytes": 0.0, "links": 1.0,
				"received_bytes": link["received_bytes"], "sent_bytes": link["sent_bytes"], "sent_text_bytes": link["sent_text_bytes"],
			}
			if d := cmp.Diff(want, link); d != "" {
				t.Error(d)
			}
			if link["quiet_seconds"].(float64) > silence.Seconds() || link["sent_bytes"].(float64) == 0 {
				t.Errorf("%s: %v", name, link)
			}
		}

		owner := c.owner("t")
		here, _, err := owner.Topic(t.Context(), "t")
		if err != nil {
			t.Fatal(err)
		}
		parents := here.Parents
		if len(parents) != 2 || parents[0].Region != "eu" || parents[1].Region != "us" || region(parents[0].Relay) != "eu" || region(parents[1].Relay) != "us" {
			t.Errorf("regional parents: %+v", parents)
		}
		want := TopicStatus{
			Topic: "t", Owner: owner.Name, Standby: here.Standby, Role: "owner", Parents: parents, Followers: here.Followers,
			Oldest: here.Lineage[0].First, Head: here.Head, Lineage: here.Lineage, Lost: []BranchStatus{},
		}
		if d := cmp.Diff(want, here); d != "" {
			t.Error(d)
		}
		if here.Standby == "" || here.Standby == owner.Name || region(here.Standby) != region(owner.Name) {
			t.Errorf("%s stands by for %s", here.Standby, owner.Name)
		}
		for _, r := range c.relays {
			s, ok, err := r.Topic(t.Context(), "t")
			if err != nil || !ok || s.Owner != owner.Name || s.Head != here.Head {
				t.Errorf("%s: %+v, %v", r.Name, s, err)
			}
			// The other region's parent follows the owner or its standby, and the others there follow it.
			away, at := region(r.Name) != region(owner.Name), parents[0]
			if at.Region != region(r.Name) {
				at = parents[1]
			}
			if away && r.Name != at.Relay && s.Parent != at.Relay {
				t.Errorf("%s follows %s, and its region's parent is %s", r.Name, s.Parent, at.Relay)
			}
			if away && r.Name == at.Relay && region(s.Parent) != region(owner.Name) {
				t.Errorf("%s follows %s, and the owner is %s", r.Name, s.Parent, owner.Name)
			}
		}
		nothing := []string{"followers", "head", "lineage", "lost_branches", "oldest", "owner", "regional_parents", "role", "standby", "topic", "uncommitted"}
		if d := cmp.Diff(nothing, keys(decoded(t, here))); d != "" {
			t.Error(d)
		}
		for _, r := range c.relays { // some have followers, some a parent
			s, _, err := r.Topic(t.Context(), "t")
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range decoded(t, s) {
				if v == nil {
					t.Errorf("%s: %s is null", r.Name, k)
				}
			}
		}
		if _, ok, err := owner.Topic(t.Context(), "unknown"); ok || err != nil {
			t.Errorf("a topic that nobody has: %v, %v", ok, err)
		}
	})
}

// TestStatusLag: what a peer does not take shows at its link.
func TestStatusLag(t *testing.T) {
	onNetwork(t, 2, func(t *testing.T, c *testCluster) {
		if err := c.relays[0].publish(t.Context(), "t", "first"); err != nil {
			t.Fatal(err)
		}
		owner := c.owner("t")
		other := c.relays[0]
		if other == owner {
			other = c.relays[1]
		}
		c.net.Cut([]string{owner.Name}, []string{other.Name})
		c.net.Cut([]string{other.Name}, []string{owner.Name})
		go func() { // it waits for the standby
			_ = owner.publish(t.Context(), "t", string(make([]byte, 5<<20)))
		}()
		time.Sleep(silence / 2)
		s := owner.links.status(other.Name)
		if s == nil || s.Pending < 5<<20 || s.Quiet < (silence/4).Seconds() {
			t.Errorf("half a second after a cut: %+v", s)
		}
		if all := owner.links.now(); s != nil && (len(all) != 1 || all[0] != peerNow{other.Name, true, 1, s.Pending}) {
			t.Errorf("of all links: %+v, of the only one: %+v", all, s)
		}
		time.Sleep(time.Minute)
		for _, r := range c.relays { // a connection that could not say what it had to is closed all the same
			if n := c.net.Host(r.Name).Connections(); n > 0 {
				t.Errorf("a minute after, %s has %d connections", r.Name, n)
			}
		}
	})
}
