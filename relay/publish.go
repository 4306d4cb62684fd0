package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// maxKey bounds a publish key and an event's key field, in bytes: as long as a
// topic or an id.
const maxKey = 256

// publish answers a POST: one event, or a stream of them.
func (r *Relay) publish(w http.ResponseWriter, req *http.Request) {
	stream := isMedia(req.Header.Get("Content-Type"), "text/event-stream")
	if stream {
		// Neither a refusal nor an acknowledgement may wait for the end of a body
		// that has none, which is how net/http reads HTTP/1.1. HTTP/2 is duplex
		// anyway, and says that it cannot be told to be.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	query, problem := requestQuery(req)
	var topic string
	if problem == nil {
		topic, problem = requestTopic(req, query)
	}
	if problem == nil {
		problem = r.access.check(req)
	}
	if problem == nil && r.draining() {
		problem = r.stopping()
	}
	var key string
	if problem == nil {
		key, problem = idempotencyKey(req.Header)
	}
	if problem != nil {
		r.refusePublish(w, req, problem)
		return
	}
	if !r.admission.publish() {
		most := r.admission.publishLimit
		r.metrics.hits.add(limitPublishes)
		problem = overLimit(http.StatusServiceUnavailable, "limits.publishes", most, "%d publish requests are under way, no more at once", most)
		problem.after = time.Second
		r.refusePublish(w, req, problem)
		return
	}
	defer r.admission.published()

	if coding := req.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		problem = newProblem(http.StatusUnsupportedMediaType, "the body is taken as it is, not with the content coding %q", clip(coding))
		problem.Field = "Content-Encoding"
		r.refusePublish(w, req, problem)
		return
	}
	if stream {
		r.publishStream(w, req, topic, key)
		return
	}
	receipt, err := r.publishOne(w, req, topic, key, query)
	if err != nil {
		passOver(w, req)
		r.refusePublish(w, req, asProblem(err))
		return
	}
	r.answerPublished(w, topic, receipt)
}

// publishOne commits the request's body as the data of one event.
func (r *Relay) publishOne(w http.ResponseWriter, req *http.Request, topic, key string, query url.Values) (Receipt, error) {
	e := sse.Event{ID: query.Get("id"), Type: query.Get("event"), Key: query.Get("key")}
	var err error
	if e.Data, err = r.readBody(w, req); err != nil {
		return Receipt{}, err
	}
	return r.Publish(req.Context(), topic, key, e)
}

// Publish commits one event as a POST would: under key, or under the event's id
// if key is empty. What was committed under the same key before is not
// committed again. Errors that are answers have a Status.
func (r *Relay) Publish(ctx context.Context, topic, key string, e sse.Event) (Receipt, error) {
	if _, err := sse.ParseTopic(topic); err != nil {
		return Receipt{}, fieldProblem(err)
	}
	if err := validate(e); err != nil {
		return Receipt{}, err
	}
	_, entry, err := r.encode(nil, e)
	if err != nil {
		return Receipt{}, err
	}
	return r.commit(ctx, topic, memoryKey(key, e.ID), 0, entry)
}

// Publications are remembered under names of two kinds, so that a key and an id
// that happen to be equal are two.
const (
	byKey = "Idempotency-Key "
	byID  = "id "
)

// memoryKey returns the name under which a publication is remembered; "" = it
// is not.
func memoryKey(key, id string) string {
	switch {
	case key != "":
		return byKey + key
	case id != "":
		return byID + id
	}
	return ""
}

// keyField returns the part of a request that the name came from.
func keyField(memoryKey string) string {
	field, _, _ := strings.Cut(memoryKey, " ")
	return field
}

// validate reports why a publisher may not publish the event. A feed may pass
// on more.
func validate(e sse.Event) error {
	if err := e.Validate(); err != nil {
		return fieldProblem(err)
	}
	if len(e.Key) > maxKey {
		return badField("key", "key is %d bytes long, the limit is %d", len(e.Key), maxKey)
	}
	return nil
}

// encode returns the event as an entry, whose body it appends to buf.
func (r *Relay) encode(buf []byte, e sse.Event) ([]byte, ringbuf.Entry, error) {
	if len(e.ID)+len(e.Type)+len(e.Key)+len(e.Data) > r.config.Limits.EventBytes {
		return buf, ringbuf.Entry{}, r.eventTooLarge()
	}
	grown, err := e.AppendBody(buf)
	if err != nil {
		return buf, ringbuf.Entry{}, fieldProblem(err)
	}
	body := grown[len(buf):len(grown):len(grown)]
	// Many short lines can make much more of it than it was.
	const idLine = sse.MaxID + 8
	if most := r.config.Topics.Bytes; len(body)+idLine > most {
		p := overLimit(http.StatusRequestEntityTooLarge, "topics.bytes", int64(most), "the event takes %d bytes on the wire, and a topic holds %d", len(body), most)
		p.Field = "data"
		return buf, ringbuf.Entry{}, p
	}
	return grown, ringbuf.Entry{Body: body, ID: e.ID, Commit: time.Now()}, nil
}

