package cluster

import (
	"context"
	"sync/atomic"
	"time"

	"freshet/cluster/agree"
)

// Open says that a topic has subscribers here: it is followed until Close, and Rings.Opened tells when it is whole. Like
// Close, Pin and Trim it does not wait, and may be called by Rings.
func (n *Node) Open(topic string) { n.wish(func() { n.relay.Open(n.now, topic, false) }) }

// Close takes Open back. The topic is followed for Linger on.
func (n *Node) Close(topic string) { n.wish(func() { n.relay.Close(n.now, topic, false) }) }

// Pin makes this relay follow a topic without subscribers, for ever: a feed's cursors, so that the feed has an owner.
func (n *Node) Pin(topic string) { n.wish(func() { n.relay.Open(n.now, topic, true) }) }

// Trim says that this process has evicted a topic's events up to a sequence, for want of room.
func (n *Node) Trim(topic string, upTo uint64) { n.wish(func() { n.relay.Trim(n.now, topic, upTo) }) }

// Resume asks how a subscriber goes on that comes with an id; the topic is open. The answer is handed to use between two
// calls of Rings, so that it is about the log as shown. Unknown means a gap.
func (n *Node) Resume(ctx context.Context, topic, id string, use func(agree.Route)) error {
	done := make(chan struct{})
	var claimed atomic.Bool // by use, or by who gave up
	ok := n.post(func() {
		n.ticket++
		ticket := n.ticket
		n.routes[ticket] = func(rt agree.Route) {
			if claimed.CompareAndSwap(false, true) {
				use(rt)
			}
			close(done)
		}
		n.relay.Resume(n.now, topic, id, ticket)
	})
	if !ok {
		return ErrClosed
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		if !claimed.CompareAndSwap(false, true) {
			<-done // use is under way
		}
		return context.Cause(ctx)
	case <-n.ended:
		return ErrClosed
	}
}

// Drain says by gossip that this relay leaves, and returns when its topics have moved to others or ctx ends.
func (n *Node) Drain(ctx context.Context) error {
	select {
	case <-n.started:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := n.members.Say(agree.Draining); err != nil {
		n.Log.Info("say draining", "error", err) // those who are linked notice when it is gone
	}
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		busy, err := ask(ctx, n, func() bool { return n.relay.Busy() > 0 && !n.last() })
		if err != nil || !busy {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// last says that nobody else is there to take a topic.
func (n *Node) last() bool {
	for _, m := range n.members.Alive() {
		if m.Name != n.Name && m.State == agree.Ready && m.Role != agree.Edge {
			return false
		}
	}
	return true
}

// ask runs a question in the loop and waits for the answer.
func ask[T any](ctx context.Context, n *Node, question func() T) (T, error) {
	answer := make(chan T, 1)
	var none T
	if !n.post(func() { answer <- question() }) {
		return none, ErrClosed
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-n.ended:
		return none, ErrClosed
	}
}
