package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"freshet/origin/sse"
)

// Bounds of the wait before a reconnect.
const (
	firstRetry = 2 * time.Second // until the relay names a time
	mostRetry  = time.Minute
)

// subscription follows one topic over any number of connections, as a browser's
// EventSource does: it comes back after the time the relay named, with the last id it
// saw. Unlike a browser it also comes back after a 503, and it cuts a connection that
// is silent for longer than a relay's heartbeat allows.
type subscription struct {
	// Static after construction.
	client *http.Client
	url    string // of the topic, without a query
	from   string // where to start; "" = the relay's default
	idle   time.Duration
	event  func(sse.Event) error      // called with each event; an error ends the subscription
	lost   func(error, time.Duration) // called with each connection's end and the wait before the next
	random func() float64             // in [0, 1)
	sleep  func(context.Context, time.Duration) error

	// Owned by run.
	lastID   string
	retry    time.Duration
	failures int // connections in a row that brought no event
}

// errEnded says that the topic has ended and will bring no more.
var errEnded = errors.New("the topic has ended")

// refusal is an answer that asking again cannot mend.
type refusal struct {
	status string
	detail string // from a problem+json body (RFC 9457)
}

func (r *refusal) Error() string {
	if r.detail == "" {
		return "the relay refuses: " + r.status
	}
	return "the relay refuses: " + r.detail
}

// run follows the topic until event fails, the topic ends (errEnded), the relay refuses,
// or ctx is done.
func (s *subscription) run(ctx context.Context) error {
	s.retry = firstRetry
	for {
		err := s.connect(ctx)
		var refused *refusal
		var stopped *stopError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &stopped):
			return stopped.cause
		case errors.Is(err, errEnded) || errors.As(err, &refused):
			return err
		}
		wait := s.wait()
		s.lost(err, wait)
		if err := s.sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// stopError carries what the caller's event function said through connect.
type stopError struct{ cause error }

func (e *stopError) Error() string { return e.cause.Error() }

// wait is how long to stay away: the relay's time, doubled with each failure after the
// first, and with jitter, so that a thousand clients that were cut at once do not come back at once.
func (s *subscription) wait() time.Duration {
	base := s.retry << min(max(s.failures-1, 0), 16)
	if base > mostRetry || base < 0 {
		base = max(mostRetry, s.retry)
	}
	return base/2 + time.Duration(s.random()*float64(base))
}

// connect makes one connection and reads it to its end. It always returns an error.
func (s *subscription) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(s.idle, func() { cancel(fmt.Errorf("silent for %v", s.idle)) })
	defer silence.Stop()

	s.failures++ // until an event shows otherwise
	response, err := s.client.Do(s.request(ctx))
	if err != nil {
		return causeOf(ctx, err)
	}
	defer response.Body.Close()
	if err := judge(response); err != nil {
		return err
	}
	stream := sse.NewReader(&watchedReader{src: response.Body, heard: func() { silence.Reset(s.idle) }})
	stream.MaxEvent = 64 << 20 // what a relay may be configured to take
	stream.Reset(s.lastID)
	for {
		var event sse.Event
		err := stream.Read(&event)
		if retry, ok := stream.Retry(); ok {
			s.retry = retry
		}
		if err != nil {
			s.lastID = stream.LastEventID()
			return causeOf(ctx, err)
		}
		s.failures = 0
		s.lastID = stream.LastEventID()
		if event.Type == sse.TypeEnd {
			return errEnded
		}
		if err := s.event(event); err != nil {
			return &stopError{err}
		}
	}
}

// request asks for what comes after the last event, or first for where to begin.
func (s *subscription) request(ctx context.Context) *http.Request {
	address := s.url
	if s.from != "" && s.lastID == "" {
		address += "?" + url.Values{"from": {s.from}}.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		panic(err) // the address was parsed before
	}
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Cache-Control", "no-store")
	if s.lastID != "" {
		request.Header.Set("Last-Event-ID", s.lastID)
	}
	return request
}

// judge tells a stream from the other answers.
func judge(response *http.Response) error {
	switch code := response.StatusCode; {
	case code == http.StatusOK:
		mediaType, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
		if !strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream") {
			return &refusal{detail: fmt.Sprintf("the answer is %q, not text/event-stream: is this a relay?", mediaType)}
		}
		return nil
	case code == http.StatusNoContent: // "stop": HTML, section 9.2.3
		return errEnded
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return fmt.Errorf("answered %s", response.Status)
	}
	return &refusal{status: response.Status, detail: problemDetail(response)}
}

// problemDetail reads what a problem+json body says, or "".
func problemDetail(response *http.Response) string {
	var problem struct{ Title, Detail string }
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil || json.Unmarshal(body, &problem) != nil {
		return ""
	}
	if problem.Detail != "" {
		return problem.Detail
	}
	return problem.Title
}

// causeOf prefers the reason ctx was cancelled for over "context canceled", and says
// plainly that a stream just ended.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the stream ended")
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err // the URL is known
	}
	return err
}

// watchedReader tells of each read that brought bytes.
type watchedReader struct {
	src   io.Reader
	heard func()
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if n > 0 {
		r.heard()
	}
	return n, err
}

// sleepFor waits for d, or for the end of ctx.
func sleepFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newSubscription returns one with real time and chance in it.
func newSubscription(client *http.Client, topicURL string) *subscription {
	return &subscription{client: client, url: topicURL, idle: time.Minute, random: rand.Float64, sleep: sleepFor}
}
