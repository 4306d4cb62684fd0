package relay

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"freshet/relay/h3"
	"freshet/relay/netloop"
	"freshet/ringbuf"
)

// A Relay serves topics. Make one with New.
type Relay struct {
	// static after construction
	config    Config
	access    *access
	sharing   *sharing
	admission *admission
	keys      *publishKeys
	topics    *topics
	metrics   *metrics
	engine    *netloop.Engine   // serves the public listeners
	http3     *h3.Server        // serves Config.HTTP3; nil = there is none
	deflater  *ringbuf.Deflater // nil = nothing is compressed

	held held
	load load

	// The end of a relay, in order.
	noticed   atomic.Bool     // asked to stop: not ready any more, and goes on until it drains
	leaving   context.Context // ended when it begins to drain
	leave     context.CancelFunc
	pace      atomic.Uint32   // draining: subscribers whose lot is below it leave; see subscriber.lot
	stopped   context.Context // ended when the time for leaving is up
	stop      context.CancelFunc
	following context.Context // of all upstreams; ended with stopped

	background sync.WaitGroup // what runs beside Run and the handlers
}

// New returns a relay, or an error that names the setting that cannot be. It
// starts nothing and opens nothing; Handler answers from now on, what takes
// time (expiry, listeners, drain) happens in Run.
func New(config Config) (*Relay, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if config.Logs != nil {
		config.Committer = config.Logs
	}
	r := &Relay{
		config:    config,
		access:    newAccess(config.PublishTokens),
		sharing:   newSharing(config.Origins, len(config.PublishTokens) > 0),
		admission: newAdmission(config.Limits),
		keys:      newPublishKeys(config.Limits.PublishKeys),
		held:      held{most: int64(config.Limits.Memory) / heldShare},
	}
	if r.deflater, err = r.config.Compress.newDeflater(); err != nil {
		return nil, err
	}
	r.topics = newTopics(r)
	r.leaving, r.leave = context.WithCancel(context.Background())
	r.stopped, r.stop = context.WithCancel(context.Background())
	r.following = r.stopped
	places := netloop.NewPlaces(r.config.Limits.Connections, r.config.Limits.AddressShare)
	r.engine = newEngine(&r.config, places, advertise(r.config.HTTP3, r.Handler()))
	r.http3 = newHTTP3(&r.config, places, r.Handler())
	r.metrics = newMetrics(r, config.Metrics)
	return r, nil
}

// heldShare is the part of Limits.Memory, one in so many, that the rests of
// events that were cut may take besides.
const heldShare = 8

// draining reports whether subscribers are being sent away.
func (r *Relay) draining() bool { return r.leaving.Err() != nil }

// unready returns why the relay should not be sent subscribers; nil if it should.
func (r *Relay) unready() error {
	if r.noticed.Load() || r.draining() {
		return errDraining
	}
	return r.unfit()
}

// unfit is unready but for being asked to stop.
func (r *Relay) unfit() error {
	if r.config.Ready != nil {
		return r.config.Ready()
	}
	return nil
}

// hand gives the stream to who writes it: a loop of the engine that the request
// came by, and the handler is done; or this goroutine, where somebody else
// serves the handler.
func (r *Relay) hand(w http.ResponseWriter, req *http.Request, t *topic, s netloop.Body) {
	err := r.take(w, req, t, s)
	switch {
	case err == nil:
	case errors.Is(err, netloop.ErrForeign):
		r.drive(w, req, t, s)
	default:
		s.Close(err)
	}
}