func (r *Relay) eventTooLarge() *Problem {
	r.metrics.hits.add(limitEventBytes)
	most := r.config.Limits.EventBytes
	p := overLimit(http.StatusRequestEntityTooLarge, "limits.event_bytes", int64(most), "the event is larger than %d bytes", most)
	p.Field = "data"
	return p
}

// readBody reads the data of one event, in a time that a body of that size
// must do with.
func (r *Relay) readBody(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	most := r.config.Limits.EventBytes
	if req.ContentLength > int64(most) {
		return nil, r.eventTooLarge()
	}
	// Not every ResponseWriter has deadlines; the connections of this relay's
	// own listeners do.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(r.config.Stall))
	defer control.SetReadDeadline(time.Time{})
	var buf bytes.Buffer
	if req.ContentLength > 0 {
		buf.Grow(int(req.ContentLength) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(req.Body, int64(most)+1))
	switch {
	case n > int64(most):
		return nil, r.eventTooLarge()
	case err != nil:
		return nil, cutShort(err)
	}
	return buf.Bytes(), nil
}

const (
	passOverBytes = 16 << 20
	passOverTime  = 2 * time.Second
)

// passOver reads what is left of the body of a request that is refused, within
// bounds: many clients do not read an answer before they have sent all, and
// lose it if the connection is closed meanwhile.
func passOver(w http.ResponseWriter, req *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(passOverTime))
	_, _ = io.CopyN(io.Discard, req.Body, passOverBytes)
}

// cutShort is the answer to a body that did not come whole, if anybody is left
// to read it.
func cutShort(err error) *Problem {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return newProblem(http.StatusRequestTimeout, "the body did not come in time")
	}
	return badField("data", "the body was cut short: %v", err)
}

// idempotencyKey returns the request's Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header), as it stands: the relay only
// ever compares it. An empty one is none.
func idempotencyKey(h http.Header) (string, *Problem) {
	key := h.Get("Idempotency-Key")
	if len(key) > maxKey {
		return "", badField("Idempotency-Key", "Idempotency-Key is %d bytes long, the limit is %d", len(key), maxKey)
	}
	return key, nil
}

// isMedia reports whether the value of a Content-Type names the media type.
func isMedia(contentType, want string) bool {
	got, _, err := mime.ParseMediaType(contentType)
	if err != nil { // a bad parameter after a good type
		got, _, _ = strings.Cut(contentType, ";")
		got = strings.ToLower(strings.TrimSpace(got))
	}
	return got == want
}

// published is the answer to a publish request.
type published struct {
	Topic     string `json:"topic"`
	ID        string `json:"id"`
	Count     uint64 `json:"count"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

func (r *Relay) answerPublished(w http.ResponseWriter, topic string, receipt Receipt) {
	code, outcome := http.StatusCreated, postedCommitted
	switch {
	case receipt.Duplicate:
		code, outcome = http.StatusOK, postedDuplicate
	case receipt.Count == 0: // a stream without an event
		code = http.StatusOK
	}
	r.metrics.posts[outcome].Inc()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// Nobody can be told if this fails; the publisher will ask again.
	_ = json.NewEncoder(w).Encode(published{topic, receipt.ID, receipt.Count, receipt.Duplicate})
}

func (r *Relay) refusePublish(w http.ResponseWriter, req *http.Request, p *Problem) {
	if req.ProtoMajor == 1 && isMedia(req.Header.Get("Content-Type"), "text/event-stream") {
		// What is left of the body is not read, so the connection ends: a client
		// that is not told would send its next request into it.
		w.Header().Set("Connection", "close")
	}
	r.metrics.posts[p.outcome()].Inc()
	r.sayWhen(p)
	p.write(w)
}

// sayWhen gives a 503 the time after which to ask again.
func (r *Relay) sayWhen(p *Problem) {
	if p.Status == http.StatusServiceUnavailable && p.after == 0 {
		p.after = r.config.Retry
	}
}

// stopping is the answer to who publishes while the relay drains.
func (r *Relay) stopping() *Problem {
	return newProblem(http.StatusServiceUnavailable, "this relay is stopping; publish again, to another or in a while")
}

// outcome returns what the problem makes of a publish request.
func (p *Problem) outcome() posted {
	switch {
	case p.Status == http.StatusConflict:
		return postedConflict
	case p.Status >= 500 || p.Status == http.StatusRequestTimeout:
		return postedFailed
	}
	return postedRefused
}

// finish answers a DELETE: the topic ends.
func (r *Relay) finish(w http.ResponseWriter, req *http.Request) {
	query, problem := requestQuery(req)
	var topic string
	if problem == nil {
		topic, problem = requestTopic(req, query)
	}
	if problem == nil {
		problem = r.access.check(req)
	}
	if problem == nil {
		if err := r.End(req.Context(), topic); err != nil {
			problem = asProblem(err)
		}
	}
	if problem != nil {
		r.sayWhen(problem)
		problem.write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
