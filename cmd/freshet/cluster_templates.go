package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"freshet/cluster"
	"freshet/cluster/agree"
	"freshet/origin"
	"freshet/origin/sse"
	"freshet/relay"
	"freshet/ringbuf"
)

// clusterTemplates are the topics that are pulled while somebody subscribes, at a relay that
// is of a cluster: each by its owner, wherever the subscribers are.
//
//	relay --Follow--> Want  ~~~ cluster ~~~>  Wanted --FollowFrom--> origin.Source
//	      <--opened-- Sourced <~~~~~~~~~~~~~  Sourced <--opened, status--+   |
//	                  the topic's log  <~~~~  Feed <--------------- Append --+
//
// The left half is at each relay that has subscribers, the right half at the owner.
type clusterTemplates struct {
	*relay.Intake // takes what Sources bring: it is their Sink

	// Static after construction.
	feeds *feeds
	node  templateNode
	relay *relay.Relay  // knows the logs of this relay's own topics
	lease time.Duration // for so long a relay that wants a topic is believed without a word

	// mu guards what follows. Nothing is called under it that waits.
	mu      sync.Mutex
	running context.Context // that of Run; nil: nothing is pulled
	under   sync.WaitGroup  // pulls under way
	charged map[string]uint64
	pulls   map[string]*templatePull
	waiting map[string]chan int // calls of Follow, each for the newest word of its topic's owner
}

// templateNode is what they ask of the cluster; *cluster.Node has it.
type templateNode interface {
	Feed(ctx context.Context, topic string, mark agree.FeedMark, kind agree.Kind, e ringbuf.Entry) (id string, err error)
	End(ctx context.Context, topic string) error
	Want(topic, id string)
	Unwant(topic string)
	Recall(topic, id string)
	Sourced(topic, to string, status int)
}

// A templatePull is a topic of this relay's own that others want, or this relay's own
// subscribers do.
type templatePull struct {
	topic   string
	source  *origin.Source
	wanters map[string]time.Time // by relay, until when
	asking  map[string]bool      // those of them that wait for an answer
	id      string               // that the first subscriber resumes from
	open    bool                 // it is, or was, and somebody is served
	status  int                  // if it is over: why; SourceOpen: its origin has ended it since

	state  pullState
	mark   agree.FeedMark     // of the run under way, or the last one
	stop   context.CancelFunc // ends it
	ended  chan struct{}      // closed when it has; nil: there was none
	expiry *time.Timer
}

type pullState int

const (
	pullStopped pullState = iota // another relay pulls it now, or nobody
	pullRunning
	pullOver // the origin had a last word
)

// newClusterTemplates takes for how long a topic is pulled on when nobody subscribes. A relay that
// wants one says so three times as often.
func newClusterTemplates(f *feeds, node templateNode, r *relay.Relay, linger time.Duration) (*clusterTemplates, error) {
	const grace = 10 * time.Second // for a word that is late
	c := &clusterTemplates{
		feeds: f, node: node, relay: r, lease: cmp.Or(linger, 30*time.Second) + grace,
		charged: map[string]uint64{}, pulls: map[string]*templatePull{}, waiting: map[string]chan int{},
	}
	c.Intake = r.Intake(c.commit)
	for _, source := range f.templates {
		source.Sink, source.Log = c, c
		if err := source.Check(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Run pulls what this relay is to pull, until ctx ends.
func (c *clusterTemplates) Run(ctx context.Context) error {
	c.mu.Lock()
	c.running = ctx
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	c.running = nil
	for _, p := range c.pulls {
		p.expiry.Stop()
	}
	c.mu.Unlock()
	c.under.Wait()
	return nil
}

// Follow is relay.Upstream's: it has the topic's owner pull it, and waits for its word.
func (c *clusterTemplates) Follow(ctx context.Context, topic, lastEventID string, opened func()) error {
	if c.feeds.template(topic) == nil {
		return nil
	}
	words := make(chan int, 1)
	c.mu.Lock()
	c.waiting[topic] = words
	c.mu.Unlock()
	c.node.Want(topic, lastEventID)
	defer func() {
		c.node.Unwant(topic)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, topic)
	}()
	for open := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case word := <-words:
			switch {
			case word == cluster.SourceOpen:
				open = true
				opened()
			case open: // those who are here are served, and its end comes by the log
			case word == cluster.SourceNone:
				return nil
			default:
				return &origin.StatusError{Status: word}
			}
		}
	}
}

// Sourced is cluster.Sources's.
func (c *clusterTemplates) Sourced(topic string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	words := c.waiting[topic]
	if words == nil {
		return
	}
	select {
	case <-words: // an older one
	default:
	}
	words <- status
}

// Charge says under which epoch this relay owns a topic; 0: another does.
func (c *clusterTemplates) charge(topic string, epoch uint64) {
	if c.feeds.template(topic) == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch == 0 {
		delete(c.charged, topic)
	} else {
		c.charged[topic] = epoch
	}
	p := c.pulls[topic]
	if p == nil {
		return
	}
	if p.state == pullRunning {
		p.state = pullStopped
		p.stop()
	}
	if epoch != 0 && p.state == pullStopped {
		c.start(p)
	}
}

