package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"freshet/cluster/agree"
	"freshet/origin/sse"
	"freshet/ringbuf"
)

// A Refusal is why an event was not committed; its status is the answer to the publisher.
type Refusal struct {
	Status int
	Reason string
}

func (e *Refusal) Error() string { return e.Reason }

// HTTPStatus is the status of the answer.
func (e *Refusal) HTTPStatus() int { return e.Status }

// ErrNoOwner is returned when no owner could commit an event in time. It may still be committed: the publisher retries
// under the same key.
var ErrNoOwner = errors.New("cluster: the topic's owner did not commit the event in time")

// ErrStale is returned for what a feed brought to a relay that is not the one to pull it any more.
var ErrStale error = &Refusal{http.StatusConflict, "another relay pulls this feed by now"}

func refusal(topic string, o agree.Outcome) error {
	switch o {
	case agree.Committed, agree.Duplicate:
		return nil
	case agree.Conflict:
		return &Refusal{http.StatusConflict, "another event was published under the same key"}
	case agree.Ended:
		return &Refusal{http.StatusGone, fmt.Sprintf("the topic %s has ended", topic)}
	case agree.Stale:
		return ErrStale
	case agree.Full:
		return &Refusal{http.StatusServiceUnavailable, "too many publishes wait for the topic's owner"}
	}
	return ErrNoOwner
}

// Commit commits events in order, and returns when that is done or cannot be; it is a relay.Committer's. Events are known
// by key and number: what was committed before is left out.
func (n *Node) Commit(ctx context.Context, topic, key string, number uint64, events []ringbuf.Entry) (id string, count uint64, fresh int, err error) {
	entries := make([]agree.Entry, len(events))
	for i, e := range events {
		entries[i] = agree.Entry{Key: key, ID: e.ID, Body: bytes.Clone(e.Body)}
		if key != "" && number > 0 {
			entries[i].Number = number + uint64(i)
		}
	}
	results, err := n.publish(ctx, topic, entries)
	if err != nil {
		return "", 0, 0, err
	}
	for _, res := range results {
		if err := refusal(topic, res.Outcome); err != nil {
			return "", 0, 0, err
		}
		if res.Outcome == agree.Committed {
			fresh++
		}
		id = visibleID(res)
		count = max(count, res.Count)
	}
	return id, max(count, max(number, 1)-1+uint64(len(events))), fresh, nil
}

// visibleID is the id under which subscribers get an event: not every id that an origin sets can come back in a header.
func visibleID(res agree.Result) string {
	if sse.UsableID(res.ID) {
		return res.ID
	}
	return res.Position.String()
}

// Feed commits one event that a feed brought, however long its topic is without an owner: until ctx ends. mark says which
// pull of which owner of the feed it came from. The error is ErrStale if it is not that owner's to bring any more.
func (n *Node) Feed(ctx context.Context, topic string, mark agree.FeedMark, kind agree.Kind, e ringbuf.Entry) (id string, err error) {
	entries := []agree.Entry{{ID: e.ID, Body: bytes.Clone(e.Body), Feed: mark, Kind: kind}}
	for {
		results, err := n.publish(ctx, topic, entries)
		if err != nil {
			return "", err
		}
		if results[0].Outcome != agree.Timeout {
			return visibleID(results[0]), refusal(topic, results[0].Outcome)
		}
		// It may be committed or not: it keeps the key that publish gave it.
		n.Log.Warn("a feed's event waits for its topic's owner", "feed", mark.Name)
	}
}

// End ends a topic for everybody.
func (n *Node) End(ctx context.Context, topic string) error {
	body, err := sse.Event{Type: sse.TypeEnd, Data: fmt.Appendf(nil, `{"topic":%q}`, topic)}.AppendBody(nil)
	if err != nil {
		return err
	}
	results, err := n.publish(ctx, topic, []agree.Entry{{Kind: agree.End, Body: body}})
	if err != nil {
		return err
	}
	if results[0].Outcome == agree.Ended {
		return nil
	}
	return refusal(topic, results[0].Outcome)
}

// publish hands entries to the protocol and waits for all of them.
func (n *Node) publish(ctx context.Context, topic string, entries []agree.Entry) ([]agree.Result, error) {
	results := make([]agree.Result, len(entries))
	left := len(entries)
	if left == 0 {
		return nil, nil
	}
	done := make(chan struct{})
	ok := n.post(func() {
		for i := range entries {
			if entries[i].Key == "" { // retries within the cluster need one
				n.counter++
				entries[i].Key = agree.GivenKey + strconv.FormatUint(n.process, 36) + "-" + strconv.FormatUint(n.counter, 36)
			}
			n.ticket++
			n.answers[n.ticket] = func(res agree.Result) {
				results[i] = res
				if left--; left == 0 {
					close(done)
				}
			}
			n.relay.Publish(n.now, topic, entries[i], n.ticket)
		}
	})
	if !ok {
		return nil, ErrClosed
	}
	select {
	case <-done:
		return results, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-n.ended:
		return nil, ErrClosed
	}
}
