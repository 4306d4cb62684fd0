package cluster

import (
	"slices"
	"testing"
	"time"

	"freshet/cluster/agree"
)

// TestComesBackElsewhere: a relay is killed and started again under another address, while the others have noticed nothing,
// suspect it, or have just found it dead, each at its own time. It is soon in every list, and the logs have a line about it.
func TestComesBackElsewhere(t *testing.T) {
	for after := time.Duration(0); after < 4*time.Second; after += 250 * time.Millisecond {
		t.Run(after.String(), func(t *testing.T) {
			onNetwork(t, 5, func(t *testing.T, c *testCluster) { testComesBackElsewhere(t, c, after) })
		})
	}
}

func testComesBackElsewhere(t *testing.T, c *testCluster, after time.Duration) {
	c.net.Delay(nil, nil, 5*time.Millisecond, 5*time.Millisecond)
	c.net.Kill("r1")
	go c.relays[0].stop() // takes a second, and nobody hears it
	c.relays = c.relays[1:]
	time.Sleep(after)
	began := time.Now()
	c.add("r1", func(n *Node) { n.Network, n.Join = c.net.Host("elsewhere"), n.Join[:1] })
	want := c.net.Host("elsewhere").Addr().String() + ":7946"
	for _, r := range c.relays {
		for !r.sees("r1", want) {
			if time.Since(began) > 8*time.Second {
				t.Fatalf("%s sees %+v", r.Name, r.members.Alive())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	t.Logf("known to all after %v", time.Since(began))
}

// sees says that a relay sees another one at a gossip address, ready.
func (r *relay) sees(name, gossip string) bool {
	return slices.ContainsFunc(r.members.Alive(), func(m Member) bool {
		return m.Name == name && m.Gossip == gossip && m.State == agree.Ready
	})
}
