package cluster

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/cluster/agree"
)

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
	return &standings{n, prometheus.NewDesc("freshet_cluster_topics", "Topics by what this relay is to them. "+
		"held: in any way; owned: it orders them; standby: it has the copy that would take over. "+
		"Of those owned, alone: no other relay in view may own them, so there is no copy; "+
		"without_standby: others may, and none has its copy yet.", []string{"standing"}, nil)}
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

// traffic is what all links have carried so far, those that ended included.
type traffic struct{ in, out, text atomic.Uint64 }

// linkMetrics counts links and their bytes when it is asked. A peer is a label: relays are few, and the series of one that
// is gone for an hour go, too.
type linkMetrics struct {
	links                        *Links
	count, pending, reconnects   *prometheus.Desc
	received, sent, uncompressed *prometheus.Desc
}

func newLinkMetrics(ls *Links) *linkMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("freshet_cluster_"+name, help, labels, nil)
	}
	return &linkMetrics{
		links:        ls,
		count:        desc("links", "Links to other relays now."),
		pending:      desc("link_pending_bytes", "Bytes that wait to be sent to another relay: how far it is behind.", "peer"),
		reconnects:   desc("link_reconnects_total", "Links that were opened to a relay that this one had been linked to before.", "peer"),
		received:     desc("link_received_bytes_total", "Bytes received on links, below TLS and HTTP/2 framing."),
		sent:         desc("link_sent_bytes_total", "Bytes sent on links, below TLS and HTTP/2 framing."),
		uncompressed: desc("link_sent_text_bytes_total", "Bytes sent on links before they were compressed."),
	}
}

func (m *linkMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.count, m.pending, m.reconnects, m.received, m.sent, m.uncompressed} {
		descs <- d
	}
}

func (m *linkMetrics) Collect(metrics chan<- prometheus.Metric) {
	peers := m.links.now()
	count := 0
	for _, p := range peers {
		if p.linked {
			count++
		}
		metrics <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(p.pending), p.name)
		metrics <- prometheus.MustNewConstMetric(m.reconnects, prometheus.CounterValue, float64(max(p.links, 1)-1), p.name)
	}
	for _, v := range []struct {
		desc *prometheus.Desc
		kind prometheus.ValueType
		n    uint64
	}{
		{m.count, prometheus.GaugeValue, uint64(count)},
		{m.received, prometheus.CounterValue, m.links.traffic.in.Load()},
		{m.sent, prometheus.CounterValue, m.links.traffic.out.Load()},
		{m.uncompressed, prometheus.CounterValue, m.links.traffic.text.Load()},
	} {
		metrics <- prometheus.MustNewConstMetric(v.desc, v.kind, float64(v.n))
	}
}

// peerNow is a relay that is to be linked to, or was within the last hour.
type peerNow struct {
	name    string
	linked  bool
	links   uint64 // so far
	pending int    // bytes that wait
}

// now lists the relays, in no order.
func (ls *Links) now() []peerNow {
	ls.mu.Lock()
	at := time.Now()
	list := make([]peerNow, 0, len(ls.past))
	links := make([]*link, 0, len(ls.past))
	for name, x := range ls.past {
		if !x.gone.IsZero() && at.Sub(x.gone) >= rememberLost {
			continue // want drops it when the view changes next
		}
		var l *link
		if p := ls.peers[name]; p != nil {
			l = p.link
		}
		list, links = append(list, peerNow{name: name, linked: l != nil, links: x.links}), append(links, l)
	}
	ls.mu.Unlock()
	for i, l := range links {
		if l != nil {
			list[i].pending = l.lag()
		}
	}
	return list
}
