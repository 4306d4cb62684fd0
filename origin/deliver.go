package origin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"freshet/origin/sse"
)

// errTopicEnded says that the Sink takes no more of a pull's only topic.
var errTopicEnded = errors.New("the topic has ended here")

// maxNamed bounds how many topics of one stream are remembered, to tell them of
// a gap.
const maxNamed = 100_000

// deliveryState is what a pull knows of what it has handed on. It belongs to
// the goroutine in run.
type deliveryState struct {
	everOpen bool
	served   bool   // this connection brought an event
	newest   string // the id of the log's newest event when this pull last wrote there
	doubted  bool   // cursor is an id that the origin may never have given: see madeByRelay

	// Of the overlap after a reconnect.
	repeats  *repeats
	resuming bool // all that came since were repeats
	overlap  bool // and there were some
	replaced bool // an id that this connection brought could not be kept

	// Of gaps.
	topics   map[string]bool // topics with events: is a gap the last thing in it?
	hole     bool            // an earlier pull brought events to topics that are not known here, and gave no id to resume from
	skipped  uint64          // the decoder's count that was reported
	sequence sequence
}

// begin begins what a connection brings.
func (p *pull) begin(ctx context.Context, resumed bool) error {
	p.everOpen = true
	p.resuming, p.overlap, p.replaced = true, false, false
	p.skipped = 0
	p.repeats.begin()
	if !resumed && len(p.topics) > 0 {
		// There is no telling what came in the meantime.
		return p.gap(ctx, p.topic, "", gapNoID)
	}
	return nil
}

// missed says that an earlier pull brought events. Where that left no cursor,
// everybody whom they came to is told of a gap: those of many topics each when
// its next event comes, for which they are is not known here.
func (p *pull) missed() {
	if p.topic != "" {
		p.topics[p.topic] = false
	} else {
		p.hole = p.cursor == ""
	}
}

// deliver hands on one event. An error means that the connection is to be made
// anew.
func (p *pull) deliver(ctx context.Context, e *sse.Event) error {
	metrics := p.source.Metrics
	topic := p.address(e)
	if e.Control() {
		if err := p.control(ctx, topic, e); err != nil {
			return err
		}
		p.follow()
		return nil
	}
	if topic == "" {
		metrics.dropped[droppedAddress].Inc()
		p.log.Debug("event dropped: its topic is not the feed's to name", "topic", e.Topic)
		p.follow()
		return nil
	}
	if p.doubted {
		p.doubted = false
		if err := p.gap(ctx, topic, "", gapRestart); err != nil {
			return err
		}
	}
	across := p.resuming
	if p.resuming {
		if p.repeats.known(topic, e, func() bool { return p.source.Log != nil && p.source.Log.Holds(topic, *e) }) {
			// The cursor stays: it is further on than the id of a repeat.
			p.overlap, p.served = true, true
			metrics.repeats.Inc()
			return nil
		}
		p.resuming = false
	}
	if jumped := p.sequence.observe(e.ID); jumped > 0 && across {
		metrics.jumps.Inc()
		metrics.jumped.Add(float64(jumped))
		p.log.Warn("ids jump across a reconnect", "to", e.ID, "over", jumped)
	}
	if _, met := p.topics[topic]; p.hole && !met && len(p.topics) < maxNamed {
		if err := p.gap(ctx, topic, "", gapNoID); err != nil {
			return err
		}
	}
	if err := p.append(ctx, topic, e); err != nil {
		return err
	}
	p.served = true
	p.advance()
	return nil
}

