package cluster

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"freshet/cluster/agree"
)

// gathered is a metric's value, or its count, by the label.
func gathered(t *testing.T, r *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			label := ""
			if len(m.GetLabel()) > 0 {
				label = m.GetLabel()[0].GetValue()
			}
			values[label] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestDeliveryDelayLeavesCatchUpsOut(t *testing.T) {
	r := prometheus.NewRegistry()
	m := newMetrics(r)
	now := time.UnixMilli(1_000_000_000)
	for i, age := range []time.Duration{-time.Second, 0, 20 * time.Millisecond, time.Second, time.Hour} {
		m.show(now, agree.Show{Entries: []agree.Entry{{}, {Commit: now.Add(-age).UnixMilli()}}, Hop: i})
	}
	want := map[string]float64{"0": 1, "1": 1, "2": 2}
	if d := cmp.Diff(want, gathered(t, r, "freshet_cluster_delivery_delay_seconds")); d != "" {
		t.Error(d)
	}
	if got := gathered(t, r, "freshet_cluster_shown_events_total")[""]; got != 10 {
		t.Errorf("%v events are counted, want 10", got)
	}
}

// TestReplicationDelay: from an append to the acknowledgement of it, or of a later one; not from another epoch's.
func TestReplicationDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewRegistry()
		m := newMetrics(r)
		want := func(count uint64, sum time.Duration) {
			t.Helper()
			families, err := r.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() != "freshet_cluster_replication_delay_seconds" {
					continue
				}
				if h := f.GetMetric()[0].GetHistogram(); h.GetSampleCount() != count || h.GetSampleSum() != sum.Seconds() {
					t.Errorf("%d delays of %v s in all, want %d of %v", h.GetSampleCount(), h.GetSampleSum(), count, sum)
				}
			}
		}
		m.sent(agree.Append{Topic: "t", Epoch: 1}) // wants no acknowledgement
		m.received(agree.Ack{Topic: "t", Epoch: 1})
		want(0, 0)
		m.sent(agree.Append{Topic: "t", Epoch: 1, Mark: 5})
		time.Sleep(time.Second)
		m.sent(agree.Append{Topic: "t", Epoch: 1, Mark: 6})
		m.received(agree.Ack{Topic: "t", Epoch: 1, Mark: 4})
		m.received(agree.Ack{Topic: "other", Epoch: 1, Mark: 5})
		want(0, 0)
		m.received(agree.Ack{Topic: "t", Epoch: 1, Mark: 6})
		want(1, time.Second)
		m.sent(agree.Append{Topic: "t", Epoch: 1, Mark: 7}) // to a standby that dies
		time.Sleep(time.Second)
		m.sent(agree.Append{Topic: "t", Epoch: 2, Mark: 1})
		m.received(agree.Ack{Topic: "t", Epoch: 1, Mark: 7})
		time.Sleep(time.Second)
		m.received(agree.Ack{Topic: "t", Epoch: 2, Mark: 1})
		want(2, 2*time.Second)
		for i := range 2 * maxAppended {
			m.sent(agree.Append{Topic: agree.Topic(fmt.Sprint(i)), Epoch: 1, Mark: 1})
		}
		if n := len(m.appends); n > maxAppended {
			t.Errorf("%d appends are remembered", n)
		}
	})
}

