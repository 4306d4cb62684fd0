//go:build linux

package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// A publisher sends events at times fixed in advance, each over a body that stays open: one per topic. It never
// waits for an answer, so a slow relay shows up as latency and not as fewer events.
type publisher struct {
	rate      float64
	size      int
	lifelike  bool
	due       []dueTimes
	bodies    []*io.PipeWriter
	published []uint64 // events sent, by topic
	next      int      // the topic whose turn it is
	buffer    []byte
	answers   sync.WaitGroup
	cancel    context.CancelFunc

	mu    sync.Mutex // guards fault
	fault error      // the first refusal
}

func (r *run) newPublisher(ctx context.Context) (*publisher, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &publisher{rate: r.Rate, size: r.Size, lifelike: r.Lifelike, due: r.due, published: make([]uint64, r.Topics), cancel: cancel}
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: r.Insecure},
	}}
	for _, topic := range r.topics {
		body, in := io.Pipe()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.PublishURL+"/events/"+topic, body)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("-publish-url: %w", err)
		}
		request.Header.Set("Content-Type", "text/event-stream")
		if r.Token != "" {
			request.Header.Set("Authorization", "Bearer "+r.Token)
		}
		p.bodies = append(p.bodies, in)
		p.answers.Go(func() { p.refused(body, client, request) })
	}
	return p, nil
}

// refused waits for the answer to one body, which comes when the body ends, or at once when it is refused.
func (p *publisher) refused(body *io.PipeReader, client *http.Client, request *http.Request) {
	answer, err := client.Do(request)
	if err == nil {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
		answer.Body.Close()
		if answer.StatusCode/100 != 2 {
			err = fmt.Errorf("the relay refused to be published to: %s: %s", answer.Status, text)
		}
	}
	if err != nil {
		p.mu.Lock()
		if p.fault == nil {
			p.fault = err
		}
		p.mu.Unlock()
		body.CloseWithError(err)
	}
}

// publish sends events at the rate for so long; tick is called now and then.
func (p *publisher) publish(ctx context.Context, duration time.Duration, tick func(published uint64, left time.Duration)) error {
	began := time.Now()
	interval := time.Duration(float64(time.Second) / p.rate)
	lastTick := began
	for i := range int(duration.Seconds() * p.rate) {
		due := began.Add(time.Duration(i) * interval)
		if wait := time.Until(due); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		if err := p.send(due); err != nil {
			return err
		}
		if time.Since(lastTick) > 200*time.Millisecond {
			lastTick = time.Now()
			tick(p.sum(), time.Until(began.Add(duration)))
		}
	}
	return nil
}

// fill sends n events to each topic at once.
func (p *publisher) fill(n int) error {
	for range n * len(p.bodies) {
		if err := p.send(time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// send sends one event to the topic whose turn it is.
func (p *publisher) send(due time.Time) error {
	topic := p.next
	p.next = (p.next + 1) % len(p.bodies)
	p.published[topic]++
	p.due[topic].add(p.published[topic], due.UnixNano())
	p.buffer = append(p.buffer[:0], dataPrefix...)
	p.buffer = appendData(p.buffer, p.published[topic], due.UnixNano(), p.size, p.lifelike)
	p.buffer = append(p.buffer, blockEnd...)
	if _, err := p.bodies[topic].Write(p.buffer); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

func (p *publisher) sum() (n uint64) {
	for _, published := range p.published {
		n += published
	}
	return n
}

// close ends the bodies and waits for their answers, a moment at most.
func (p *publisher) close() {
	for _, body := range p.bodies {
		body.Close()
	}
	impatient := time.AfterFunc(2*time.Second, p.cancel)
	p.answers.Wait()
	impatient.Stop()
	p.cancel()
}
