//go:build linux

package bench

import (
	"context"
	"time"
)

// A pair is the same load in two forms at once: of the streams, on the same connections, every other one takes gzip.
// The two halves are published to in turn, so that whatever else the machine does meets both alike. No event is sent before
// the last has arrived everywhere: else a half that falls behind would get two in one write, and seem cheap. So
// latencies are those of one event, not of the schedule.
//
//	identity   gzip  gzip   identity   identity   gzip ...
//	 slice     slice  ...

// The topics of the halves.
const (
	pairIdentity = iota
	pairGzip
	pairForms
)

// pairRounds is how often each half is published to.
const pairRounds = 4

// A Form is what one half of a pair cost.
type Form struct {
	Name       string  `json:"-"`
	Delivered  uint64  `json:"delivered"`
	ServerCPU  float64 `json:"server_cpu_us_per_delivery,omitempty"`
	Bytes      float64 `json:"bytes_per_delivery"`
	LatencyP50 float64 `json:"latency_p50_us"`
	LatencyP99 float64 `json:"latency_p99_us"`

	cpu     time.Duration
	bytes   uint64
	latency histogram
}

// inStepBy is how many events bring every stream with gzip in step, if they are not very short.
const inStepBy = 30

// pair subscribes, rests, and publishes to the halves in turn, for the measured time to each.
func (r *run) pair(ctx context.Context, p *publisher) (*Result, error) {
	if err := r.subscribe(ctx); err != nil {
		return nil, err
	}
	r.rest(ctx)
	for topic := range pairForms {
		p.only = topic
		if err := p.send(time.Now(), inStepBy); err != nil {
			return nil, err
		}
		if err := p.publish(ctx, r.Warmup, r.tick); err != nil {
			return nil, err
		}
	}
	if err := r.complete(ctx, p); err != nil {
		return nil, err
	}
	p.settle = func() error { return r.complete(ctx, p) }
	forms := [pairForms]Form{pairIdentity: {Name: "identity"}, pairGzip: {Name: "gzip"}}
	result, err := r.charged(p, func() error {
		for i := range pairForms * pairRounds {
			topic := (i + 1) / 2 % pairForms // 0 1 1 0 0 1 1 0: what grows with time favours neither
			p.only = topic
			if err := r.slice(ctx, p, &forms[topic]); err != nil {
				return err
			}
		}
		return nil
	})
	if result != nil {
		for i := range forms {
			forms[i].divide()
		}
		result.Identity, result.Gzip = &forms[pairIdentity], &forms[pairGzip]
	}
	return result, err
}

// slice publishes to one half for its part of the time, and charges it with what that took.
func (r *run) slice(ctx context.Context, p *publisher, f *Form) error {
	before, server := r.snapshot(), r.server()
	if err := p.publish(ctx, r.Duration/pairRounds, r.tick); err != nil {
		return err
	}
	if err := r.complete(ctx, p); err != nil {
		return err
	}
	after := r.snapshot()
	f.cpu += r.server().since(server).cpu
	f.Delivered += after.delivered - before.delivered
	f.bytes += after.bytes - before.bytes
	latency := after.latency.since(&before.latency)
	f.latency.merge(&latency)
	return nil
}

func (f *Form) divide() {
	if f.Delivered == 0 {
		return
	}
	f.ServerCPU = microseconds(f.cpu) / float64(f.Delivered)
	f.Bytes = float64(f.bytes) / float64(f.Delivered)
	f.LatencyP50 = microseconds(f.latency.quantile(0.50))
	f.LatencyP99 = microseconds(f.latency.quantile(0.99))
}
