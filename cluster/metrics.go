package cluster

import (
	"github.com/prometheus/client_golang/prometheus"

	"freshet/cluster/agree"
)

// reason is a label: why a topic's standing changed here.
type reason string

const (
	takeover reason = "takeover" // its owner was gone, or there was none
	moved    reason = "move"     // another relay gave it away
	fenced   reason = "fenced"   // another relay took it over meanwhile
	met      reason = "met"      // two owners met and this one yielded
	forked   reason = "fork"     // this relay's branch lost
	alone    reason = "alone"    // nobody else may own
	standby  reason = "standby"  // its standby was replaced
)

type metrics struct {
	members   *prometheus.GaugeVec
	changes   map[reason]prometheus.Counter
	links     prometheus.Counter
	shown     prometheus.Counter
	forwarded prometheus.Counter
}

// newMetrics registers with r; nil: nowhere.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		members: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "freshet_cluster_members", Help: "Relays that gossip knows, this one included, by what they say of themselves.",
		}, []string{"state"}),
		links: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_cluster_links_total", Help: "Links to other relays that were opened, first ones and again.",
		}),
		shown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_cluster_shown_events_total", Help: "Committed events that became visible at this relay.",
		}),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_cluster_forwarded_batches_total", Help: "Groups of publishes that were sent to a topic's owner at another relay.",
		}),
		changes: map[reason]prometheus.Counter{},
	}
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "freshet_cluster_ownership_changes_total", Help: "Changes of a topic's standing at this relay, by reason.",
	}, []string{"reason"})
	for _, why := range [...]reason{takeover, moved, fenced, met, forked, alone, standby} {
		m.changes[why] = changes.WithLabelValues(string(why))
	}
	m.view(nil)
	if r != nil {
		r.MustRegister(m.members, m.links, m.shown, m.forwarded, changes)
	}
	return m
}

func (m *metrics) view(members []agree.Member) {
	var count [agree.Draining + 1]int
	for _, x := range members {
		count[x.State]++
	}
	for s, n := range count {
		m.members.WithLabelValues(agree.State(s).String()).Set(float64(n))
	}
}

func (m *metrics) notice(name string) {
	if c := m.changes[reason(name)]; c != nil {
		c.Inc()
	}
}
