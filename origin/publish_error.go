package origin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What became of a publication that was not committed, for errors.Is. Except for
// ErrUnavailable it is final: to try again would end the same.
var (
	ErrRefused      = errors.New("refused")      // the event or the topic is not as it must be
	ErrTooLarge     = errors.New("too large")    // the event
	ErrUnauthorized = errors.New("unauthorized") // the token is missing or wrong
	ErrConflict     = errors.New("conflict")     // the id was used for another event
	ErrEnded        = errors.New("ended")        // the topic
	ErrUnavailable  = errors.New("unavailable")  // no relay could be reached, or none could commit, in time
)

// A PublishError says why a publication failed. It matches one of the errors
// above, and whatever caused it.
type PublishError struct {
	Topic  string
	Number uint64 // of the event in a Stream, counted from 1; 0 = not in a Stream, or not about one event
	Status int    // of the relay's answer; 0 = it gave none
	Detail string // in words
	Field  string // what is wrong with what was published: topic, id, event, key, data; "" = none of these
	Limit  string // the relay's limit that was met, as in its configuration
	Max    int64  // that limit
	Err    error  // what caused it; nil = the relay's answer

	kind  error
	after time.Duration // when the relay wants to be asked again
}

func (e *PublishError) Error() string {
	var b strings.Builder
	b.WriteString("publish to " + e.Topic)
	if e.Number > 0 {
		b.WriteString(": event " + strconv.FormatUint(e.Number, 10))
	}
	b.WriteString(": " + e.kind.Error())
	if e.Status > 0 {
		fmt.Fprintf(&b, " (%d)", e.Status)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Is reports whether target is the kind of the error.
func (e *PublishError) Is(target error) bool { return target == e.kind }

// Unwrap returns what caused the error.
func (e *PublishError) Unwrap() error { return e.Err }

// final reports whether to try again would end the same.
func (e *PublishError) final() bool { return e.kind != ErrUnavailable }

// invalid is about something that is not sent at all.
func invalid(topic string, err error) *PublishError {
	return &PublishError{Topic: topic, Err: err, kind: ErrRefused}
}

// unavailable is about trouble on the way.
func unavailable(topic string, err error) *PublishError {
	return &PublishError{Topic: topic, Err: err, kind: ErrUnavailable}
}

// A problem is a relay's refusal, in the form of RFC 9457.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Field  string `json:"field"`
	Limit  string `json:"limit"`
	Max    int64  `json:"max"`
	Count  uint64 `json:"count"`
}

func (p *problem) error(topic string) *PublishError {
	e := &PublishError{Topic: topic, Status: p.Status, Detail: p.Detail, Field: p.Field, Limit: p.Limit, Max: p.Max, kind: kindOf(p.Status)}
	if e.Detail == "" {
		e.Detail = p.Title
	}
	return e
}

// answerError is the error of an answer that is no success.
func answerError(topic string, resp *http.Response) *PublishError {
	p := problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		// Cut short or garbled, it still is a refusal.
		_ = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p)
		p.Status = resp.StatusCode
	}
	e := p.error(topic)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.after = time.Duration(min(seconds, 3600)) * time.Second
	}
	return e
}

func kindOf(status int) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return ErrUnauthorized
	case http.StatusConflict:
		return ErrConflict
	case http.StatusGone:
		return ErrEnded
	case http.StatusRequestEntityTooLarge:
		return ErrTooLarge
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return ErrUnavailable
	}
	if status >= 400 && status < 500 || status >= 300 && status < 400 {
		return ErrRefused
	}
	return ErrUnavailable
}
