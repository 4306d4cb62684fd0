package relay

import (
	"context"
	"time"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// An Intake takes what feeds bring: it checks and encodes it as the relay's own
// Append and Gap do, and has it committed by who made the Intake.
//
//	origin.Source ── Append, Gap, End ──▶ Intake ── commit ──▶ the topics' logs
type Intake struct {
	relay  *Relay
	commit CommitFeed
}

// CommitFeed commits one event that a feed brought, or a gap in it, to the
// topic, and returns the id that it has there. The event's bytes are valid until
// it returns.
type CommitFeed func(ctx context.Context, topic string, e ringbuf.Entry, gap bool) (id string, err error)

// Intake returns an Intake whose events are committed by commit.
func (r *Relay) Intake(commit CommitFeed) *Intake { return &Intake{r, commit} }

// Append commits one event that a feed brought, and returns the id it got: its
// own if that is usable and names no other event of the topic, else its
// position.
func (in *Intake) Append(ctx context.Context, topic string, e sse.Event) (id string, err error) {
	if _, err := sse.ParseTopic(topic); err != nil {
		return "", fieldProblem(err)
	}
	if e.Control() {
		return "", badField("event", "events of type %s are not passed on", clip(e.Type))
	}
	_, entry, err := in.relay.encode(nil, e)
	if err != nil {
		return "", err
	}
	return in.commit(ctx, topic, entry, false)
}

// Gap tells everybody who follows the topic that its origin has lost events
// here. It takes a place in the topic's order, so that those who replay are
// told too. The ids are the origin's: of the last event before the gap and of
// the first after it, where they are known.
func (in *Intake) Gap(ctx context.Context, topic, lastEventID, oldestID string) error {
	if _, err := sse.ParseTopic(topic); err != nil {
		return fieldProblem(err)
	}
	data := gap{Topic: topic, LastEventID: lastEventID, OldestID: oldestID, Reason: gapOrigin}.json()
	body, err := sse.Event{Type: sse.TypeGap, Data: data}.AppendBody(nil)
	if err != nil {
		return err
	}
	in.relay.metrics.gaps[gapOrigin].Inc()
	_, err = in.commit(ctx, topic, ringbuf.Entry{Body: body, Commit: time.Now()}, true)
	return err
}

// End ends the topic, as Relay.End does.
func (in *Intake) End(ctx context.Context, topic string) error { return in.relay.End(ctx, topic) }

// Append is Intake.Append for what this relay commits like anything that is
// published to it.
func (r *Relay) Append(ctx context.Context, topic string, e sse.Event) (id string, err error) {
	return r.Intake(r.commitFeed).Append(ctx, topic, e)
}

// Gap is Intake.Gap, likewise.
func (r *Relay) Gap(ctx context.Context, topic, lastEventID, oldestID string) error {
	return r.Intake(r.commitFeed).Gap(ctx, topic, lastEventID, oldestID)
}

func (r *Relay) commitFeed(ctx context.Context, topic string, e ringbuf.Entry, _ bool) (id string, err error) {
	receipt, err := r.commit(ctx, topic, "", 1, e)
	return receipt.ID, err
}
