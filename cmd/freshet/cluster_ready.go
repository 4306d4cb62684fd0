package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"freshet/cluster"
	"freshet/ringbuf"
)

// Why a relay should not be sent subscribers.
var (
	errJoining   = errors.New("joining the cluster")
	errNoMember  = errors.New("it is no member of the cluster any more")
	errOwnerless = errors.New("no relay that may own topics is in view (cluster.role)")
)

// ready is relay.Config.Ready.
func (m *membership) ready() error {
	select {
	case <-m.ended:
		return errNoMember
	default:
	}
	select {
	case <-m.Joined():
		return m.owners()
	default:
		return errJoining
	}
}

// owners says whether anybody may own topics. One that leaves keeps those that nobody takes.
func (m *membership) owners() error {
	if !m.leaving.Load() && errors.Is(m.Owners(), cluster.ErrOwnerless) {
		return errOwnerless
	}
	return nil
}

// refusal answers a publisher at once for whom nobody can be found; nil if somebody may be.
func (m *membership) refusal() error {
	select {
	case <-m.Joined():
	default:
		return nil // it meets them while the publisher waits
	}
	if err := m.owners(); err != nil {
		return &cluster.Refusal{Status: http.StatusServiceUnavailable, Reason: err.Error()}
	}
	return nil
}

// Commit is relay.Committer's.
func (m *membership) Commit(ctx context.Context, topic, key string, number uint64, events []ringbuf.Entry) (id string, count uint64, fresh int, err error) {
	if err := m.refusal(); err != nil {
		return "", 0, 0, err
	}
	return m.Node.Commit(ctx, topic, key, number, events)
}

// End is relay.Committer's.
func (m *membership) End(ctx context.Context, topic string) error {
	if err := m.refusal(); err != nil {
		return err
	}
	return m.Node.End(ctx, topic)
}

// unknownTopic says why nothing can be told of a topic.
func (m *membership) unknownTopic(topic string) string {
	if err := m.owners(); err != nil {
		return fmt.Sprintf("nothing is known of the topic %s: %v", topic, err)
	}
	return "nobody owns the topic " + topic + ": nothing was published to it, or it is long idle and forgotten"
}
