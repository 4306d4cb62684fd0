package relay

import (
	"bytes"

	"freshet/origin/sse"
)

// Holds reports whether the topic's log has an event with e's id, and the same
// type, key and data. So a feed that resumes tells what its origin repeats from
// what is new under a known id.
func (r *Relay) Holds(topic string, e sse.Event) bool {
	if e.ID == "" {
		return false
	}
	t := r.topics.peek(topic)
	if t == nil {
		return false
	}
	defer r.topics.release(t)
	held, ok := t.ring().Lookup(e.ID)
	if !ok || !held.OwnID {
		return false
	}
	e.Topic = "" // it is the log's name, not a part of the event
	body, err := e.AppendBody(nil)
	return err == nil && bytes.Equal(body, held.Body)
}

// Newest returns the id of the topic's newest event, kept or not, and whether
// its origin gave it; "" where there never was an event. A gap is an event.
func (r *Relay) Newest(topic string) (id string, given bool) {
	t := r.topics.peek(topic)
	if t == nil {
		return "", false
	}
	defer r.topics.release(t)
	head := t.ring().Head()
	if head.Seq == 0 {
		return "", false
	}
	id = t.ring().ID(head)
	return id, id != head.String()
}
