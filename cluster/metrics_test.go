package cluster

import (
	"testing"
	"time"

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

func TestReplicationDelayLeavesCatchUpsOut(t *testing.T) {
	r := prometheus.NewRegistry()
	m := newMetrics(r)
	now := time.UnixMilli(1_000_000_000)
	for _, age := range []time.Duration{-time.Second, 0, 20 * time.Millisecond, time.Hour} {
		m.show(now, []agree.Entry{{}, {Commit: now.Add(-age).UnixMilli()}})
	}
	if got := gathered(t, r, "freshet_cluster_replication_delay_seconds")[""]; got != 3 {
		t.Errorf("%v delays are counted, want 3", got)
	}
	if got := gathered(t, r, "freshet_cluster_shown_events_total")[""]; got != 8 {
		t.Errorf("%v events are counted, want 8", got)
	}
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
