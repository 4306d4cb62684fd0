package relay

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func counterValue(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// Every series is there from the start, at zero, and none can grow with topics
// or clients.
func TestMetricsAreInitialised(t *testing.T) {
	r := newTestRelay(t, Config{})
	series := func() int {
		families, err := r.config.Metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range families {
			if !strings.HasPrefix(f.GetName(), "freshet_relay_") || f.GetHelp() == "" {
				t.Errorf("metric %s: %q", f.GetName(), f.GetHelp())
			}
			n += len(f.GetMetric())
		}
		return n
	}
	before := series()
	for i := range 50 {
		topic := "t" + strings.Repeat("x", i)
		publishNumbers(t, r, topic, 1, 2)
		joinTopic(t, r, topic, start{resume: "x"}).Close(nil)
		ask(r, "POST", "/events/"+topic+"?event=freshet.x", "")
		ask(r, "DELETE", "/events/"+topic, "")
		ask(r, "GET", "/events/"+topic, "")
	}
	if after := series(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}

func TestMetricsCount(t *testing.T) {
	r := newTestRelay(t, Config{Topics: Topics{Events: 2}})
	publishNumbers(t, r, "t", 1, 5)
	s := joinTopic(t, r, "t", start{from: fromOldest})
	pull(s, 1<<20)
	publishNumbers(t, r, "t", 6, 9)
	pull(s, 1<<20)
	s.Close(nil)
	for _, c := range []struct {
		name string
		got  float64
		want float64
	}{
		{"events", counterValue(t, r.metrics.events), 9},
		{"deliveries", float64(r.deliveries()), 2 + 1},
		{"lapped", counterValue(t, r.metrics.gaps[gapLapped]), 1},
		{"gone", counterValue(t, r.metrics.leaves[leftGone]), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}
