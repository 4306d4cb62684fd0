package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// story publishes 100 events a second at one relay while a fault goes on, with a subscriber at every relay, and checks that
// each got what was acknowledged, once. fault is given the topic's owner and a relay that is neither that nor the publisher's.
func story(t *testing.T, relays int, fault func(c *testCluster, owner, other *relay)) {
	t.Helper()
	onNetwork(t, relays, func(t *testing.T, c *testCluster) {
		for _, r := range c.relays {
			r.Open("t")
			r.shelf.wait(t, "open", func() bool { return r.shelf.opened["t"] })
		}
		if err := c.relays[0].publish(t.Context(), "t", "first"); err != nil {
			t.Fatal(err)
		}
		owner := c.owner("t")
		var publisher, other *relay
		for _, r := range c.relays {
			switch {
			case r == owner:
			case publisher == nil:
				publisher = r
			default:
				other = r
			}
		}
		var acked []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprint("k", i)
				if publisher.publish(ctx, "t", key) == nil {
					acked = append(acked, key)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		time.Sleep(time.Second)
		fault(c, owner, other)
		time.Sleep(20 * time.Second)
		cancel()
		<-done
		if err := publisher.publish(t.Context(), "t", "last"); err != nil {
			t.Fatal(err)
		}
		if len(acked) < 200 {
			t.Errorf("only %d events were acknowledged", len(acked))
		}
		time.Sleep(5 * time.Second)
		for _, r := range c.relays {
			r.shelf.mu.Lock()
			seen := map[string]int{}
			for _, e := range r.shelf.read["t"] {
				if seen[e.Key]++; seen[e.Key] > 1 {
					t.Errorf("%s: %s came again", r.Name, e.Key)
				}
			}
			r.shelf.mu.Unlock()
			for _, key := range append(acked, "first", "last") {
				if seen[key] == 0 {
					t.Errorf("%s: %s was acknowledged and did not come", r.Name, key)
				}
			}
		}
		for _, r := range c.relays {
			r.waitMembers(t, relays)
		}
	})
}

// TestPause: a relay that was stopped for ten seconds comes back without harm, whatever it was to the topic.
func TestPause(t *testing.T) {
	pause := func(c *testCluster, who *relay) {
		c.net.Pause(who.Name)
		time.Sleep(10 * time.Second)
		c.net.Resume(who.Name)
		if s := c.net.Total(); s.Held == 0 {
			c.t.Error("the pause was not met")
		}
	}
	t.Run("owner", func(t *testing.T) {
		story(t, 3, func(c *testCluster, owner, _ *relay) { pause(c, owner) })
	})
	t.Run("other", func(t *testing.T) {
		story(t, 3, func(c *testCluster, _, other *relay) { pause(c, other) })
	})
}

// TestOneWay: a relay that hears and is not heard, and one that is heard and does not hear.
func TestOneWay(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf=%v", deaf), func(t *testing.T) {
			story(t, 3, func(c *testCluster, owner, other *relay) {
				from, to := owner.Name, other.Name
				if deaf {
					from, to = to, from
				}
				c.net.Cut([]string{from}, []string{to})
				time.Sleep(10 * time.Second)
				if s := c.net.Stats(from, to); s.Held == 0 || s.Lost == 0 {
					t.Errorf("the cut was not met: %+v", s)
				}
				c.net.Heal()
			})
		})
	}
}

// TestBadNetwork: slow links and lost packets are no reason to take a topic from its owner.
func TestBadNetwork(t *testing.T) {
	story(t, 3, func(c *testCluster, owner, _ *relay) {
		c.net.Delay(nil, nil, 60*time.Millisecond, 30*time.Millisecond)
		c.net.Drop(nil, nil, 0.1)
		time.Sleep(30 * time.Second)
		if c.net.Total().Lost == 0 {
			t.Error("no packet was lost")
		}
		if now := c.owner("t"); now != owner {
			t.Errorf("%s took the topic from %s", now.Name, owner.Name)
		}
	})
}

// TestCutEnds: no connection outlives its link, though neither end can tell the other that it is over.
func TestCutEnds(t *testing.T) {
	onNetwork(t, 3, func(t *testing.T, c *testCluster) {
		c.net.Partition([]string{"r1"}, []string{"r2", "r3"})
		time.Sleep(time.Minute)
		for _, r := range c.relays {
			links := 0
			for _, p := range r.links.now() {
				if p.linked {
					links++
				}
			}
			want := 1
			if r.Name == "r1" {
				want = 0
			}
			if ends := c.net.Host(r.Name).Connections(); links != want || ends != want {
				t.Errorf("%s has %d links and %d connections, want %d", r.Name, links, ends, want)
			}
		}
	})
}
