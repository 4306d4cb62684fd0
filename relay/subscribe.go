package relay

import (
	"context"
	"net/http"
	"time"

	"freshet/origin/sse"
	"freshet/relay/netloop"
	"freshet/ringbuf"
)

// aheadPatience is for how long one who resumes from an event that is not here
// yet waits for it: another relay was a moment faster.
const aheadPatience = 2 * time.Second

// subscribe answers a GET with a stream that begins where the client asks.
func (r *Relay) subscribe(w http.ResponseWriter, req *http.Request) {
	query, problem := requestQuery(req)
	var name string
	if problem == nil {
		name, problem = requestTopic(req, query)
	}
	var from start
	if problem == nil {
		from, problem = parseStart(req.Header, query)
	}
	if problem != nil {
		r.refuseSubscriber(w, problem)
		return
	}
	if req.Method == http.MethodHead {
		r.describe(w, req, name, from)
		return
	}
	if problem := r.turnedAway(); problem != nil {
		r.sendAway(w, req, problem)
		return
	}
	t, problem := r.topics.use(name, subscribing)
	if problem != nil {
		r.sendAway(w, req, problem)
		return
	}
	if t.isOver(from) {
		r.topics.release(t)
		r.stopAsking(w)
		return
	}
	who, over := r.admission.subscriber(req.RemoteAddr)
	if over != "" {
		r.topics.release(t)
		r.metrics.hits.add(over)
		r.sendAway(w, req, r.noRoom(over))
		return
	}

	following := t.join(from.resume)
	if err := following.wait(req.Context()); err != nil {
		r.forsake(t, who)
		r.upstreamRefuses(w, req, err)
		return
	}
	if r.config.Logs != nil && !t.audience.awaitLog(req.Context()) {
		r.forsake(t, who)
		r.sendAway(w, req, newProblem(http.StatusServiceUnavailable, "the topic's log has not come to this relay"))
		return
	}
	t.awaitAhead(req.Context(), from)
	t.expire(time.Now())
	at := t.seat(req.Context(), from)
	if t.hasEnded() && at.atEnd(from) {
		at.leave(t)
		r.forsake(t, who)
		r.stopAsking(w)
		return
	}
	var s netloop.Body
	var how joined
	if r.compresses(name, req.Header) {
		s, how = newGzipSubscriber(t, who, from, at)
		streamHeaders(w.Header(), gzipped)
	} else {
		s, how = newSubscriber(t, who, from, at)
		streamHeaders(w.Header(), plain)
	}
	r.metrics.joins[how].Inc()
	r.hand(w, req, t, s)
}

// forsake undoes what a subscriber was counted by.
func (r *Relay) forsake(t *topic, who *address) {
	t.leave()
	r.topics.release(t)
	r.admission.leave(who)
}

// coding is how a stream's bytes are coded.
type coding string

const (
	plain   coding = "" // not at all
	gzipped coding = "gzip"
)

// streamHeaders sets what a stream is announced by. Caches must not keep it,
// and no proxy may change it or wait for more of it.
func streamHeaders(h http.Header, c coding) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Add("Vary", "Accept-Encoding")
	if c != plain {
		h.Set("Content-Encoding", string(c))
	}
}

// describe answers a HEAD: what a GET would, without its stream.
func (r *Relay) describe(w http.ResponseWriter, req *http.Request, name string, from start) {
	if t := r.topics.peek(name); t != nil {
		defer r.topics.release(t)
		if t.isOver(from) {
			r.stopAsking(w)
			return
		}
	}
	c := plain
	if r.compresses(name, req.Header) {
		c = gzipped
	}
	streamHeaders(w.Header(), c)
	w.WriteHeader(http.StatusOK)
}

// isOver reports whether the topic has ended and holds nothing more for one who
// begins there: the head of a resume is the last thing it knows.
func (t *topic) isOver(from start) bool {
	if !t.hasEnded() {
		return false
	}
	if from.resume == "" || !sse.UsableID(from.resume) {
		return true
	}
	at, found := t.ring().Find(from.resume)
	switch found {
	case ringbuf.Known:
		return t.ring().Lag(at) == 0
	case ringbuf.Evicted:
		return false
	}
	return t.relay.config.Logs == nil // else others may know the id
}

// stopAsking answers that the topic has ended. A 204 tells an EventSource not
// to come back (WHATWG HTML, section 9.2.2).
func (r *Relay) stopAsking(w http.ResponseWriter) {
	r.metrics.joins[joinedEnded].Inc()
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// awaitAhead waits for the event that the client resumes from, if it has a
// place in the topic's order that this relay has yet to reach.
func (t *topic) awaitAhead(ctx context.Context, from start) {
	if from.resume == "" || t.relay.config.Upstream == nil || t.relay.config.Logs != nil || !t.ahead(from.resume) {
		return
	}
	w := make(signal, 1)
	defer t.audience.listen(w)()
	patience := time.NewTimer(aheadPatience)
	defer patience.Stop()
	for t.ahead(from.resume) {
		select {
		case <-w:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (t *topic) ahead(id string) bool {
	_, found := t.ring().Find(id)
	return found == ringbuf.Ahead
}

// turnedAway returns why nobody may subscribe now; nil if they may.
func (r *Relay) turnedAway() *Problem {
	if r.draining() {
		return newProblem(http.StatusServiceUnavailable, "this relay is stopping")
	}
	if err := r.unfit(); err != nil {
		return newProblem(http.StatusServiceUnavailable, "this relay is not ready: %v", err)
	}
	return nil
}

// noRoom is the answer where a limit on subscribers is reached.
func (r *Relay) noRoom(over limit) *Problem {
	most := r.admission.subscriberLimit
	if over == limitAddressShare {
		most = int64(r.admission.addressLimit)
		return overLimit(http.StatusServiceUnavailable, "limits.address_share", most, "your address has %d subscribers, no more are taken from one", most)
	}
	return overLimit(http.StatusServiceUnavailable, "limits.subscribers", most, "this relay has %d subscribers and takes no more", most)
}

// upstreamRefuses answers for an upstream that has no events of the topic.
func (r *Relay) upstreamRefuses(w http.ResponseWriter, req *http.Request, err error) {
	switch code := status(err); code {
	case http.StatusNoContent:
		r.stopAsking(w)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		p := newProblem(code, "the topic's origin answers %d %s", code, http.StatusText(code))
		p.Field = "topic"
		r.refuseSubscriber(w, p)
	default:
		r.sendAway(w, req, newProblem(http.StatusServiceUnavailable, "the topic's origin cannot be reached"))
	}
}

// refuseSubscriber answers what asking again cannot mend.
func (r *Relay) refuseSubscriber(w http.ResponseWriter, p *Problem) {
	r.metrics.joins[joinedRefused].Inc()
	p.write(w)
}

// sendAway answers what asking again later may mend. An EventSource gives up
// for ever on any status but 200 (WHATWG HTML, section 9.2.2), so one that asks
// for an event stream gets one that says no more than when to come back.
func (r *Relay) sendAway(w http.ResponseWriter, req *http.Request, p *Problem) {
	r.metrics.joins[joinedOverload].Inc()
	retry := r.retryRefused()
	if !accepts(req.Header, "text/event-stream") {
		p.after = retry
		p.write(w)
		return
	}
	streamHeaders(w.Header(), plain)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(sse.AppendRetry(nil, retry))
}
