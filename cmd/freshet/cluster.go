package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/cluster"
	"freshet/cluster/agree"
	"freshet/cmd/freshet/config"
	"freshet/relay"
	"freshet/ringbuf"
)

// membership is this relay's place in a cluster: it joins package relay, which serves
// topics, with package cluster, which agrees on them, and says to each what it needs to
// know in its own words.
//
//	relay --Logs: Open, Close, Resume, Trim, Commit, End--> membership --> cluster.Node
//	relay <--LogOpened, LogShow, LogReplace, ...----------- membership <-- cluster.Rings
type membership struct {
	*cluster.Node // Open, Close and Trim are as the relay wants them

	// Static after construction.
	relay *relay.Relay  // set by connect, before Run
	drain time.Duration // how long topics may take to move when this relay leaves
	ended chan struct{} // closed when Run returns

	leaving atomic.Bool // set by leave
}

var roles = map[string]agree.Role{"any": agree.Any, "hub": agree.Hub, "edge": agree.Edge}

// openCluster makes the node that c describes; nil where c makes the relay no member of any
// cluster. Nothing listens yet: see Run. A nil network is the real one.
func openCluster(c *config.Config, log *slog.Logger, metrics prometheus.Registerer, network cluster.Network) (*membership, error) {
	if !c.Cluster.On() {
		return nil, nil
	}
	m := &membership{drain: c.DrainDelay + c.Drain, ended: make(chan struct{})}
	m.Node = cluster.New(c.Cluster.Name, m)
	n := m.Node
	n.Cluster, n.Gossip, n.Links, n.Join = c.Cluster.Label, c.Cluster.Gossip, c.Cluster.Links, c.Cluster.Join
	n.Keys, n.TLS = c.Cluster.Keys(), cluster.TLSFiles(c.Cluster.TLS)
	n.Region, n.Role = c.Cluster.Region, roles[c.Cluster.Role]
	n.Limits = agree.Limits{Events: c.Topics.Events, Bytes: int(c.Topics.Bytes), Age: c.Topics.Age, Keys: c.Limits.PublishKeys}
	n.Topics, n.Linger, n.Forget = c.Limits.Topics, c.Topics.Linger, c.Topics.Forget
	n.Log, n.Metrics, n.Network = log, metrics, network
	return m, n.Check()
}

// connect says where topics are shown. It must be called before Run.
func (m *membership) connect(r *relay.Relay) { m.relay = r }

// Run takes part in the cluster until ctx ends.
func (m *membership) Run(ctx context.Context) error {
	defer close(m.ended)
	if err := m.Node.Run(ctx); err != nil {
		return m.explain(err)
	}
	return nil
}

// explain says what to do about an address that is taken; what gossip says of it is long.
func (m *membership) explain(err error) error {
	for _, a := range []struct{ key, address string }{{"cluster.gossip", m.Gossip}, {"cluster.links", m.Links}} {
		l, again := net.Listen("tcp", a.address)
		if again == nil {
			l.Close()
			continue
		}
		return explainAddress(a.key, "-set "+a.key+"=HOST:PORT", a.address, again)
	}
	return err // it names the setting
}

// leave tells the others that this relay goes, and gives them its topics: in time, or what
// is left is taken over when it is gone.
func (m *membership) leave(ctx context.Context) {
	m.leaving.Store(true)
	ctx, cancel := context.WithTimeout(ctx, m.drain)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- m.Drain(ctx) }()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, cluster.ErrClosed) {
			m.Log.Warn("topics are not handed over in time", "error", err)
		}
	case <-m.ended: // it never began, or failed
		cancel()
		<-done
	}
}

// addresses are where this relay gossips and takes links, ports known.
func (m *membership) addresses(ctx context.Context) (gossip, links string) {
	s, err := m.Status(ctx)
	if err != nil {
		return m.Gossip, m.Links
	}
	for _, member := range s.Members {
		if member.Name == m.Name {
			return member.Gossip, member.Links
		}
	}
	return m.Gossip, m.Links
}

// Resume is relay.Logs's.
func (m *membership) Resume(ctx context.Context, topic, id string, use func(relay.Route)) error {
	return m.Node.Resume(ctx, topic, id, func(r agree.Route) { use(routeOf(r)) })
}

// What follows is cluster.Rings. It is called from the node's one goroutine, and hands on.

func (m *membership) Show(topic string, entries []agree.Entry) {
	m.relay.LogShow(topic, placed(entries))
}

func (m *membership) Opened(topic string, head agree.Position) { m.relay.LogOpened(topic, head) }

func (m *membership) Forget(topic string) { m.relay.LogForget(topic) }

func (m *membership) Replace(r agree.Replace) {
	var lineage []ringbuf.Branch
	for i, span := range r.Lineage {
		if i+1 == len(r.Lineage) || r.Lineage[i+1].First > span.First { // else no event is of that epoch
			lineage = append(lineage, ringbuf.Branch{Epoch: span.Epoch, First: span.First})
		}
	}
	m.relay.LogReplace(r.Topic, relay.Replacement{
		Base: r.Base, Lineage: lineage, Entries: placed(r.Entries),
		Route: func(p ringbuf.Place) relay.Route { return routeOf(r.Route(p)) },
	})
}

func (m *membership) Merged(r agree.Merged) {
	m.relay.LogMerged(r.Topic, func(p ringbuf.Place) relay.Route { return routeOf(r.Route(p)) })
}

// placed is what the cluster has committed as the relay shows it. The bytes are shared.
func placed(entries []agree.Entry) []relay.Placed {
	list := make([]relay.Placed, len(entries))
	for i, e := range entries {
		list[i] = relay.Placed{
			At:    e.Position,
			Entry: ringbuf.Entry{Body: e.Body, ID: e.ID, Settled: true, Commit: time.UnixMilli(e.Commit)},
			End:   e.Kind == agree.End,
		}
	}
	return list
}

// routeOf is the cluster's answer in the relay's words.
func routeOf(r agree.Route) relay.Route {
	found := [...]ringbuf.Found{
		agree.Known: ringbuf.Known, agree.Evicted: ringbuf.Evicted, agree.Ahead: ringbuf.Ahead, agree.Unknown: ringbuf.Unknown,
	}
	return relay.Route{Found: found[r.Found], After: r.After, Skip: r.Skip, Lost: r.Lost, Missing: r.Missing}
}
