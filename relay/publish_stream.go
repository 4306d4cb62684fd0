package relay

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// publishChunk is how much of a stream is read at once: what it holds of whole
// events is committed as one group. The faster they come, the larger the
// groups.
const publishChunk = 32 << 10

// publication is a stream of events that is being published.
type publication struct {
	// static after construction
	relay *Relay
	topic string
	key   string // as remembered; "" = none
	most  int    // bytes that may be one group, if they come that fast; at least publishChunk

	// owned by the handler
	decoder sse.Decoder
	number  uint64  // of the last event read, counted from 1 under the key
	total   Receipt // what was committed so far
	fresh   bool    // some of it was new
	bytes   []byte  // bodies of the group, one after the other
	events  []ringbuf.Entry
}

// publishStream commits the events of a body that may never end, as they come.
//
// The answer comes when the body is over; or, for who accepts NDJSON, at once,
// and then a line for every group that was committed. Both directions flow at
// the same time then.
func (r *Relay) publishStream(w http.ResponseWriter, req *http.Request, topic, key string) {
	offset, problem := publishOffset(req.Header, key)
	if problem != nil {
		r.refusePublish(w, req, problem)
		return
	}
	p := &publication{relay: r, topic: topic, key: memoryKey(key, ""), most: publishChunk, number: offset}
	p.decoder.MaxEvent = r.config.Limits.EventBytes
	if p.key != "" {
		defer r.keys.hold(topic, p.key)()
	}

	control := http.NewResponseController(w)
	// A relay that stops does not wait for publishers to pause.
	defer context.AfterFunc(r.leaving, func() { _ = control.SetReadDeadline(time.Unix(1, 0)) })()

	var ack func() error
	if accepts(req.Header, "application/x-ndjson") {
		ack = p.acknowledge(w, req, control)
	}
	body := io.Reader(req.Body)
	if r.config.Committer != nil {
		p.most = mostAhead
		ahead := newReadAhead(req.Body)
		defer ahead.stop(func() { _ = control.SetReadDeadline(time.Unix(1, 0)) })
		body = ahead
	}
	err := p.run(req.Context(), body, ack)
	switch {
	case err == nil && ack == nil:
		r.answerPublished(w, topic, p.receipt())
	case err == nil:
		outcome := postedCommitted
		if p.receipt().Duplicate {
			outcome = postedDuplicate
		}
		r.metrics.posts[outcome].Inc()
	default:
		refusal := *asProblem(err)
		refusal.Count = p.total.Count
		if ack == nil {
			r.refusePublish(w, req, &refusal)
			return
		}
		r.metrics.posts[refusal.outcome()].Inc()
		_, _ = w.Write(refusal.line())
	}
}

// publishOffset returns how many events under the key the body leaves out at
// its front, because they were acknowledged.
func publishOffset(h http.Header, key string) (uint64, *Problem) {
	text := h.Get("Freshet-Offset")
	if text == "" {
		return 0, nil
	}
	if key == "" {
		return 0, badField("Freshet-Offset", "Freshet-Offset counts the events of an Idempotency-Key, and there is none")
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, badField("Freshet-Offset", "Freshet-Offset is %q, not a number of events", clip(text))
	}
	return n, nil
}

// acknowledge begins the answer of lines, and returns what adds one.
func (p *publication) acknowledge(w http.ResponseWriter, req *http.Request, control *http.ResponseController) func() error {
	if req.Header.Get("Expect") != "" {
		_, _ = req.Body.Read(nil) // sends 100 Continue, which an early 200 would not
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()

	lines := json.NewEncoder(w)
	return func() error {
		// One who does not read his acknowledgements may not publish on.
		_ = control.SetWriteDeadline(time.Now().Add(p.relay.config.Stall))
		if err := lines.Encode(acknowledgement{p.total.Count, p.total.ID}); err != nil {
			return err
		}
		return control.Flush()
	}
}

// acknowledgement says that the event of that number and all before it are
// committed.
type acknowledgement struct {
	Count uint64 `json:"count"`
	ID    string `json:"id"`
}

// run reads, commits and acknowledges until the body ends.
func (p *publication) run(ctx context.Context, body io.Reader, ack func() error) error {
	chunk := make([]byte, publishChunk)
	for full := false; ; {
		if full && len(chunk) < p.most {
			chunk = make([]byte, 2*len(chunk))
		}
		n, readErr := body.Read(chunk)
		full = n == len(chunk) && readErr == nil
		p.decoder.Feed(chunk[:n])
		refusal := p.gather()
		if len(p.events) > 0 {
			if err := p.commit(ctx); err != nil {
				return err
			}
			if ack != nil {
				if err := ack(); err != nil {
					return cutShort(err)
				}
			}
		}
		switch {
		case refusal != nil:
			return refusal
		case readErr == io.EOF:
			return nil // a block that no blank line ended is dropped, as the standard says
		case readErr != nil && p.relay.draining():
			return p.relay.stopping()
		case readErr != nil:
			return cutShort(readErr)
		}
	}
}

// gather takes every whole event that was fed into the group. An error is about
// the event after the group's last.
func (p *publication) gather() error {
	p.bytes, p.events = p.bytes[:0], p.events[:0]
	var e sse.Event
	for p.decoder.Next(&e) {
		if err := validate(e); err != nil {
			return err
		}
		// Where bytes grows into another array, the entries before keep theirs.
		bytes, entry, err := p.relay.encode(p.bytes, e)
		if err != nil {
			return err
		}
		p.bytes = bytes
		p.events = append(p.events, entry)
	}
	var limit *sse.LimitError
	if errors.As(p.decoder.Err(), &limit) {
		return p.relay.eventTooLarge()
	}
	return p.decoder.Err()
}

// commit commits the group.
func (p *publication) commit(ctx context.Context) error {
	first := p.number + 1
	p.number += uint64(len(p.events))
	receipt, err := p.relay.commit(ctx, p.topic, p.key, first, p.events...)
	if err != nil {
		return err
	}
	p.fresh = p.fresh || !receipt.Duplicate
	p.total = receipt
	return nil
}

// receipt is what the publication came to.
func (p *publication) receipt() Receipt {
	total := p.total
	total.Duplicate = total.Count > 0 && !p.fresh
	return total
}

// accepts reports whether the request's Accept names the media type, and does
// not refuse it.
func accepts(h http.Header, want string) bool {
	for _, line := range h["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			media, params, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(media), want) && !refusedQuality(params) {
				return true
			}
		}
	}
	return false
}

// refusedQuality reports whether the parameters of one part of an Accept say
// q=0 (RFC 9110, section 12.4.2).
func refusedQuality(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			return err == nil && q == 0
		}
	}
	return false
}
