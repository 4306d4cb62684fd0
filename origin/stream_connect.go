package origin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// Over the wire a stream is one POST whose body is the events as SSE, and whose
// answer, which comes at once, is a line of JSON for each group of events that
// was committed. The request names the stream in Idempotency-Key, and in
// Freshet-Offset how many events of the stream its body leaves out at the front,
// because they are acknowledged. A line is either {"count":N,"id":"..."}: the
// events up to number N are committed, N has that id; or the members of a
// problem (RFC 9457), and the last.
const (
	offsetHeader = "Freshet-Offset"
	ackMedia     = "application/x-ndjson"
)

// connect sends what is not acknowledged, and what comes, to one relay. It
// returns nil only when the relay ended the answer after the body had ended.
func (s *Stream) connect(base string) error {
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	body := &streamBody{stream: s, more: make(chan struct{}, 1), gone: make(chan struct{}), idle: time.NewTimer(0), silence: firstHeartbeat}
	defer context.AfterFunc(ctx, func() { body.Close() })()
	s.mu.Lock()
	s.window.rewind()
	s.body = body
	s.waiting = time.Now()
	offset := s.window.acked
	s.mu.Unlock()

	req, err := s.publisher.request(ctx, http.MethodPost, eventURL(base, s.topic, nil), body)
	if err != nil {
		return invalid(s.topic, err)
	}
	req.ContentLength = -1
	req.Header.Set("Content-Type", "text/event-stream")
	req.Header.Set("Accept", ackMedia)
	req.Header.Set("Idempotency-Key", s.key)
	// A relay that refuses would otherwise have to read the endless body first:
	// HTTP/1.1 servers do.
	req.Header.Set("Expect", "100-continue")
	req.Header.Set(offsetHeader, strconv.FormatUint(offset, 10))

	// The relay has to answer, and then to acknowledge, in time.
	answering := time.AfterFunc(s.publisher.AttemptTimeout, func() { cancel(errSlow) })
	defer answering.Stop()
	resp, err := s.publisher.client.Do(req)
	if err != nil {
		return unavailable(s.topic, cutBy(ctx, reason(err)))
	}
	defer resp.Body.Close()
	answering.Stop()
	if resp.StatusCode != http.StatusOK {
		return answerError(s.topic, resp)
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != ackMedia {
		return &PublishError{Topic: s.topic, kind: ErrRefused, Detail: fmt.Sprintf("the relay answers a stream with %q, not with acknowledgements", media)}
	}
	defer s.watch(cancel).Stop()
	err = s.readAcks(resp.Body)
	var failure *PublishError
	if err != nil && !errors.As(err, &failure) {
		return unavailable(s.topic, cutBy(ctx, err))
	}
	return err
}

// cutBy returns what this side cut a connection for, if it did, else err.
func cutBy(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// watch cuts the connection when the relay is silent while there is something
// that it should say.
func (s *Stream) watch(cancel context.CancelCauseFunc) *time.Timer {
	most := s.publisher.AttemptTimeout
	var timer *time.Timer
	set := make(chan struct{})
	timer = time.AfterFunc(most, func() {
		<-set
		s.mu.Lock()
		left := most
		if s.window.pending() || s.closing {
			left = most - time.Since(s.waiting)
		}
		s.mu.Unlock()
		if left <= 0 {
			cancel(errSlow)
			return
		}
		timer.Reset(left)
	})
	close(set)
	return timer
}

// readAcks takes acknowledgements until the answer ends.
func (s *Stream) readAcks(answer io.Reader) error {
	lines := bufio.NewScanner(answer)
	lines.Buffer(make([]byte, 0, 4<<10), maxAnswer)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var line struct {
			ID string `json:"id"`
			problem
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("acknowledgement: %w", err)
		}
		if line.Status == 0 {
			if err := s.acknowledged(line.Count, line.ID); err != nil {
				return err
			}
			continue
		}
		// What was committed before the refusal was acknowledged by a line of
		// its own.
		failure := line.error(s.topic)
		if failure.final() {
			failure.Number = s.Acked() + 1
		}
		return failure
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF // which is none if everything is acknowledged
}
