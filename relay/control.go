package relay

import (
	"encoding/json"
	"time"

	"freshet/origin/sse"
)

// Control events are the relay's own words in a stream. Their blocks are
// written as every other, id last, and each has an id: by WHATWG HTML, section
// 9.2.6, a block without one leaves the last event id buffer as it is, which at
// the head of a stream is empty, so the client would forget what it knew.

// appendOpen appends the block that opens a stream. It comes at once, so that
// a client that is cut off before its first event, or in the middle of a
// replay, knows where to go on. It has a type and a data line because many
// clients forget an id that comes without, or report a block without data.
func appendOpen(dst []byte, retry time.Duration, id string) []byte {
	dst = sse.AppendRetry(dst, retry)
	return appendControl(dst, sse.TypeOpen, nil, id)
}

// gap is the data of a freshet.gap.
type gap struct {
	Topic       string `json:"topic"`
	LastEventID string `json:"last_event_id"`
	OldestID    string `json:"oldest_id"` // the first event that follows, or would if there were one
	Reason      reason `json:"reason"`
}

// appendGap appends the block that says events are missing here. id is the
// position before what follows.
func appendGap(dst []byte, g gap, id string) []byte {
	return appendControl(dst, sse.TypeGap, g.json(), id)
}

func (g gap) json() []byte { return mustJSON(g) }

// appendEnd appends the block that says the topic has ended.
func appendEnd(dst []byte, topic, id string) []byte {
	return appendControl(dst, sse.TypeEnd, mustJSON(struct {
		Topic string `json:"topic"`
	}{topic}), id)
}

func appendControl(dst []byte, kind string, data []byte, id string) []byte {
	dst, err := sse.Event{Type: kind, Data: data, ID: id}.Append(dst)
	if err != nil {
		panic(err) // the type is ours, and ids were checked when they came in
	}
	return dst
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings only
	}
	return b
}
