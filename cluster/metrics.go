package cluster

import (
	"context"
	"time"

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
	delay     prometheus.Histogram
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
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "freshet_cluster_replication_delay_seconds",
			Help:    "From an event's commit, by its owner's clock, until it is visible at this relay; one of each batch, catch-ups left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
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
		r.MustRegister(m.members, m.delay, m.links, m.shown, m.forwarded, changes)
	}
	return m
}

// catchUp is the age from which on an event that is shown must have been committed long before this relay followed.
const catchUp = 30 * time.Second

// show counts entries that become visible.
func (m *metrics) show(now time.Time, entries []agree.Entry) {
	m.shown.Add(float64(len(entries)))
	if age := now.Sub(time.UnixMilli(entries[len(entries)-1].Commit)); age < catchUp {
		m.delay.Observe(max(age, 0).Seconds()) // clocks differ
	}
}

// standing is a label: what this relay is to a topic.
type standing string

const (
	held           standing = "held" // in any way
	owned          standing = "owned"
	standsBy       standing = "standby"
	ownedAlone     standing = "alone"           // of those owned: nobody else may own them
	withoutStandby standing = "without_standby" // of those owned: others may, and none has its copy yet
)

// standings counts topics when it is asked.
type standings struct {
	node *Node
	desc *prometheus.Desc
}

func newStandings(n *Node) *standings {
	return &standings{n, prometheus.NewDesc("freshet_cluster_topics", "Topics by what this relay is to them.", []string{"standing"}, nil)}
}

func (s *standings) Describe(descs chan<- *prometheus.Desc) { descs <- s.desc }

func (s *standings) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := ask(ctx, s.node, func() agree.Counts { return s.node.relay.Count() })
	if err != nil {
		return // it has stopped, or is too busy to say
	}
	for is, n := range map[standing]int{held: c.Topics, owned: c.Owned, standsBy: c.Standby, ownedAlone: c.Alone, withoutStandby: c.Unsafe} {
		metrics <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, float64(n), string(is))
	}
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
