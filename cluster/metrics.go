package cluster

import (
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

// hop is a label: how many links an event has crossed from its owner when it becomes visible.
type hop string

const (
	atOwner   hop = "0"
	besides   hop = "1" // at the standby, and at who follows the owner
	throughIt hop = "2" // below one of those, as in a region that has its own parent
)

var hops = [...]hop{atOwner, besides, throughIt}

type metrics struct {
	members     *prometheus.GaugeVec
	delivery    [len(hops)]prometheus.Observer
	replication prometheus.Histogram
	changes     map[reason]prometheus.Counter
	links       prometheus.Counter
	unjoined    prometheus.Counter
	shown       prometheus.Counter
	forwarded   prometheus.Counter
	publishes   prometheus.Counter

	// Owned by the node's loop.
	appends map[agree.Topic]appended // the oldest of each topic that its standby has not acknowledged
}

// appended is one that went to a standby.
type appended struct {
	epoch, mark uint64
	at          time.Time
}

const maxAppended = 4096 // topics whose replication is timed at once

var delays = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// newMetrics registers with r; nil: nowhere.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		members: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "freshet_cluster_members", Help: "Relays that gossip knows, this one included, by what they say of themselves.",
		}, []string{"state"}),
		links: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_cluster_links_total", Help: "Links to other relays that were opened, first ones and again.",
		}),
		unjoined: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_cluster_join_failures_total", Help: "Attempts to join at an address of cluster.join that failed.",
		}),
		replication: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "freshet_cluster_replication_delay_seconds",
			Help: "From the sending of an append to the topic's standby until its acknowledgement; one of each topic at a time.", Buckets: delays,
		}),
		shown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_cluster_shown_events_total", Help: "Committed events that became visible at this relay.",
		}),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_cluster_forwarded_batches_total", Help: "Groups of publishes that were sent to a topic's owner at another relay.",
		}),
		publishes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_cluster_forwarded_publishes_total", Help: "Publishes in those groups, sent again after a takeover included.",
		}),
		changes: map[reason]prometheus.Counter{},
		appends: map[agree.Topic]appended{},
	}
	delivery := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "freshet_cluster_delivery_delay_seconds",
		Help: "From an event's commit, by its owner's clock, until it is visible at this relay, by the links it has crossed; one of each batch, " +
			"catch-ups left out.", Buckets: delays,
	}, []string{"hop"})
	for i, h := range hops {
		m.delivery[i] = delivery.WithLabelValues(string(h))
	}
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "freshet_cluster_ownership_changes_total", Help: "Changes of a topic's standing at this relay, by reason.",
	}, []string{"reason"})
	for _, why := range [...]reason{takeover, moved, fenced, met, forked, alone, standby} {
		m.changes[why] = changes.WithLabelValues(string(why))
	}
	m.view(nil)
	if r != nil {
		r.MustRegister(m.members, delivery, m.replication, m.links, m.unjoined, m.shown, m.forwarded, m.publishes, changes)
	}
	return m
}

// catchUp is the age from which on an event that is shown must have been committed long before this relay followed.
const catchUp = 30 * time.Second

// show counts entries that become visible.
func (m *metrics) show(now time.Time, d agree.Show) {
	m.shown.Add(float64(len(d.Entries)))
	if age := now.Sub(time.UnixMilli(d.Entries[len(d.Entries)-1].Commit)); age < catchUp {
		m.delivery[min(d.Hop, len(hops)-1)].Observe(max(age, 0).Seconds()) // clocks differ
	}
}

// sent counts and times what goes out.
func (m *metrics) sent(x agree.Message) {
	switch x := x.(type) {
	case agree.Publish:
		m.forwarded.Inc()
		m.publishes.Add(float64(len(x.Entries)))
	case agree.Append:
		a, waits := m.appends[x.Topic]
		if x.Mark == 0 || waits && a.epoch >= x.Epoch {
			return
		}
		if len(m.appends) >= maxAppended { // acknowledgements that never come
			clear(m.appends)
		}
		m.appends[x.Topic] = appended{x.Epoch, x.Mark, time.Now()}
	}
}

// received times what comes in.
func (m *metrics) received(x agree.Message) {
	ack, ok := x.(agree.Ack)
	if !ok {
		return
	}
	if a := m.appends[ack.Topic]; a.epoch == ack.Epoch && ack.Mark >= a.mark && a.mark > 0 {
		delete(m.appends, ack.Topic)
		m.replication.Observe(time.Since(a.at).Seconds())
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
