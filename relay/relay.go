package relay

import (
	"context"
	"errors"
	"net/http"

	"freshet/origin/sse"
)

// A Relay serves topics. Make one with New.
type Relay struct {
	config Config
}

// New returns a relay, or an error that names the setting that cannot be. It
// starts nothing and opens nothing; Handler answers from now on, what takes
// time (expiry, listeners, drain) happens in Run.
func New(config Config) (*Relay, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Relay{config: config}, nil
}

// Run serves the listeners until ctx ends, then drains: new subscribers are
// sent away, the others over Config.Drain, and it returns nil when the last is
// gone or the time is up.
func (r *Relay) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Handler answers the public listeners' requests.
func (r *Relay) Handler() http.Handler { return http.NotFoundHandler() }

// Admin answers the admin listener's requests.
func (r *Relay) Admin() http.Handler { return http.NotFoundHandler() }

// Publish commits one event under its id, or under a publish key if key is not
// empty, as a POST would.
func (r *Relay) Publish(ctx context.Context, topic, key string, e sse.Event) (Receipt, error) {
	return Receipt{}, errors.ErrUnsupported
}

// Append commits one event of a feed, and returns the id it was given.
func (r *Relay) Append(ctx context.Context, topic string, e sse.Event) (id string, err error) {
	return "", errors.ErrUnsupported
}

// Gap tells the topic's subscribers that its origin lost events after the
// newest one here.
func (r *Relay) Gap(ctx context.Context, topic string) error { return errors.ErrUnsupported }

// End ends the topic.
func (r *Relay) End(ctx context.Context, topic string) error { return errors.ErrUnsupported }

// A Receipt says what became of a publication.
type Receipt struct {
	ID        string // of its last event
	Count     uint64 // the number of its last event, counted from 1 under its key
	Duplicate bool   // all of it was known
}
