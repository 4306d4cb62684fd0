package cluster

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestAloneByMistake: a relay that cannot join says why, soon and then once a minute; the one at which it knocks has a line a
// minute about it, too, and nothing else.
func TestAloneByMistake(t *testing.T) {
	for name, x := range map[string]struct {
		set          func(n *Node, there string)
		tried, there string
	}{
		"key":     {func(n *Node, _ string) { n.Keys = [][]byte{bytes.Repeat([]byte{8}, 32)} }, "has another cluster.key", "a relay has another cluster.key"},
		"no key":  {func(n *Node, _ string) { n.Keys, n.Gossip, n.Links = nil, "127.0.0.1:7946", "127.0.0.1:7947" }, "this relay has none", "a relay has another cluster.key"},
		"label":   {func(n *Node, _ string) { n.Cluster = "another" }, "another cluster.key or cluster.label?", "a relay has another cluster.label"},
		"address": {func(n *Node, there string) { n.Join = []string{strings.Replace(there, ":7946", ":1", 1)} }, ":1 refused", ""},
		"name":    {func(n *Node, _ string) { n.Join = []string{"nowhere.example:7946"} }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			onNetwork(t, 0, func(t *testing.T, c *testCluster) {
				var here, there journal
				registry := prometheus.NewRegistry()
				c.add("r1", func(n *Node) { n.Log = there.logger() })
				c.add("r2", func(n *Node) {
					n.Log, n.Metrics = here.logger(), registry
					x.set(n, n.Join[0])
				})
				warning := "level=WARN msg=\"no relay of cluster.join answers\" addresses=1"
				if x.tried == "" {
					warning = "level=WARN msg=\"a name in cluster.join does not resolve\" name=nowhere.example"
				} else {
					time.Sleep(joinPatience - 100*time.Millisecond)
					here.want(t, "level=WARN", 0)
				}
				time.Sleep(joinPatience)
				here.want(t, warning, 1)
				here.want(t, x.tried, len(here.lines("")))
				time.Sleep(again + 5*time.Second)
				here.want(t, warning, 2)
				here.want(t, "level=WARN", 2)
				failures := gathered(t, registry, "freshet_cluster_join_failures_total")[""]
				if (failures > 40) != (x.tried != "") {
					t.Errorf("%v failures are counted", failures)
				}
				if x.there == "" {
					there.want(t, "level=WARN", 0)
				} else {
					there.want(t, "level=WARN msg=\""+x.there+"\" host="+c.net.Host("r2").Addr().String(), 2)
					there.want(t, "level=WARN", 2)
				}
			})
		})
	}
}

// TestSolitude: whoever has met somebody is patient again when that one is gone.
func TestSolitude(t *testing.T) {
	var log journal
	count := 0
	m := &Members{Log: log.logger(), alive: map[string]Member{"a": {}}, unjoined: func(n int) { count += n }}
	failed := map[string]error{"10.0.0.1:7946": errors.New("1 error occurred:\n\t* dial: i/o timeout"), "10.0.0.2:7946": errors.New("a\n\todd")}
	now := time.Unix(1e9, 0)
	s := solitude{since: now}
	s.see(m, now, failed)
	m.alive["b"] = Member{}
	s.see(m, now.Add(time.Hour), nil)
	delete(m.alive, "b")
	s.see(m, now.Add(2*time.Hour), failed)
	log.want(t, "", 0)
	s.see(m, now.Add(2*time.Hour+joinPatience), failed)
	for text, want := range map[string]string{ // who is of another cluster may hang up at any of these points
		"EOF": "cluster.label?", "write: broken pipe": "cluster.label?", "read: connection reset by peer": "cluster.label?",
		"remote state is encrypted and encryption is not configured": "this relay has none",
		"encryption is configured but remote state is not encrypted": "has no cluster.key",
	} {
		if got := why(errors.New(text)); !strings.Contains(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
	log.want(t, `addresses=2 tried="10.0.0.1:7946 timeout; 10.0.0.2:7946 a odd"`, 1)
	if count != 6 {
		t.Errorf("%d failures", count)
	}
}
