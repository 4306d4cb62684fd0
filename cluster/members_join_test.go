package cluster

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestAddressBook(t *testing.T) {
	b := newAddressBook()
	now := time.Now()
	b.now = func() time.Time { return now }
	b.met("old:1")
	now = now.Add(23 * time.Hour)
	b.met("new:1")
	if n := len(b.recent()); n != 2 {
		t.Errorf("%d addresses after 23 h", n)
	}
	now = now.Add(2 * time.Hour)
	if list := b.recent(); len(list) != 1 || list[0] != "new:1" {
		t.Errorf("after 25 h: %v", list)
	}
}

// names is a Network whose names a test moves.
type names struct {
	Network
	mu    sync.Mutex // guards what follows
	found map[string][]netip.Addr
	asked int
}

func (n *names) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	return n.found[host], nil
}

func (n *names) set(host string, to ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.found = map[string][]netip.Addr{host: to}
}

// TestJoinByName: one name stands for many relays, and for others later, as a headless service of Kubernetes does. Once
// met, a relay is tried again though no name leads to it any more.
func TestJoinByName(t *testing.T) {
	onNetwork(t, 0, func(t *testing.T, c *testCluster) {
		dns := &names{}
		start := func(name string, join ...string) *relay {
			return c.add(name, func(n *Node) {
				n.Join = join
				if len(join) > 0 {
					dns.Network = n.Network
					n.Network = dns
				}
			})
		}
		seed := start("r1")
		late := start("r2", "relays.example") // which does not exist yet
		time.Sleep(time.Minute)
		late.waitMembers(t, 1)
		if dns.asked < 10 {
			t.Errorf("the name was asked for %d times in a minute", dns.asked)
		}
		dns.set("relays.example", c.net.Host("r1").Addr())
		late.waitMembers(t, 2)

		other := start("r3") // alone, until the name stands for it too
		dns.set("relays.example", c.net.Host("r3").Addr())
		for _, r := range []*relay{seed, late, other} {
			r.waitMembers(t, 3)
		}

		dns.set("relays.example")
		c.net.Partition([]string{"r2"}, []string{"r1", "r3"})
		time.Sleep(5 * time.Minute) // memberlist forgets the dead after half of one
		late.waitMembers(t, 1)
		seed.waitMembers(t, 2)
		c.net.Heal()
		for _, r := range []*relay{seed, late, other} {
			r.waitMembers(t, 3)
		}
		if s := c.net.Stats("r2", "r1"); s.Lost == 0 {
			t.Error("the partition was not met")
		}
	})
}
