package origin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// ServeHTTP serves the feed, or one topic of it: the one in the path value
// {topic}, else in the query.
func (f *Feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.setUp()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a feed is read with GET", http.StatusMethodNotAllowed)
		return
	}
	s, err := f.newStream(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if f.hasEnded(s.topic) && !s.replays() {
		w.WriteHeader(http.StatusNoContent) // the standard's "stop"
		return
	}
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	default:
		s.sendAway(r)
		return
	}
	select {
	case <-f.closed:
		s.sendAway(r)
		return
	default:
	}
	s.header()
	if r.Method == http.MethodHead {
		return
	}
	s.serve(r)
}

// A feedStream is one client's stream, and belongs to its request's goroutine.
type feedStream struct {
	feed    *Feed
	ring    *ringbuf.Ring
	w       http.ResponseWriter
	control *http.ResponseController
	topic   string         // "" = all
	lead    []byte         // what the topic's events begin with
	cursor  ringbuf.Cursor // its place in the log
	resume  string         // the id it came with; "" = none
	missed  string         // why events after that are missing; "" = none are
	more    feedWaker
	buf     []byte
}

type feedWaker chan struct{}

// Wake tells the stream that there is more.
func (w feedWaker) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// feedChunk is how much is written at once.
const feedChunk = 32 << 10

func (f *Feed) newStream(w http.ResponseWriter, r *http.Request) (*feedStream, error) {
	query := r.URL.Query()
	s := &feedStream{feed: f, ring: f.ring, w: w, control: http.NewResponseController(w), more: make(feedWaker, 1)}
	if s.topic = r.PathValue("topic"); s.topic == "" {
		s.topic = query.Get("topic")
	}
	if s.topic != "" {
		if _, err := sse.ParseTopic(s.topic); err != nil {
			return nil, err
		}
		s.lead = []byte(topicField + s.topic + "\n")
	}
	f.ring.Expire(time.Now())
	for _, id := range []string{r.Header.Get("Last-Event-ID"), query.Get("last_event_id"), query.Get("lastEventId")} {
		if s.resume = id; id != "" {
			break
		}
	}
	if s.resume == "" {
		var err error
		s.cursor, err = f.from(query.Get("from"))
		return s, err
	}
	if err := (sse.Event{ID: s.resume}).Validate(); err != nil {
		return nil, err
	}
	var found ringbuf.Found
	switch s.cursor, found = f.ring.Find(s.resume); found {
	case ringbuf.Evicted:
		s.missed = "evicted"
	case ringbuf.Unknown, ringbuf.Ahead:
		s.missed = "unknown"
	}
	return s, nil
}

// from returns where a stream begins that does not resume.
func (f *Feed) from(text string) (ringbuf.Cursor, error) {
	switch {
	case text == "" || text == "live":
		return f.ring.Latest(), nil
	case text == "oldest":
		return f.ring.Oldest(), nil
	case strings.HasPrefix(text, "-"):
		if n, err := strconv.Atoi(text[1:]); err == nil && n >= 0 {
			return f.ring.Last(n), nil
		}
	default:
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return f.ring.Since(t), nil
		}
	}
	return ringbuf.Cursor{}, fmt.Errorf("from is %q; it can be live, oldest, -N (the last N), or a time as 2006-01-02T15:04:05Z", text)
}

// replays reports whether the stream has a place to go on from, with something
// after it.
func (s *feedStream) replays() bool { return s.resume != "" && s.ring.Lag(s.cursor) > 0 }

func (s *feedStream) header() {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
}

// sendAway tells a client to come back. An EventSource would give up for ever
// on any other status.
func (s *feedStream) sendAway(r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		s.w.Header().Set("Retry-After", strconv.Itoa(int(s.retry()/time.Second)+1))
		http.Error(s.w, "no more streams at the moment", http.StatusServiceUnavailable)
		return
	}
	s.header()
	_, _ = s.w.Write(sse.AppendRetry(nil, s.retry()))
}

