package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

var errDraining = errors.New("draining")

// sweepEvery is how often age is looked at. What is asked for is looked at then.
const sweepEvery = 10 * time.Second

// Run serves the listeners until ctx ends, or one of them fails, and then
// drains: who subscribes is sent away with a retry, who publishes too, and the
// subscribers are let go one after the other, over Config.Drain at most. It
// returns nil when the last is gone or the time is up. It is called once.
func (r *Relay) Run(ctx context.Context) error {
	servers := r.servers()
	failed := make(chan error, len(servers))
	for _, s := range servers {
		r.background.Go(func() {
			if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("relay: serve %s: %w", s.listener.Addr(), err)
			}
		})
	}
	r.background.Go(r.sweep)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	r.drain()
	r.stop()
	for _, s := range servers {
		s.stop()
	}
	r.background.Wait()
	return err
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

// drain sends the subscribers away, and waits until they are gone or the time
// is up.
func (r *Relay) drain() {
	began := time.Now()
	r.leave()
	r.config.Log.Info("draining", "subscribers", r.admission.subscribers.Load(), "over", r.config.Drain)
	timeUp := time.NewTimer(r.config.Drain)
	defer timeUp.Stop()
	audience := int(r.admission.subscribers.Load())
	// The last are told a little before the time is up.
	spread(&r.pace, audience, r.config.Drain*9/10, r.topics.wake, nil)
	for r.admission.subscribers.Load() > 0 {
		select {
		case <-r.admission.someLeft:
		case <-timeUp.C:
			r.config.Log.Warn("drained not in time", "subscribers", r.admission.subscribers.Load(), "after", time.Since(began))
			return
		}
	}
	r.config.Log.Info("drained", "after", time.Since(began))
}

// server is one listener and what serves it.
type server struct {
	listener net.Listener
	http     *http.Server
	tls      bool
}

// servers returns one for each listener there is.
func (r *Relay) servers() []*server {
	var list []*server
	add := func(l net.Listener, handler http.Handler, protocols func(*http.Protocols)) *server {
		if l == nil {
			return &server{http: &http.Server{}}
		}
		s := &server{listener: l, http: &http.Server{
			Handler:           handler,
			Protocols:         new(http.Protocols),
			ReadHeaderTimeout: headerTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    r.config.Limits.HeaderBytes,
			HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: r.config.Limits.StreamsPerConnection},
			ErrorLog:          slog.NewLogLogger(r.config.Log.Handler(), slog.LevelDebug),
		}}
		s.http.Protocols.SetHTTP1(true)
		protocols(s.http.Protocols)
		list = append(list, s)
		return s
	}
	public := add(r.config.Public, r.Handler(), func(p *http.Protocols) { p.SetHTTP2(true) })
	public.tls = true
	public.http.TLSConfig = r.config.TLS.Clone()
	add(r.config.Plain, r.Handler(), func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	add(r.config.AdminListener, r.Admin(), func(*http.Protocols) {})
	return list
}

const (
	headerTimeout = 10 * time.Second // for a request's header to come
	idleTimeout   = 2 * time.Minute  // of a connection without a request
)

func (s *server) serve() error {
	if s.tls {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// stop closes the server, and gives answers that are under way a moment.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}
