package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A receipt is an acknowledgement of one event.
type receipt struct {
	number    int
	id        string
	duplicate bool          // it had been committed by an attempt before
	took      time.Duration // from the first attempt on
	tries     int
}

// A poster publishes numbered events one after the other: the next when the one before is acknowledged. What fails is
// tried again under the same key, at the relay that where names then.
type poster struct {
	// Static after construction.
	t      testing.TB
	name   string
	topic  string
	rate   float64                // events a second at most; 0: as fast as they are acknowledged
	where  func(tries int) string // URL of the relay to go to
	client *http.Client
	token  string // that it publishes with; empty: none
	over   chan struct{}

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed and replaced
	acked   []receipt
	failed  map[string]int // attempts, by how
	stopped bool           // it ends when the event under way is acknowledged
}

// attempt is how long an attempt may take: longer than a relay looks for an owner.
const attempt = 8 * time.Second

func newPoster(t testing.TB, name, topic string, where func(tries int) string) *poster {
	p := &poster{
		t: t, name: name, topic: topic, where: where, over: make(chan struct{}), changed: make(chan struct{}),
		client: manner{}.client(), failed: map[string]int{},
	}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// post publishes until it is told to stop, or count events (0: no bound) are acknowledged; each of set may change it first.
func post(t testing.TB, name, topic string, rate float64, count int, where func(tries int) string, set ...func(*poster)) *poster {
	t.Helper()
	p := newPoster(t, name, topic, where)
	p.rate = rate
	for _, do := range set {
		do(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(p.over)
		p.run(ctx, count)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.over
	})
	return p
}

func (p *poster) run(ctx context.Context, count int) {
	began := time.Now()
	for number := 1; count == 0 || number <= count; number++ {
		if p.rate > 0 {
			due := began.Add(time.Duration(float64(number-1) / p.rate * float64(time.Second)))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
			}
		}
		p.mu.Lock()
		stopped := p.stopped
		p.mu.Unlock()
		if stopped || !p.publish(ctx, number) {
			return
		}
	}
}

// publish publishes one event, and reports whether it is acknowledged: it goes on until ctx ends.
func (p *poster) publish(ctx context.Context, number int) bool {
	began := time.Now()
	for tries := 1; ctx.Err() == nil; tries++ {
		r, err := p.try(ctx, p.where(tries), number)
		if err == nil {
			r.took, r.tries = time.Since(began), tries
			p.change(func() { p.acked = append(p.acked, r) })
			return true
		}
		p.change(func() { p.failed[kindOf(err)]++ })
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// try makes one attempt.
func (p *poster) try(ctx context.Context, relay string, number int) (receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	event := fmt.Sprint(p.name, " ", number)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, relay+"/events/"+p.topic, strings.NewReader(event))
	if err != nil {
		return receipt{}, err
	}
	req.Header.Set("Idempotency-Key", event)
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return receipt{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return receipt{}, err
	}
	if res.StatusCode/100 != 2 {
		return receipt{}, fmt.Errorf("status %d", res.StatusCode)
	}
	var answer struct {
		ID        string `json:"id"`
		Count     int    `json:"count"`
		Duplicate bool   `json:"duplicate"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return receipt{}, err
	}
	if answer.ID == "" || answer.Count != 1 || answer.Duplicate != (res.StatusCode == http.StatusOK) {
		p.t.Errorf("%s: status %d and the answer %s", event, res.StatusCode, body)
	}
	return receipt{number: number, id: answer.ID, duplicate: answer.Duplicate}, nil
}

func (p *poster) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	close(p.changed)
	p.changed = make(chan struct{})
}

// acks are the acknowledgements so far.
func (p *poster) acks() []receipt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.acked)
}

// awaitAcked waits until so many events are acknowledged.
func (p *poster) awaitAcked(count int) {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		done, changed := len(p.acked) >= count, p.changed
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			p.t.Fatalf("%s waited %v for %d acknowledgements: %s", p.name, patience, count, p)
		}
	}
}

// awaitMore waits until each of them has so many more acknowledgements than now.
func awaitMore(count int, posters ...*poster) {
	before := make([]int, len(posters))
	for i, p := range posters {
		p.t.Helper()
		before[i] = len(p.acks())
	}
	for i, p := range posters {
		p.awaitAcked(before[i] + count)
	}
}

// finish has it stop when what it is about is acknowledged.
func (p *poster) finish() *poster {
	p.t.Helper()
	p.change(func() { p.stopped = true })
	select {
	case <-p.over:
	case <-time.After(patience):
		p.t.Fatalf("%s cannot end: %s", p.name, p)
	}
	return p
}

// slowest is the acknowledgement that took longest.
func (p *poster) slowest() (slowest receipt) {
	for _, r := range p.acks() {
		if r.took > slowest.took {
			slowest = r
		}
	}
	return slowest
}

func (p *poster) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%d acknowledged, attempts failed %v", len(p.acked), p.failed)
}
