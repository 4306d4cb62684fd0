package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/cmd/freshet/config"
	"freshet/origin"
)

// feeds are the origins that a relay pulls. Those of one topic or a prefix run as long
// as the relay does, or in a cluster at one of the relays; a template's are opened when the
// relay asks for a topic.
type feeds struct {
	// Static after construction.
	steady    []*origin.Source
	templates []*origin.Source          // the longest prefix first
	known     map[*origin.Source]string // what other relays know them by
	metrics   *feedMetrics

	cluster *clusterFeeds // set by join; nil: each relay pulls them for itself
}

// feedMetrics tell where feeds are pulled.
type feedMetrics struct {
	pulled    prometheus.Gauge
	topics    prometheus.Gauge
	takeovers prometheus.Counter
}

func newFeedMetrics(r prometheus.Registerer) *feedMetrics {
	m := &feedMetrics{
		pulled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "freshet_feeds_pulled", Help: "Feeds of one topic or a prefix that this relay pulls. In a cluster each is pulled by one relay.",
		}),
		topics: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "freshet_feed_topics_pulled", Help: "Topics of templates that this relay pulls. In a cluster a topic is pulled by its owner.",
		}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "freshet_feed_takeovers_total", Help: "Feeds that this relay went on with where another relay of the cluster had stopped.",
		}),
	}
	if r != nil {
		r.MustRegister(m.pulled, m.topics, m.takeovers)
	}
	return m
}

// openFeeds makes the feeds that the configuration asks for. None of them is pulled yet,
// and none knows where its events go: see connect.
func openFeeds(list []config.Feed, log *slog.Logger, registry prometheus.Registerer) (*feeds, error) {
	f := &feeds{known: map[*origin.Source]string{}, metrics: newFeedMetrics(registry)}
	metrics := origin.NewMetrics(registry)
	var all []error
	for i, c := range list {
		source, err := newSource(c)
		if err != nil {
			all = append(all, fmt.Errorf("feeds[%d]: %w", i, err))
			continue
		}
		source.Name = cmp.Or(c.Name, fmt.Sprintf("feeds[%d]", i))
		source.Logger, source.Metrics = log, metrics
		f.known[source] = cmp.Or(c.Name, c.Topic, c.Prefix)
		if c.Template != "" {
			f.templates = append(f.templates, source)
		} else {
			f.steady = append(f.steady, source)
		}
	}
	slices.SortStableFunc(f.templates, func(a, b *origin.Source) int { return len(b.Prefix) - len(a.Prefix) })
	return f, errors.Join(all...)
}

// newSource is one feed as its configuration describes it.
func newSource(c config.Feed) (*origin.Source, error) {
	source := &origin.Source{
		URLs:        c.URL,
		Topic:       c.Topic,
		Prefix:      c.Prefix,
		Template:    c.Template,
		Header:      http.Header{},
		Retry:       c.Retry,
		IdleTimeout: c.Idle,
		MaxEvent:    int(c.MaxEvent),
		MaxPulls:    c.MaxPulls,
		MissFor:     c.MissFor,
		MissRate:    c.MissRate,
	}
	for name, value := range c.Headers {
		source.Header.Set(name, value)
	}
	if c.CA != "" || c.Cert != "" {
		var err error
		if source.TLS, err = feedTLS(c); err != nil {
			return nil, err
		}
	}
	if c.HTTP3 {
		source.Client = overHTTP3(source.TLS)
	}
	return source, nil
}

// feedTLS is what the feed trusts, and what it shows.
func feedTLS(c config.Feed) (*tls.Config, error) {
	secure := &tls.Config{}
	if c.CA != "" {
		roots, err := trusting("ca", c.CA)
		if err != nil {
			return nil, err
		}
		secure.RootCAs = roots
	}
	if c.Cert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
			if err != nil {
				return nil, fmt.Errorf("cert %s and key %s: %w", c.Cert, c.Key, err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		// Read at each handshake, of which there are few, so that renewed files count.
		secure.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return secure, nil
}

// trusting returns the system's authorities and those in the PEM file at path, which
// the setting called name points to.
func trusting(name, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, missingFile(name, path, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s holds no certificate", name, path)
	}
	return roots, nil
}

// connect says where the events go, and what is there already. It must be called once,
// before Run and Follow.
func (f *feeds) connect(sink origin.Sink, log origin.Log) error {
	for _, source := range slices.Concat(f.steady, f.templates) {
		source.Sink, source.Log = sink, log
		if err := source.Check(); err != nil {
			return fmt.Errorf("%s: %w", source.Name, err)
		}
	}
	return nil
}

// Run pulls the steady feeds until ctx ends. One that its origin has ended is over.
func (f *feeds) Run(ctx context.Context) error {
	if f.cluster != nil {
		return f.cluster.Run(ctx)
	}
	return runAll(slices.Values(f.steady), func(source *origin.Source) error {
		f.metrics.pulled.Inc()
		defer f.metrics.pulled.Dec()
		if err := source.Run(ctx); err != nil {
			return fmt.Errorf("%s: %w", source.Name, err)
		}
		return nil
	})
}

// runAll runs them at once, and returns when all are over.
func runAll[T any](list iter.Seq[T], run func(T) error) error {
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for x := range list {
		all.Go(func() {
			if err := run(x); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Follow pulls a topic for its subscribers, as relay.Upstream asks.
func (f *feeds) Follow(ctx context.Context, topic, lastEventID string, opened func()) error {
	if f.cluster != nil {
		return f.cluster.templates.Follow(ctx, topic, lastEventID, opened)
	}
	source := f.template(topic)
	if source == nil {
		return nil
	}
	f.metrics.topics.Inc()
	defer f.metrics.topics.Dec()
	return source.Follow(ctx, topic, lastEventID, opened)
}

// template is the feed that pulls a topic for its subscribers: that with the longest prefix. What a
// steady feed brings, and what nobody has, is pulled by none.
func (f *feeds) template(topic string) *origin.Source {
	for _, source := range f.steady {
		if topic == source.Topic || source.Prefix != "" && strings.HasPrefix(topic, source.Prefix) {
			return nil
		}
	}
	for _, source := range f.templates {
		if strings.HasPrefix(topic, source.Prefix) {
			return source
		}
	}
	return nil
}