// retry returns a time of its own for each client, so that they do not return
// all at once.
func (s *feedStream) retry() time.Duration {
	base := s.feed.Retry
	return base + rand.N(base)
}

var errFeedOver = errors.New("the feed has ended")

// serve writes the stream until the client is gone or there is no more.
func (s *feedStream) serve(r *http.Request) {
	defer s.ring.Watch(s.more)()
	s.open()
	if err := s.flush(); err != nil {
		return
	}
	heartbeat := time.NewTimer(s.feed.Heartbeat)
	defer heartbeat.Stop()
	for {
		sent, err := s.advance()
		if err != nil {
			return
		}
		if sent {
			heartbeat.Reset(s.feed.Heartbeat)
			continue
		}
		if s.feed.hasEnded(s.topic) { // and the log has forgotten it
			s.event(sse.Event{Type: sse.TypeEnd, ID: s.ring.Before(s.cursor).String()})
			_ = s.flush()
			return
		}
		select {
		case <-s.more:
		case <-heartbeat.C:
			s.buf = sse.AppendComment(s.buf, "")
			if err := s.flush(); err != nil {
				return
			}
			heartbeat.Reset(s.feed.Heartbeat)
		case <-r.Context().Done():
			return
		case <-s.feed.closed:
			return
		}
	}
}

// open writes the block that a stream opens with. Its id is where the client
// stands, so that it can resume even if it is cut off before its first event.
func (s *feedStream) open() {
	id := s.resume
	if id == "" {
		id = s.ring.Before(s.cursor).String()
	}
	s.buf = sse.AppendRetry(s.buf, s.retry())
	s.event(sse.Event{Type: sse.TypeOpen, ID: id})
	if s.missed != "" {
		s.gap(s.missed)
	}
}

// gap says that events are missing before the place where the stream goes on.
func (s *feedStream) gap(reason string) {
	before := s.ring.Before(s.cursor)
	next := ringbuf.Position{Epoch: before.Epoch, Seq: before.Seq + 1}
	data, err := json.Marshal(map[string]string{
		"topic": s.topic, "last_event_id": s.resume, "oldest_id": s.ring.ID(next), "reason": reason,
	})
	if err != nil {
		panic(err) // strings only
	}
	s.event(sse.Event{Type: sse.TypeGap, Data: data, ID: before.String()})
}

// event adds an event of the stream's own, whose fields are known to be good.
func (s *feedStream) event(e sse.Event) {
	var err error
	if s.buf, err = e.Append(s.buf); err != nil {
		panic(err)
	}
}

// advance writes what comes next in the log, and reports whether there was
// anything. It fails when the stream is over.
func (s *feedStream) advance() (bool, error) {
	over := false
	for len(s.buf) < feedChunk && !over {
		e, lost, ok := s.ring.Step(&s.cursor)
		if lost > 0 { // too slow: it goes on live
			s.cursor = s.ring.Latest()
			s.gap("lapped")
			break
		}
		if !ok {
			break
		}
		if s.wants(e.Body) {
			s.buf = append(s.buf, e.Wire...)
			over = s.ends(e.Body)
		}
	}
	if len(s.buf) == 0 {
		return false, nil
	}
	err := s.flush()
	if err == nil && over {
		err = errFeedOver
	}
	return true, err
}

// wants reports whether an event is the stream's: its topic's, or the end of
// the whole feed.
func (s *feedStream) wants(body []byte) bool {
	return s.lead == nil || bytes.HasPrefix(body, s.lead) || bytes.HasPrefix(body, endLine)
}

// ends reports whether an event that the stream wants ends it.
func (s *feedStream) ends(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(body, s.lead), endLine)
}

var endLine = []byte("event: " + sse.TypeEnd + "\n")

// flush writes the buffer, to a client that takes it in time.
func (s *feedStream) flush() error {
	// A ResponseWriter without deadlines has another way to bound a write.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.feed.Stall))
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	if err != nil {
		return err
	}
	return s.control.Flush()
}