// append has the event committed, or finds that it cannot be.
func (p *pull) append(ctx context.Context, topic string, e *sse.Event) error {
	metrics := p.source.Metrics
	own := *e
	own.Topic = ""
	id, err := p.source.Sink.Append(ctx, topic, own)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	status := statusOf(err)
	refused := status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
	if err != nil && !refused {
		return fmt.Errorf("commit: %w", err)
	}
	p.repeats.add(topic, e) // refused or not, it need not come again
	switch {
	case err == nil:
		metrics.events.Inc()
		p.newest = id
		if e.ID != "" && id != e.ID {
			metrics.replaced.Inc()
			if !p.replaced { // once for a connection
				p.replaced = true
				p.log.Warn("ids replaced: they are in the log already, or no header can carry them", "first", e.ID, "by", id)
			}
		}
		if _, ok := p.topics[topic]; ok || len(p.topics) < maxNamed {
			p.topics[topic] = false
		}
		return nil
	case status == http.StatusGone:
		metrics.dropped[droppedEnded].Inc()
		if p.topic != "" {
			return errTopicEnded
		}
		delete(p.topics, topic)
		return nil
	}
	metrics.dropped[droppedRefused].Inc()
	p.log.Warn("event refused", "id", e.ID, "error", err)
	return p.gap(ctx, topic, "", gapRefused)
}

// address returns the event's topic, "" if it names none that is the feed's.
func (p *pull) address(e *sse.Event) string {
	if p.topic != "" {
		return p.topic
	}
	if !strings.HasPrefix(e.Topic, p.source.Prefix) || !sse.ValidTopic(e.Topic) {
		return ""
	}
	return e.Topic
}

// control acts on an event of a reserved type. None is ever handed on: what a
// subscriber is told in the relay's name, the relay says.
func (p *pull) control(ctx context.Context, topic string, e *sse.Event) error {
	switch e.Type {
	case sse.TypeOpen:
		if e.ID == p.cursor {
			p.doubted = false
		}
		return nil
	case sse.TypeGap:
		var data struct {
			OldestID string `json:"oldest_id"`
		}
		// Another origin's gap may say it otherwise, or nothing at all.
		_ = json.Unmarshal(e.Data, &data)
		p.doubted = false
		return p.gap(ctx, topic, data.OldestID, gapOrigin)
	case sse.TypeEnd:
		if p.topic != "" || topic == "" {
			return errEnded
		}
		if err := p.source.Sink.End(ctx, topic); err != nil {
			return fmt.Errorf("commit end: %w", err)
		}
		delete(p.topics, topic)
		return nil
	}
	p.source.Metrics.dropped[droppedReserved].Inc()
	return nil
}

// leftOut reports a gap where the decoder passed over an event.
func (p *pull) leftOut(ctx context.Context) error {
	if p.decoder.Skipped() == p.skipped {
		return nil
	}
	p.source.Metrics.dropped[droppedLarge].Add(float64(p.decoder.Skipped() - p.skipped))
	p.skipped = p.decoder.Skipped()
	p.log.Warn("event left out: it is larger than max_event", "max_event", p.source.MaxEvent)
	p.served = true
	return p.gap(ctx, p.topic, "", gapLarge)
}

// gap reports missing events in one topic, or if that is "", in all that the
// stream has named so far. Where a gap is the last thing already, it would say
// nothing new.
func (p *pull) gap(ctx context.Context, topic, oldestID string, reason gapReason) error {
	if topic != "" {
		return p.gapIn(ctx, topic, oldestID, reason)
	}
	for topic := range p.topics {
		if err := p.gapIn(ctx, topic, oldestID, reason); err != nil {
			return err
		}
	}
	return nil
}

func (p *pull) gapIn(ctx context.Context, topic, oldestID string, reason gapReason) error {
	if p.topics[topic] {
		return nil
	}
	if err := p.source.Sink.Gap(ctx, topic, p.cursor, oldestID); err != nil {
		if statusOf(err) == http.StatusGone {
			return nil
		}
		return fmt.Errorf("commit gap: %w", err)
	}
	p.topics[topic] = true
	if id, _ := p.source.newest(topic); p.newest != "" && id != "" {
		p.newest = id // the gap is an event, too
	}
	p.source.Metrics.gaps[reason].Inc()
	p.log.Warn("gap", "reason", string(reason))
	return nil
}

// follow advances the cursor unless the origin is repeating itself: it is
// further on then.
func (p *pull) follow() {
	if (!p.resuming || !p.overlap) && p.decoder.LastEventID() != p.cursor {
		p.advance()
	}
}

// statusOf returns the HTTP status that an error stands for, or 0.
func statusOf(err error) int {
	var status interface{ HTTPStatus() int }
	if errors.As(err, &status) {
		return status.HTTPStatus()
	}
	return 0
}