// TestMetricsOfCluster: what people are to see of three relays in two regions, before and after one is cut off for a while.
func TestMetricsOfCluster(t *testing.T) {
	onNetwork(t, 0, func(t *testing.T, c *testCluster) {
		registries := map[string]*prometheus.Registry{}
		for i, name := range []string{"r1", "r2", "r3", "r4", "r5"} {
			registries[name] = prometheus.NewRegistry()
			c.add(name, func(n *Node) { n.Metrics, n.Region = registries[name], [...]string{"eu", "us"}[i/3] })
		}
		value := func(r *relay, name, label string) float64 {
			return gathered(t, registries[r.Name], "freshet_cluster_"+name)[label]
		}
		for _, r := range c.relays {
			if _, there := gathered(t, registries[r.Name], "freshet_cluster_delivery_delay_seconds")["2"]; !there {
				t.Error("a label is not there from the beginning")
			}
			r.waitMembers(t, 5)
			r.Open("t")
			r.shelf.wait(t, "open", func() bool { return r.shelf.opened["t"] })
		}
		for i := range 100 {
			if err := c.relays[i%5].publish(t.Context(), "t", fmt.Sprint("event ", i)); err != nil {
				t.Fatal(err)
			}
		}
		owner := c.owner("t")
		hop := map[string]float64{}
		for _, r := range c.relays {
			r.wantOnce(t, "t", 100)
			for label, n := range gathered(t, registries[r.Name], "freshet_cluster_delivery_delay_seconds") {
				hop[label] += n
				if (label == "0") != (r == owner) && n > 0 {
					t.Errorf("%s counts %v events at hop %s", r.Name, n, label)
				}
			}
			if got := value(r, "members", "ready"); got != 5 {
				t.Errorf("%s counts %v relays that are ready", r.Name, got)
			}
			peers := map[string]float64{}
			for _, x := range c.relays {
				if x != r {
					peers[x.Name] = 0
				}
			}
			if d := cmp.Diff(peers, gathered(t, registries[r.Name], "freshet_cluster_link_reconnects_total")); d != "" || value(r, "links", "") != 4 {
				t.Errorf("%s counts %v links, and reconnects: %s", r.Name, value(r, "links", ""), d)
			}
			if n := len(gathered(t, registries[r.Name], "freshet_cluster_link_pending_bytes")); n != 4 {
				t.Errorf("%s counts what waits for %d relays", r.Name, n)
			}
			if sent := value(r, "forwarded_publishes_total", ""); (sent == 0) != (r == owner) {
				t.Errorf("%s forwarded %v publishes; %s owns", r.Name, sent, owner.Name)
			}
			if sent, text := value(r, "link_sent_bytes_total", ""), value(r, "link_sent_text_bytes_total", ""); sent == 0 || text < sent/2 {
				t.Errorf("%s sent %v bytes, of %v", r.Name, sent, text)
			}
		}
		if hop["0"] == 0 || hop["1"] == 0 || hop["2"] == 0 { // of five in two regions, two do not follow the owner itself
			t.Errorf("delays by hop: %v", hop)
		}
		if n := value(owner, "replication_delay_seconds", ""); n == 0 {
			t.Error("no replication was timed")
		}
		c.net.Partition([]string{"r1"}, []string{"r2", "r3", "r4", "r5"})
		time.Sleep(time.Minute)
		if got := value(c.relays[0], "members", "ready"); got != 1 {
			t.Errorf("alone, r1 counts %v relays", got)
		}
		if took := value(c.relays[0], "ownership_changes_total", "takeover") + value(c.relays[1], "ownership_changes_total", "takeover"); took == 0 {
			t.Error("nobody took over")
		}
		c.net.Heal()
		for _, r := range c.relays {
			r.waitMembers(t, 5)
		}
		for _, r := range c.relays[1:] {
			if again := value(c.relays[0], "link_reconnects_total", r.Name); again < 1 {
				t.Errorf("r1 counts %v reconnects to %s", again, r.Name)
			}
		}
		c.relays[4].stop()
		time.Sleep(10 * time.Second)
		if _, there := gathered(t, registries["r1"], "freshet_cluster_link_reconnects_total")["r5"]; !there {
			t.Error("a relay has just left, and its series is gone")
		}
		ls := c.relays[0].links
		ls.mu.Lock()
		ls.past["r5"].gone = ls.past["r5"].gone.Add(-rememberLost) // an hour of five relays is ten seconds of a processor's
		ls.mu.Unlock()
		if left := gathered(t, registries["r1"], "freshet_cluster_link_reconnects_total"); len(left) != 3 {
			t.Errorf("an hour after a relay left there are series of %v", left)
		}
	})
}

func TestStandings(t *testing.T) {
	c := newCluster(t, nil, 1)
	r := prometheus.NewRegistry()
	r.MustRegister(newStandings(c.relays[0].Node))
	if err := c.relays[0].publish(t.Context(), "a", "first"); err != nil {
		t.Fatal(err)
	}
	got := gathered(t, r, "freshet_cluster_topics")
	for label, want := range map[string]float64{"held": 1, "owned": 1, "standby": 0, "alone": 1, "without_standby": 0} {
		if n, ok := got[label]; !ok || n != want {
			t.Errorf("%s is %v, want %v: %v", label, n, want, got)
		}
	}
	c.relays[0].stop()
	if got := gathered(t, r, "freshet_cluster_topics"); len(got) != 0 {
		t.Errorf("a node that has stopped counts %v", got)
	}
}
