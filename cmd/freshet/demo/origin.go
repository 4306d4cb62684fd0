package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// An Origin publishes a Show to a relay. Set the fields, then call Run once.
type Origin struct {
	// Relay is the URL below which the relay's /events/ lies: "http://127.0.0.1:8080".
	Relay string

	// Seed chooses the show.
	Seed uint64

	// Pace is how fast the show runs: 2 is twice as fast. Zero means 1.
	Pace float64

	// Token is sent as a bearer token. Empty sends none.
	Token string

	// Client makes the requests. Nil means one of the origin's own, which
	// gives up on a request after ten seconds.
	Client *http.Client

	// Log is told of requests that had to be made again. Nil means slog.Default.
	Log *slog.Logger

	run  atomic.Pointer[string]
	sent [len(Topics)]atomic.Uint64 // by place in Topics: events the relay has acknowledged
}

// stamp comes first in every event's data; see the package comment.
type stamp struct {
	N    uint64  `json:"n"`
	Sent float64 `json:"sent"`
	Run  string  `json:"run"`
}

// Refused is the relay's answer to an event that no retry would mend.
type Refused struct {
	Topic  string
	Status int
	Reason string // the start of the answer's body
}

func (e *Refused) Error() string {
	return fmt.Sprintf("publish to %s: the relay answered %d: %s", e.Topic, e.Status, e.Reason)
}

const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 3 * time.Second
	reasonBytes  = 300
)

// Run publishes until ctx ends, then returns nil. It returns an error only
// when the relay refuses an event for good.
func (o *Origin) Run(ctx context.Context) error {
	began := time.Now()
	run := strconv.FormatInt(began.UnixMilli(), 36)
	o.run.Store(&run)
	client := o.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
		defer client.CloseIdleConnections()
	}
	pace := o.Pace
	if pace <= 0 {
		pace = 1
	}

	began = began.Add(-time.Duration(float64(overture) / pace))
	show := NewShow(o.Seed)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		at, messages := show.Next()
		due := began.Add(time.Duration(float64(at) / pace))
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		for _, m := range messages {
			if err := o.publish(ctx, client, run, m); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
		// A relay that was away for a while makes the show late; the rest of
		// it is not played in a hurry.
		if late := time.Since(due); at > overture && late > time.Second {
			began = began.Add(late)
		}
	}
}

// Progress says how many events of each topic the relay has acknowledged, and
// in which run. Before Run the run is empty.
func (o *Origin) Progress() (run string, sent map[string]uint64) {
	sent = make(map[string]uint64, len(Topics))
	for i, topic := range Topics {
		sent[topic] = o.sent[i].Load()
	}
	if p := o.run.Load(); p != nil {
		run = *p
	}
	return run, sent
}

// publish posts one event until the relay has it. The bytes stay the same from
// try to try, and so does the key, so an answer that got lost doubles nothing.
func (o *Origin) publish(ctx context.Context, client *http.Client, run string, m Message) error {
	counter := o.counter(m.Topic)
	s := stamp{N: counter.Load() + 1, Sent: float64(time.Now().UnixMicro()) / 1000, Run: run}
	body, err := encode(s, m.Body)
	if err != nil {
		return fmt.Errorf("encode an event of %s: %w", m.Topic, err)
	}
	target := fmt.Sprintf("%s/events/%s?%s", strings.TrimSuffix(o.Relay, "/"), m.Topic,
		url.Values{"event": {m.Type}, "key": {m.Key}}.Encode())
	key := fmt.Sprintf("%s-%s-%d", run, strings.ReplaceAll(m.Topic, "/", "-"), s.N)

	for wait := firstRetry; ; wait = min(2*wait, longestRetry) {
		err := o.post(ctx, client, target, key, m.Topic, body)
		if err == nil {
			counter.Store(s.N)
			return nil
		}
		var refused *Refused
		if errors.As(err, &refused) || ctx.Err() != nil {
			return err
		}
		o.log().Warn("publish again", "topic", m.Topic, "n", s.N, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
	}
}

func (o *Origin) post(ctx context.Context, client *http.Client, target, key, topic string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	if o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+o.Token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // read, so the connection is used again
	switch code := resp.StatusCode; {
	case code == http.StatusOK || code == http.StatusCreated:
		return nil
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return fmt.Errorf("the relay answered %s", resp.Status)
	default:
		reason := strings.TrimSpace(string(answer[:min(len(answer), reasonBytes)]))
		return &Refused{Topic: topic, Status: code, Reason: reason}
	}
}

func (o *Origin) counter(topic string) *atomic.Uint64 {
	for i, t := range Topics {
		if t == topic {
			return &o.sent[i]
		}
	}
	panic("demo: no such topic: " + topic)
}

func (o *Origin) log() *slog.Logger {
	if o.Log != nil {
		return o.Log
	}
	return slog.Default()
}

// encode puts the stamp's fields before the body's, in one flat object: it is
// what one wants to read with curl.
func encode(s stamp, body any) ([]byte, error) {
	head, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	rest, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return append(append(head[:len(head)-1], ','), rest[1:]...), nil
}