// Wanted is cluster.Sources's.
func (c *clusterTemplates) Wanted(topic, from, id string, known bool) {
	source := c.feeds.template(topic)
	if source == nil {
		c.node.Sourced(topic, from, cluster.SourceNone)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil || c.charged[topic] == 0 {
		return // it asks again, perhaps another
	}
	p := c.pulls[topic]
	if p == nil {
		p = &templatePull{topic: topic, source: source, id: id, open: known, wanters: map[string]time.Time{}, asking: map[string]bool{}}
		p.expiry = time.AfterFunc(c.lease, func() { c.expire(p) })
		c.pulls[topic] = p
	}
	if len(p.wanters) == 0 {
		p.expiry.Reset(c.lease)
	}
	p.wanters[from] = time.Now().Add(c.lease)
	if p.state == pullOver {
		if known { // it is told once more, and leaves
			c.node.Sourced(topic, from, p.status)
			return
		}
		p.id, p.open = id, false
	}
	if p.open {
		c.node.Sourced(topic, from, cluster.SourceOpen)
	} else {
		p.asking[from] = true
	}
	if p.state != pullRunning {
		c.start(p)
	}
}

// Unwanted is cluster.Sources's.
func (c *clusterTemplates) Unwanted(topic, from string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pulls[topic]; p != nil {
		delete(p.wanters, from)
		delete(p.asking, from)
		c.leave(p)
	}
}

// expire forgets relays that have not said for long that they want the topic.
func (c *clusterTemplates) expire(p *templatePull) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, next := time.Now(), time.Time{}
	for from, until := range p.wanters {
		if !until.After(now) {
			delete(p.wanters, from)
			delete(p.asking, from)
		} else if next.IsZero() || until.Before(next) {
			next = until
		}
	}
	if c.leave(p); !next.IsZero() && c.running != nil {
		p.expiry.Reset(next.Sub(now))
	}
}

// leave stops a pull that nobody wants, and forgets it. mu is held.
func (c *clusterTemplates) leave(p *templatePull) {
	if len(p.wanters) > 0 || c.pulls[p.topic] != p {
		return
	}
	if p.state == pullRunning {
		p.stop() // and it is forgotten when it has ended, unless somebody wants it again
		p.state = pullStopped
		return
	}
	p.expiry.Stop()
	if p.ended == nil || closed(p.ended) {
		delete(c.pulls, p.topic)
	}
}

func closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// start pulls a topic under the epoch of its charge. mu is held.
func (c *clusterTemplates) start(p *templatePull) {
	epoch := c.charged[p.topic]
	if c.running == nil || epoch == 0 || len(p.wanters) == 0 {
		return
	}
	ctx, stop := context.WithCancel(c.running)
	before, ended := p.ended, make(chan struct{})
	p.state, p.stop, p.ended = pullRunning, stop, ended
	c.under.Go(func() {
		defer stop()
		if before != nil {
			<-before // one at a time
		}
		c.mu.Lock()
		p.mark = agree.FeedMark{Name: p.topic, Epoch: epoch, Pull: p.mark.Pull}
		id, open := p.id, p.open
		c.mu.Unlock()
		status := c.pull(ctx, p, id, open)
		c.mu.Lock()
		defer c.mu.Unlock()
		close(ended)
		if p.ended == ended && p.state == pullRunning && ctx.Err() == nil {
			p.state, p.status = pullOver, status
			c.answer(p, status)
		}
		c.leave(p)
	})
}

// pull pulls a topic until ctx ends or the origin has a last word, and returns that.
func (c *clusterTemplates) pull(ctx context.Context, p *templatePull, id string, open bool) (status int) {
	if ctx.Err() != nil {
		return 0
	}
	at := origin.Place{Cursor: id}
	switch newest, given := c.relay.Newest(p.topic); {
	case newest == "" && sse.UsableID(id):
		c.node.Recall(p.topic, id)
	case newest != "" && given:
		at = origin.Place{Cursor: newest}
	case newest != "":
		at = origin.Place{Begun: true}
	}
	c.feeds.metrics.topics.Inc()
	defer c.feeds.metrics.topics.Dec()
	err := p.source.FollowFrom(ctx, p.topic, at, open, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		open = true
		if ctx.Err() == nil {
			p.open = true
			c.answer(p, cluster.SourceOpen)
		}
	})
	var answer *origin.StatusError
	switch {
	case ctx.Err() != nil:
		return 0
	case errors.As(err, &answer) && answer.Status == http.StatusNoContent:
		if err := c.node.End(ctx, p.topic); err != nil {
			return http.StatusServiceUnavailable
		}
		return answer.Status
	case errors.As(err, &answer):
		return answer.Status
	case err != nil:
		return http.StatusServiceUnavailable
	case open:
		return cluster.SourceOpen
	}
	return cluster.SourceNone
}

// answer tells those who wait for it. mu is held.
func (c *clusterTemplates) answer(p *templatePull, status int) {
	for from := range p.asking {
		c.node.Sourced(p.topic, from, status)
	}
	clear(p.asking)
}

// commit is what the Intake does with events.
func (c *clusterTemplates) commit(ctx context.Context, topic string, e ringbuf.Entry, gap bool) (id string, err error) {
	kind := agree.Event
	if gap {
		kind = agree.Gap
	}
	c.mu.Lock()
	p := c.pulls[topic]
	if p == nil {
		c.mu.Unlock()
		return "", errOutdated
	}
	mark := p.mark
	c.mu.Unlock()
	id, err = c.node.Feed(ctx, topic, mark, kind, e)
	if errors.Is(err, cluster.ErrStale) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if p.mark == mark && p.state == pullRunning { // whoever owns the topic is charged anew
			p.state = pullStopped
			p.stop()
		}
		return "", errOutdated
	}
	return id, err
}

// Holds is origin.Log's; see clusterFeed.Holds. What this relay's log lacks may have been on its
// way into it when the relay before was gone.
func (c *clusterTemplates) Holds(topic string, e sse.Event) bool {
	if c.relay.Holds(topic, e) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pulls[topic]; p != nil {
		p.mark.Pull++
	}
	return false
}

// Newest is origin.Log's.
func (c *clusterTemplates) Newest(topic string) (id string, given bool) { return c.relay.Newest(topic) }
