package cluster

import (
	"strings"
	"testing"
	"time"
)

// A relay whose name another has says so and ends, and the other does not suffer.
func TestNamesake(t *testing.T) { onNetwork(t, 3, testNamesake) }

func testNamesake(t *testing.T, c *testCluster) {
	links := func() (n uint64) {
		for _, r := range c.relays[1:] {
			n += r.links.status("r1").Links
		}
		return n
	}
	before := links()
	n := New("r1", newShelf())
	n.Cluster, n.Gossip, n.Links, n.Keys, n.Network = "test", ":7946", ":7947", c.keys, c.net.Host("elsewhere")
	n.Join = []string{c.relays[1].members.list.LocalNode().Address()}
	err := n.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cluster.name: a relay at "+c.relays[0].members.list.LocalNode().Address()+` is called "r1", too`) {
		t.Errorf("a relay with another's name ends with %v", err)
	}
	select {
	case <-n.Joined():
		t.Error("it was ready")
	default:
	}
	time.Sleep(20 * time.Second)
	for _, r := range c.relays {
		if s, err := r.Status(t.Context()); err != nil || len(s.Members) != 3 {
			t.Errorf("%s sees %+v, %v", r.Name, s.Members, err)
		}
	}
	if now := links(); now != before {
		t.Errorf("the relay that was there first had %d links, then %d more", before, now-before)
	}
}

// A relay that died comes back elsewhere, while the others still take its former self for alive.
func TestFormerSelfIsNoNamesake(t *testing.T) { onNetwork(t, 3, testFormerSelf) }

func testFormerSelf(t *testing.T, c *testCluster) {
	c.net.Kill("r1")
	c.relays[0].stop()
	c.relays = c.relays[1:]
	back := c.add("r1", func(n *Node) { n.Network = c.net.Host("elsewhere") })
	for _, r := range append(c.relays[:2:2], back) {
		r.waitMembers(t, 3)
	}
}
