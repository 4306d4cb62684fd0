package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"freshet/relay/netloop"
)

var errDraining = errors.New("draining")

// sweepEvery is how often age is looked at. What is asked for is looked at then.
const sweepEvery = 10 * time.Second

// Run serves the listeners until ctx ends, or one of them fails, and then, with
// notice of Config.DrainDelay, drains: who subscribes is sent away with a retry, who publishes too, and the
// subscribers are let go one after the other, over Config.Drain at most. It
// returns nil when the last is gone or the time is up. It is called once.
func (r *Relay) Run(ctx context.Context) error {
	c := &r.config
	if c.Public != nil {
		r.engine.Serve(c.Public, c.TLS)
	}
	if c.Plain != nil {
		r.engine.Serve(c.Plain, nil)
	}
	serving, stopServing := context.WithCancel(context.Background())
	defer stopServing()
	failed := make(chan error, 4)
	if c.Public != nil || c.Plain != nil {
		r.background.Go(func() {
			if err := r.engine.Run(serving); err != nil {
				failed <- fmt.Errorf("relay: %w", err)
			}
		})
	}
	if r.http3 != nil {
		if err := r.http3.Serve(c.HTTP3); err != nil {
			failed <- fmt.Errorf("relay: %w", err)
		}
		r.background.Go(func() {
			if err := r.http3.Run(serving); err != nil {
				failed <- fmt.Errorf("relay: %w", err)
			}
		})
	}
	admin := r.adminServer()
	if c.AdminListener != nil {
		r.background.Go(func() {
			if err := admin.Serve(c.AdminListener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("relay: serve admin on %s: %w", c.AdminListener.Addr(), err)
			}
		})
	}
	r.background.Go(r.sweep)

	var err error
	select {
	case <-ctx.Done():
		err = r.giveNotice(failed)
	case err = <-failed:
	}
	r.drain()
	r.stop()
	stopServing()
	r.closeAdmin(admin)
	r.background.Wait()
	return err
}

// moment is what answers that are under way are given in the end.
const moment = time.Second

// newEngine returns the engine that serves the public listeners.
func newEngine(c *Config, places *netloop.Places, handler http.Handler) *netloop.Engine {
	return &netloop.Engine{
		Handler:      handler,
		Places:       places,
		AddressShare: c.Limits.AddressShare,
		Handshakes:   c.Limits.Handshakes,
		Streams:      c.Limits.StreamsPerConnection,
		HeaderBytes:  c.Limits.HeaderBytes,
		Heartbeat:    c.Heartbeat,
		Stall:        c.Stall,
		Drain:        moment,
		Log:          c.Log,
	}
}

func (r *Relay) adminServer() *http.Server {
	return &http.Server{
		Handler:           r.Admin(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    r.config.Limits.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(r.config.Log.Handler(), slog.LevelDebug),
	}
}

func (r *Relay) closeAdmin(admin *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	if admin.Shutdown(ctx) != nil {
		admin.Close() // a profile that is being taken
	}
}

// sweep lets age do its work until the relay has stopped.
func (r *Relay) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			r.topics.sweep(now)
			r.keys.expire(now)
		case <-r.stopped.Done():
			return
		}
	}
}

// giveNotice says on /readyz that the relay is about to stop, and goes on for
// Config.DrainDelay, in which whoever sends it subscribers learns of it. One that
// is not ready anyway need not be given notice of.
func (r *Relay) giveNotice(failed <-chan error) error {
	ready := r.unready() == nil
	r.noticed.Store(true)
	if !ready || r.config.DrainDelay == 0 {
		return nil
	}
	r.config.Log.Info("not ready any more, and draining soon", "in", r.config.DrainDelay)
	over := time.NewTimer(r.config.DrainDelay)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case err := <-failed:
		return err
	}
}

// drain sends the subscribers away, and waits until they are gone or the time
// is up.
func (r *Relay) drain() {
	began := time.Now()
	log := r.config.Log
	if r.unfit() != nil && r.admission.subscribers.Load() == 0 {
		log = slog.New(slog.DiscardHandler) // it never began, and nobody leaves
	}
	r.leave()
	r.engine.Leave()
	if r.http3 != nil {
		r.http3.Leave()
	}
	log.Info("draining", "subscribers", r.admission.subscribers.Load(), "over", r.config.Drain)
	timeUp := time.NewTimer(r.config.Drain)
	defer timeUp.Stop()
	audience := int(r.admission.subscribers.Load())
	// The last are told a little before the time is up.
	spread(&r.pace, audience, r.config.Drain*9/10, r.topics.wake, nil)
	for r.admission.subscribers.Load() > 0 {
		select {
		case <-r.admission.someLeft:
		case <-timeUp.C:
			log.Warn("drained not in time", "subscribers", r.admission.subscribers.Load(), "after", time.Since(began))
			return
		}
	}
	log.Info("drained", "after", time.Since(began))
}
