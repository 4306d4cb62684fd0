package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"freshet/cluster"
	"freshet/cluster/agree"
	"freshet/relay"
	"freshet/ringbuf"
)

// clusterFeeds are the feeds of a relay that is of a cluster. One relay pulls a feed, and
// the others are ready to go on: each feed has a log of its own, which is ordered, copied and
// taken over like a topic, and whoever owns that log pulls.
//
//	cluster.Node --Charge, Show--> clusterFeed --Resume--> origin.Source
//	     ^                              |                        |
//	     +----- Feed: claim, cursor ----+                        |
//	     +----- Feed: events -----------+<----- Append, Moved ---+
//
// It stands between the node and the relay: what the node shows of other topics goes on to
// the relay.
type clusterFeeds struct {
	cluster.Rings // static: where topics are shown

	// Static after construction.
	node    feedNode
	edge    bool // this relay owns nothing
	log     *slog.Logger
	metrics *feedMetrics
	steady  map[string]*clusterFeed // by the names of their logs

	templates *clusterTemplates
}

// feedNode is what feeds ask of the cluster; *cluster.Node has it.
type feedNode interface {
	Feed(ctx context.Context, topic string, mark agree.FeedMark, kind agree.Kind, e ringbuf.Entry) (id string, err error)
	Pin(topic string)
	Trim(topic string, upTo uint64)
}

// feedLog begins the name of a feed's own log; no topic's name begins so.
const feedLog = "feed:"

// join makes the feeds those of a cluster, instead of connect. It must be called once,
// before the member, the relay and the feeds run.
func (f *feeds) join(m *membership, r *relay.Relay, topics relay.Topics) error {
	c := &clusterFeeds{Rings: m, node: m.Node, edge: m.Role == agree.Edge, log: m.Log, metrics: f.metrics, steady: map[string]*clusterFeed{}}
	for _, source := range f.steady {
		topic := feedLog + f.known[source]
		if before := c.steady[topic]; before != nil {
			return fmt.Errorf("feeds: two are known as %q; in a cluster each needs a name of its own, the same at all relays", f.known[source])
		}
		feed, err := newClusterFeed(c, topic, source, r, topics.Age)
		if err != nil {
			return err
		}
		c.steady[topic] = feed
	}
	var err error
	if c.templates, err = newClusterTemplates(f, m.Node, r, topics.Linger); err != nil {
		return err
	}
	f.cluster = c
	m.Rings, m.Charges, m.Sources = c, c, c.templates
	return nil
}

// Run pulls what this relay is charged with, until ctx ends.
func (c *clusterFeeds) Run(ctx context.Context) error {
	runs := []func(context.Context) error{c.templates.Run}
	for _, f := range c.steady {
		runs = append(runs, f.Run)
	}
	return runAll(slices.Values(runs), func(run func(context.Context) error) error { return run(ctx) })
}

// What follows is cluster.Charges and cluster.Rings: the node calls it, from one goroutine.

func (c *clusterFeeds) Charge(topic string, owner bool, epoch uint64) {
	if !owner {
		epoch = 0
	}
	if !strings.HasPrefix(topic, feedLog) {
		c.templates.charge(topic, epoch)
		return
	}
	switch f := c.steady[topic]; {
	case f != nil:
		f.charge(epoch)
	case owner:
		c.log.Warn("this relay is to pull a feed that it does not have: all that may own topics must have the same feeds", "feed", strings.TrimPrefix(topic, feedLog))
	}
}

// Audience is not enough to go by: a topic is pulled when Sources says that it is wanted, and from where.
func (c *clusterFeeds) Audience(string, bool) {}

func (c *clusterFeeds) Show(topic string, entries []agree.Entry) {
	if !strings.HasPrefix(topic, feedLog) {
		c.Rings.Show(topic, entries)
	} else if f := c.steady[topic]; f != nil {
		f.show(entries)
	}
}

func (c *clusterFeeds) Replace(r agree.Replace) {
	if !strings.HasPrefix(r.Topic, feedLog) {
		c.Rings.Replace(r)
	} else if f := c.steady[r.Topic]; f != nil {
		f.show(r.Entries)
	}
}

func (c *clusterFeeds) Merged(m agree.Merged) {
	if !strings.HasPrefix(m.Topic, feedLog) {
		c.Rings.Merged(m)
	}
}

func (c *clusterFeeds) Opened(topic string, head agree.Position) {
	if !strings.HasPrefix(topic, feedLog) {
		c.Rings.Opened(topic, head)
	}
}

func (c *clusterFeeds) Forget(topic string) {
	if !strings.HasPrefix(topic, feedLog) {
		c.Rings.Forget(topic)
	}
}
