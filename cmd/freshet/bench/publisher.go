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
	burst     int
	only      int          // the topic that all events go to; < 0: every topic in turn
	settle    func() error // called before each event is sent; nil: nothing
	due       []dueTimes
	bodies    []*io.PipeWriter // one a topic, or none
	posts     *poster          // for many topics, instead of bodies
	published []uint64         // events sent, by topic
	next      int              // the topic whose turn it is
	buffer    []byte
	answers   sync.WaitGroup
	cancel    context.CancelFunc

	mu    sync.Mutex // guards fault
	fault error      // the first refusal
}

func (r *run) newPublisher(ctx context.Context) (*publisher, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &publisher{rate: r.Rate, size: r.Size, lifelike: r.Lifelike, burst: r.Burst, only: -1, due: r.due, published: make([]uint64, r.Topics), cancel: cancel}
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: r.Insecure},
	}}
	if len(r.topics) > mostBodies {
		p.posts = newPoster(ctx, client, r.PublishURL, r.Token, r.topics, p.failed)
		return p, nil
	}
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
		p.failed(err)
		body.CloseWithError(err)
	}
}

func (p *publisher) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil {
		p.fault = err
	}
}

// publish sends events at the rate for so long; tick is called now and then.
func (p *publisher) publish(ctx context.Context, duration time.Duration, tick func(published uint64, left time.Duration)) error {
	began := time.Now()
	bursts := p.rate / float64(p.burst)
	interval := time.Duration(float64(time.Second) / bursts)
	lastTick := began
	for i := range int(duration.Seconds() * bursts) {
		due := began.Add(time.Duration(i) * interval)
		if wait := time.Until(due); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		if p.settle != nil {
			if err := p.settle(); err != nil {
				return err
			}
			due = time.Now() // who waits for the last is not late
		}
		if err := p.send(due, p.burst); err != nil {
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
	const most = 100
	for left := n; left > 0; left -= most {
		for range p.published {
			if err := p.send(time.Now(), min(left, most)); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends n events to the topic whose turn it is.
func (p *publisher) send(due time.Time, n int) error {
	topic := p.only
	if topic < 0 {
		topic = p.next
		p.next = (p.next + 1) % len(p.published)
	}
	p.buffer = p.buffer[:0]
	for range n {
		p.published[topic]++
		p.due[topic].add(p.published[topic], due.UnixNano())
		p.buffer = append(p.buffer, dataPrefix...)
		p.buffer = appendData(p.buffer, p.published[topic], due.UnixNano(), p.size, p.lifelike)
		p.buffer = append(p.buffer, blockEnd...)
	}
	if p.posts != nil {
		p.posts.send(topic, p.buffer)
		return p.refusal()
	}
	if _, err := p.bodies[topic].Write(p.buffer); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// refusal is the first there was.
func (p *publisher) refusal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
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
	if p.posts != nil {
		p.posts.close()
	}
	p.answers.Wait()
	impatient.Stop()
	p.cancel()
}
