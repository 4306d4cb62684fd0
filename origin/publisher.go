package origin

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"freshet/origin/sse"
)

// An Event is what is published. Data is all it needs.
type Event = sse.Event

// A Publisher posts events to relays. Set the fields, then use it from as many
// goroutines as you like; the fields must not change after.
type Publisher struct {
	// Relays are the base URLs of relays of one cluster, such as
	// "https://relay.example". One is used for as long as it answers, then the
	// next.
	Relays []string
	// Token is sent as bearer token. "" = none.
	Token string
	// TLS is for relays with an authority of their own, or which ask for a
	// certificate. nil = the system's authorities, no certificate.
	TLS *tls.Config
	// Client makes the requests instead of one of the Publisher's own, which
	// keeps connections alive and speaks HTTP/1.1 and HTTP/2. It must not
	// have a Timeout, which would end streams.
	Client *http.Client
	// AttemptTimeout is how long one attempt may take, and how long a Stream
	// waits for an acknowledgement, before another is made. 0 = 10 s.
	AttemptTimeout time.Duration
	// Retry is the base of the backoff between attempts. 0 = 100 ms.
	Retry time.Duration
	// MaxRetry bounds the backoff. 0 = 5 s.
	MaxRetry time.Duration

	once    sync.Once
	err     error // what is wrong with the fields above
	relays  []string
	client  *http.Client
	current atomic.Uint32 // of relays, the one in use
}

// Publish publishes one event, and returns its id once it is committed. An event
// without an id gets one of the relay's. Until ctx ends it tries again, at the
// next relay, whatever goes wrong on the way; a retry never publishes the event
// twice. Errors are *PublishError.
func (p *Publisher) Publish(ctx context.Context, topic string, e Event) (id string, err error) {
	if err := p.check(topic, e); err != nil {
		return "", err
	}
	query := make(url.Values)
	for name, value := range map[string]string{"id": e.ID, "event": e.Type, "key": e.Key} {
		if value != "" {
			query.Set(name, value)
		}
	}
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if e.ID == "" {
		// The relay remembers it beyond all retries. With an id it remembers
		// that.
		header.Set("Idempotency-Key", rand.Text())
	}
	var receipt struct{ ID string }
	err = p.try(ctx, topic, func(ctx context.Context, base string) error {
		return p.post(ctx, topic, eventURL(base, topic, query), header, e.Data, &receipt)
	})
	return receipt.ID, err
}

// End ends the topic: its subscribers are told, and nobody can publish to it for
// an hour. Errors are *PublishError.
func (p *Publisher) End(ctx context.Context, topic string) error {
	if err := p.check(topic, Event{}); err != nil {
		return err
	}
	return p.try(ctx, topic, func(ctx context.Context, base string) error {
		req, err := p.request(ctx, http.MethodDelete, eventURL(base, topic, nil), nil)
		if err != nil {
			return invalid(topic, err)
		}
		resp, err := p.client.Do(req)
		if err != nil {
			return unavailable(topic, reason(err))
		}
		defer discard(resp.Body)
		if resp.StatusCode/100 != 2 {
			return answerError(topic, resp)
		}
		return nil
	})
}

func (p *Publisher) post(ctx context.Context, topic, url string, header http.Header, data []byte, receipt any) error {
	req, err := p.request(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return invalid(topic, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return unavailable(topic, reason(err))
	}
	defer discard(resp.Body)
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return answerError(topic, resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(receipt); err != nil {
		return unavailable(topic, fmt.Errorf("answer of %s: %w", req.URL.Host, err))
	}
	return nil
}

// maxAnswer bounds what is read of a relay's answer, in bytes.
const maxAnswer = 64 << 10

// discard lets the connection be used again.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxAnswer)
	body.Close()
}

// try makes attempts until one succeeds, one fails for good, or ctx ends.
func (p *Publisher) try(ctx context.Context, topic string, attempt func(ctx context.Context, base string) error) error {
	wait := p.newBackoff()
	for tried := 1; ; tried++ {
		current := p.current.Load()
		one, cancel := context.WithTimeoutCause(ctx, p.AttemptTimeout, errSlow)
		err := attempt(one, p.base(current))
		cancel()
		var failure *PublishError
		if !errors.As(err, &failure) || failure.final() {
			return err
		}
		if ctx.Err() != nil {
			return failure.with(context.Cause(ctx))
		}
		p.failover(current)
		delay := failure.after
		if tried%len(p.relays) == 0 {
			delay = max(delay, wait.next(random))
		}
		if err := sleep(ctx, min(delay, p.MaxRetry)); err != nil {
			return failure.with(err)
		}
	}
}

var errSlow = errors.New("no answer in time")

// with adds why there is no further attempt to what went wrong in the last.
func (e *PublishError) with(cause error) *PublishError {
	both := *e
	switch {
	case e.Err == nil:
		both.Err = cause
	case !errors.Is(e.Err, cause):
		both.Err = fmt.Errorf("%w, after: %w", cause, e.Err)
	}
	return &both
}

// sleep waits, or returns why it did not.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failover goes on to the next relay, unless somebody else has already.
func (p *Publisher) failover(from uint32) { p.current.CompareAndSwap(from, from+1) }

func (p *Publisher) base(current uint32) string { return p.relays[int(current)%len(p.relays)] }

func (p *Publisher) newBackoff() backoff { return backoff{base: p.Retry, most: p.MaxRetry} }

func (p *Publisher) request(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "freshet")
	req.Header.Set("Accept", "application/json")
	if p.Token != "" {
		req.Header.Set("Authorization", "Bearer "+p.Token)
	}
	return req, nil
}

func eventURL(base, topic string, query url.Values) string {
	text := base + "/events/" + topic
	if len(query) > 0 {
		text += "?" + query.Encode()
	}
	return text
}

// check sets the publisher up, and finds what need not be sent to be refused.
func (p *Publisher) check(topic string, e Event) error {
	p.once.Do(p.setUp)
	if p.err != nil {
		return invalid(topic, p.err)
	}
	if _, err := sse.ParseTopic(topic); err != nil {
		failure := invalid(topic, err)
		failure.Field = "topic"
		return failure
	}
	if err := e.Validate(); err != nil {
		failure := invalid(topic, err)
		var field *sse.FieldError
		if errors.As(err, &field) {
			failure.Field = field.Field
		}
		return failure
	}
	return nil
}

func (p *Publisher) setUp() {
	if len(p.Relays) == 0 {
		p.err = errors.New("origin: the publisher has no relays")
	}
	for _, relay := range p.Relays {
		if err := checkURL(relay); err != nil {
			p.err = fmt.Errorf("origin: relay: %w", err)
		}
		p.relays = append(p.relays, strings.TrimRight(relay, "/"))
	}
	def(&p.AttemptTimeout, 10*time.Second)
	def(&p.Retry, 100*time.Millisecond)
	def(&p.MaxRetry, 5*time.Second)
	if p.client = p.Client; p.client == nil {
		p.client = &http.Client{Transport: newTransport(p.TLS)}
	}
}
