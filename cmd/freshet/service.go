package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"freshet/cluster"
	"freshet/cmd/freshet/config"
	"freshet/relay"
)

// service is one relay process: a relay with its listeners, its certificate and
// what it pulls. run and demo are both one of these.
//
//	s, err := openService(conf, log, nil)  // listening from here on
//	s.url()                                // ports are known
//	s.Run(ctx)                             // serves until ctx ends
type service struct {
	// Static after construction.
	relay       *relay.Relay
	listeners   *listeners
	feeds       *feeds
	certificate *certificate // nil: no TLS
	member      *membership  // nil: of no cluster
	log         *slog.Logger

	// whenReady is called once, by Run, when the relay may be sent subscribers; nil is nothing.
	whenReady func()
}

// openService builds the relay that c describes, and opens its listeners. Pages answers
// what is not the relay's own on the public listeners; nil is nothing.
func openService(c *config.Config, log *slog.Logger, pages http.Handler) (*service, error) {
	return openServiceOn(nil, c, log, pages)
}

// openServiceOn is openService with a network between relays; nil is the real one.
func openServiceOn(between cluster.Network, c *config.Config, log *slog.Logger, pages http.Handler) (*service, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := &service{log: log}
	var errs [4]error
	s.certificate, errs[0] = openCertificate(c.TLS)
	s.feeds, errs[1] = openFeeds(c.Feeds, log, registry)
	s.member, errs[2] = openCluster(c, log, registry, between)
	s.listeners, errs[3] = openListeners(c.Listen)
	err := errors.Join(errs[:]...)
	if err == nil {
		err = s.openRelay(relayConfig(c), registry, pages)
	}
	if err != nil {
		s.listeners.close()
		return nil, err
	}
	return s, nil
}

// openRelay joins the relay with all that is open already.
func (s *service) openRelay(rc relay.Config, registry *prometheus.Registry, pages http.Handler) (err error) {
	rc.Public, rc.Plain, rc.AdminListener = s.listeners.public, s.listeners.plain, s.listeners.admin
	rc.HTTP3 = s.listeners.http3
	rc.Pages, rc.Log, rc.Metrics = pages, s.log, registry
	if s.certificate != nil {
		rc.TLS = s.certificate.config()
	}
	rc.AdminPages = s.clusterPages()
	if s.member != nil {
		rc.Logs, rc.Ready = s.member, s.member.ready
	}
	if len(s.feeds.templates) > 0 {
		rc.Upstream = s.feeds
	}
	if s.relay, err = relay.New(rc); err != nil {
		return err
	}
	if s.member != nil {
		s.member.connect(s.relay)
		return s.feeds.join(s.member, s.relay, rc.Topics)
	}
	return s.feeds.connect(s.relay, s.relay)
}

// relayConfig is the part of the configuration that is the relay's.
func relayConfig(c *config.Config) relay.Config {
	return relay.Config{
		AdminHosts:  c.Listen.AdminHosts,
		HTTP3Secret: []byte(c.Listen.HTTP3Secret),
		Topics: relay.Topics{
			Events:   c.Topics.Events,
			Bytes:    int(c.Topics.Bytes),
			Age:      c.Topics.Age,
			Linger:   c.Topics.Linger,
			Forget:   c.Topics.Forget,
			Coalesce: c.Topics.Coalesce,
		},
		Limits: relay.Limits{
			Connections:          c.Limits.Connections,
			Handshakes:           c.Limits.Handshakes,
			StreamsPerConnection: c.Limits.StreamsPerConnection,
			Subscribers:          c.Limits.Subscribers,
			Topics:               c.Limits.Topics,
			EventBytes:           int(c.Limits.EventBytes),
			HeaderBytes:          int(c.Limits.HeaderBytes),
			Publishes:            c.Limits.Publishes,
			PublishKeys:          c.Limits.PublishKeys,
			AddressShare:         c.Limits.AddressShare,
			Memory:               int(c.Limits.Memory),
		},
		Compress: relay.Compress{
			Level:  c.Compress.Level,
			Window: int(c.Compress.Window),
			Memory: int(c.Compress.Memory),
			Except: c.Compress.Except,
		},
		PublishTokens: c.Publish.Tokens,
		Origins:       append([]string{}, c.CORS.Origins...), // nil would be everybody
		Heartbeat:     c.Heartbeat,
		Stall:         c.Stall,
		Drain:         c.Drain,
		DrainDelay:    c.DrainDelay,
		Retry:         c.Retry,
	}
}

// url is the address to give to people: the public one, else the plain one.
func (s *service) url() string {
	if s.listeners.public != nil {
		return listenerURL("https", s.listeners.public)
	}
	return listenerURL("http", s.listeners.plain)
}

// readyLine says that the relay is there, and where.
func (s *service) readyLine() string {
	var parts []string
	add := func(name, url string) {
		if url != "" {
			parts = append(parts, name+" "+url)
		}
	}
	add("public", listenerURL("https", s.listeners.public))
	add("plain", listenerURL("http", s.listeners.plain))
	add("admin", listenerURL("http", s.listeners.admin))
	if s.member != nil {
		gossip, links := s.member.addresses(context.Background())
		add("member", s.member.Name)
		add("gossip", gossip)
		add("links", links)
	}
	return "freshet is ready: " + strings.Join(parts, ", ")
}

// Run serves until ctx ends, and for drain_delay after, then drains. It returns nil when that was all.
//
// What runs beside the relay ends after it: while subscribers are sent away, those who are
// still here go on getting what the origins send, and what other relays commit; and the
// topics that this relay owns move to others.
func (s *service) Run(ctx context.Context) error {
	serving, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	var all sync.WaitGroup
	var errs [2]error // of what runs beside: a goroutine each
	besideRelay := func(err *error, run func(context.Context) error) {
		all.Go(func() {
			if *err = run(beside); *err != nil {
				fail(*err)
			}
		})
	}
	if s.certificate != nil {
		hup := make(chan os.Signal, 1)
		signal.Notify(hup, syscall.SIGHUP)
		defer signal.Stop(hup)
		all.Go(func() { s.certificate.watch(beside, hup, s.log) })
	}
	besideRelay(&errs[0], s.feeds.Run)
	left := make(chan struct{})
	if s.member == nil {
		close(left)
		s.announce()
	} else {
		besideRelay(&errs[1], s.member.Run)
		all.Go(func() {
			defer close(left)
			select {
			case <-s.member.Joined():
				s.announce()
				<-serving.Done()
				s.member.leave(beside)
			case <-serving.Done():
			}
		})
	}
	err := s.relay.Run(serving)
	fail(nil) // or nobody would leave when it is the relay that failed
	<-left
	stop()
	all.Wait()
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return errors.Join(errs[:]...)
}

func (s *service) announce() {
	if s.whenReady != nil {
		s.whenReady()
	}
}

// newLog makes the logger that c asks for.
func newLog(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // the configuration was checked
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
