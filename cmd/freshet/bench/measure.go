//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// measure is the run from the first connection to the report. The pollers read all the time; what they count is
// looked at between the phases.
func (r *run) measure(ctx context.Context) (*Result, error) {
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	var pollers sync.WaitGroup
	for _, p := range r.pollers {
		pollers.Go(func() {
			if err := p.run(reading, func(_ *connection, err error) { r.failed(err) }); err != nil {
				r.failed(err)
			}
		})
	}
	defer pollers.Wait()
	defer stop()
	defer r.progress("")
	p, err := r.newPublisher(ctx)
	if err != nil {
		return nil, err
	}
	defer p.close()
	switch {
	case r.Replay > 0:
		return r.replay(ctx, p)
	case r.Pair:
		return r.pair(ctx, p)
	}
	return r.live(ctx, p)
}

// live subscribes, rests, and then publishes for the measured time.
func (r *run) live(ctx context.Context, p *publisher) (*Result, error) {
	empty, err := r.heap(ctx)
	if err != nil {
		return nil, err
	}
	bare := r.server()
	if err := r.subscribe(ctx); err != nil {
		return nil, err
	}
	idle := r.rest(ctx)
	full, err := r.heap(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.publish(ctx, r.Warmup, r.tick); err != nil {
		return nil, err
	}
	result, err := r.charged(p, func() error {
		if err := p.publish(ctx, r.Duration, r.tick); err != nil {
			return err
		}
		return r.complete(ctx, p)
	})
	if result != nil && r.ServerPID != 0 {
		result.ServerMemory = int64(idle.memory) - int64(bare.memory)
		result.MemoryPerSubscriber = float64(result.ServerMemory) / float64(result.Subscribers)
		result.MemoryPerConnection = float64(result.ServerMemory) / float64(r.Connections)
	}
	if result != nil && r.AdminURL != "" {
		after, failed := r.heap(ctx)
		if failed != nil {
			return result, failed
		}
		result.weigh(empty, full, after)
	}
	return result, err
}

// replay publishes first and then measures how everybody who subscribes gets all of it.
func (r *run) replay(ctx context.Context, p *publisher) (*Result, error) {
	if err := p.fill(r.Replay); err != nil {
		return nil, err
	}
	return r.charged(p, func() error {
		if err := r.subscribe(ctx); err != nil {
			return err
		}
		return r.complete(ctx, p)
	})
}

// complete waits until everybody has everything.
func (r *run) complete(ctx context.Context, p *publisher) error {
	return r.await(ctx, "deliveries", r.expected(p), func(t *tally) uint64 { return t.delivered + t.lost })
}

// charged runs phase and reports what it took. A result comes with every error that leaves something to report.
func (r *run) charged(p *publisher, phase func() error) (*Result, error) {
	r.begun()
	before := r.snapshot()
	serverBefore, selfBefore, began := r.server(), self(), time.Now()
	err := phase()
	if err != nil && !errors.Is(err, ErrIncomplete) {
		return nil, err
	}
	after, elapsed := r.snapshot(), time.Since(began)
	r.decode(p, &after)
	result := r.result(p, before, after, elapsed)
	result.charge(r.server().since(serverBefore), self().since(selfBefore))
	if err == nil {
		err = result.verdict()
	}
	return result, err
}

// beside runs probe during the measured phase of l, and puts what it found beside l's result.
func (l Load) beside(ctx context.Context, probe Load) (*Result, error) {
	var small *Result
	var smallErr error
	var running sync.WaitGroup
	l.begun = func() {
		running.Go(func() { small, smallErr = probe.Run(ctx) })
	}
	result, err := l.Run(ctx)
	running.Wait()
	if err == nil {
		err = smallErr
	}
	if result != nil {
		result.Beside = small
	}
	return result, err
}

// expected is how many deliveries everything that p published makes.
func (r *run) expected(p *publisher) (deliveries uint64) {
	streams := r.Connections * r.Streams
	for topic, published := range p.published {
		listening := streams / r.Topics
		if topic < streams%r.Topics {
			listening++
		}
		deliveries += published * uint64(listening)
	}
	return deliveries
}

// patience is how long nothing may change before a run gives up waiting.
const patience = 15 * time.Second

// await waits until count over all pollers reaches want, as long as it goes on growing.
func (r *run) await(ctx context.Context, what string, want uint64, count func(*tally) uint64) error {
	best, since := uint64(0), time.Now()
	for {
		s := r.snapshot()
		got := count(&s)
		if got >= want {
			return nil
		}
		if got > best {
			best, since = got, time.Now()
		}
		r.progress("%s: %d of %d", what, got, want)
		if time.Since(since) > patience {
			if err := r.firstFault(); err != nil {
				return fmt.Errorf("%s: %d of %d: %w", what, got, want, err)
			}
			return fmt.Errorf("%s: %d of %d, and nothing more for %v: %w", what, got, want, patience, ErrIncomplete)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// rest holds the idle streams for r.Idle and returns the server's usage at its end.
func (r *run) rest(ctx context.Context) usage {
	end := time.Now().Add(r.Idle)
	for time.Now().Before(end) && ctx.Err() == nil {
		r.progress("idle, %v left", time.Until(end).Round(time.Second))
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return r.server()
}

// snapshot merges what all pollers counted so far.
func (r *run) snapshot() (sum tally) {
	for _, p := range r.pollers {
		p.guard.Lock()
		sum.merge(&p.tally)
		p.guard.Unlock()
	}
	return sum
}

func (t *tally) merge(o *tally) {
	t.delivered += o.delivered
	t.lost += o.lost
	t.doubled += o.doubled
	t.gaps += o.gaps
	t.ends += o.ends
	t.foreign += o.foreign
	t.opened += o.opened
	t.heartbeats += o.heartbeats
	t.bytes += o.bytes
	t.latency.merge(&o.latency)
}

// tick renews the progress line while events are published.
func (r *run) tick(published uint64, left time.Duration) {
	s := r.snapshot()
	r.progress("%v left: %d events published, %d delivered, p99 %v, %d lost, %d doubled", left.Round(100*time.Millisecond),
		published, s.delivered, s.latency.quantile(0.99).Round(10*time.Microsecond), s.lost, s.doubled)
}
