package relay

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/cespare/xxhash/v2"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// A Committer decides when events are committed, and brings them to every
// relay that follows the topic, this one too. It is asked instead of this
// relay's own log when the order of topics is made elsewhere.
type Committer interface {
	// Commit commits the events, in order, with nothing of others between
	// them, and returns when that is done or cannot be.
	//
	// What was committed under the same topic and key before is left out, so
	// that a publisher may ask again when it is not sure. A number of 1 or
	// more says that events are counted under the key and that this is the
	// number of the first: those up to the highest number committed are left
	// out. Number 0 says that the one event is the whole publication: it is
	// left out if the same one was committed, and refused with the status 409
	// if another was; and so too if its id names an event that the topic
	// still has. An empty key remembers nothing.
	//
	// It returns the id of the last event, the highest number that is now
	// committed under the key (or number - 1 + len(events) without a key, 1
	// for number 0), and how many of the events were new. An error with a
	// Status decides the answer; any other is a 503, and the publisher may
	// retry. The events' bytes are valid until Commit returns.
	Commit(ctx context.Context, topic, key string, number uint64, events []ringbuf.Entry) (id string, count uint64, fresh int, err error)

	// End ends the topic, for everybody.
	End(ctx context.Context, topic string) error
}

// A Receipt says what became of a publication.
type Receipt struct {
	ID        string // of the last event
	Count     uint64 // number of the last event committed, counted from 1 under the key or in the body
	Duplicate bool   // nothing was new
}

// commit commits the events: through the Committer, or to this relay's own log.
// The arguments are those of Committer.Commit.
func (r *Relay) commit(ctx context.Context, topic, key string, number uint64, events ...ringbuf.Entry) (Receipt, error) {
	if c := r.config.Committer; c != nil {
		id, count, fresh, err := c.Commit(ctx, topic, key, number, events)
		if status(err) == http.StatusConflict && key != "" {
			err = conflict(keyField(key))
		}
		return Receipt{ID: id, Count: count, Duplicate: fresh == 0}, err
	}
	t, problem := r.topics.use(topic, publishing)
	if problem != nil {
		return Receipt{}, problem
	}
	defer r.topics.release(t)
	receipt, added, err := t.commit(key, number, events)
	if added > 0 {
		r.committed(t)
	}
	return receipt, err
}

// committed does what an append has to be followed by, without t.mu.
func (r *Relay) committed(t *topic) {
	t.audience.wake()
	r.topics.remember(t, time.Now())
	r.topics.relieve()
}

// commit appends those of the events that are new, and returns how many.
func (t *topic) commit(key string, number uint64, events []ringbuf.Entry) (_ Receipt, added int, _ error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hasEnded() {
		return Receipt{}, 0, newProblem(http.StatusGone, "the topic %s has ended", t.name)
	}
	var known *publishKey
	if key != "" {
		if known = t.relay.keys.use(t.name, key, time.Now()); known == nil {
			return Receipt{}, 0, t.relay.tooManyKeys()
		}
	}
	if number == 0 {
		receipt, err := t.commitOne(key, known, events[0])
		if err == nil && !receipt.Duplicate {
			added = 1
		}
		return receipt, added, err
	}
	return t.commitStream(known, number, events)
}

// commitOne appends an event that is a publication of its own.
func (t *topic) commitOne(key string, known *publishKey, e ringbuf.Entry) (Receipt, error) {
	sum := uint64(0)
	if known != nil {
		sum = digest(e)
		switch {
		case known.count == 0:
		case known.last != sum:
			return Receipt{}, conflict(keyField(key))
		default:
			return Receipt{ID: known.id, Count: 1, Duplicate: true}, nil
		}
	}
	if e.ID != "" {
		if same, ok := t.ring().Lookup(e.ID); ok && same.OwnID {
			if !bytes.Equal(same.Body, e.Body) {
				return Receipt{}, conflict("id")
			}
			return Receipt{ID: e.ID, Count: 1, Duplicate: true}, nil
		}
	}
	id := t.ring().ID(t.append(e))
	if known != nil {
		known.count, known.id, known.first, known.last = 1, id, sum, sum
	}
	return Receipt{ID: id, Count: 1}, nil
}

// commitStream appends events that are counted, but for those that were
// committed before. It recognises those that it has the digests of, so that a
// publisher that uses a key twice is told.
func (t *topic) commitStream(known *publishKey, number uint64, events []ringbuf.Entry) (Receipt, int, error) {
	receipt := Receipt{Count: number - 1 + uint64(len(events)), Duplicate: true}
	var last ringbuf.Position
	added := 0
	for i := range events {
		n := number + uint64(i)
		if known == nil {
			last = t.append(events[i])
			added++
			continue
		}
		sum := digest(events[i])
		if n <= known.count {
			if known.differs(n, sum) {
				return Receipt{}, 0, conflict("Idempotency-Key")
			}
			continue
		}
		// A count that jumps is a publisher whose key this relay does not
		// remember, or not to the end: what it leaves out was acknowledged
		// elsewhere, or by a relay that has restarted since.
		last = t.append(events[i])
		known.note(n, sum)
		known.id = ""
		added++
	}
	if added > 0 {
		receipt.ID, receipt.Duplicate = t.ring().ID(last), false
	}
	if known != nil {
		if added > 0 {
			known.id = receipt.ID
		}
		receipt.ID, receipt.Count = known.id, known.count
	}
	return receipt, added, nil
}

// append appends one event, under mu.
func (t *topic) append(e ringbuf.Entry) ringbuf.Position {
	at := t.ring().Append(e)
	t.weigh()
	t.relay.metrics.events.Inc()
	t.relay.metrics.eventBytes.Add(float64(len(e.Body)))
	return at
}

func conflict(field string) *Problem {
	p := newProblem(http.StatusConflict, "another event was published under the same %s", field)
	p.Field = field
	return p
}

func (r *Relay) tooManyKeys() *Problem {
	r.metrics.hits.add(limitPublishKeys)
	most := int64(r.config.Limits.PublishKeys)
	return overLimit(http.StatusServiceUnavailable, "limits.publish_keys", most, "%d publish keys were used within %v, no more can be remembered", most, keepKey)
}

// digest tells events apart that are published under one key. It is never 0.
func digest(e ringbuf.Entry) uint64 {
	var d xxhash.Digest
	d.Reset()
	d.WriteString(e.ID)
	d.Write([]byte{'\n'}) // no id has one
	d.Write(e.Body)
	return max(d.Sum64(), 1)
}

// End ends the topic: its subscribers are told and closed, spread over time,
// and for an hour nobody can subscribe or publish to it.
func (r *Relay) End(ctx context.Context, topic string) error {
	if _, err := sse.ParseTopic(topic); err != nil {
		return fieldProblem(err)
	}
	if c := r.config.Committer; c != nil {
		return c.End(ctx, topic)
	}
	t, problem := r.topics.use(topic, publishing)
	if problem != nil {
		return problem
	}
	defer r.topics.release(t)
	r.endTopic(t)
	return nil
}

// endTopic ends a topic that the caller uses.
func (r *Relay) endTopic(t *topic) {
	if !t.end() {
		return
	}
	r.background.Go(func() {
		spread(&t.pace, t.audience.size(), r.config.Drain, t.audience.wake, r.stopped.Done())
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.hasEnded() { // a heal brought what came after
			t.pace.Store(0)
		}
	})
}
