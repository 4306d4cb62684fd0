package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"freshet/cmd/freshet/config"
	"freshet/cmd/freshet/demo"
)

// demoPublic is where -self-signed alone listens.
const demoPublic = "127.0.0.1:8443"

// demoSeed gives a show that does not keep one waiting: a goal after six
// seconds, four in the first half minute, and a share that jumps between them.
const demoSeed = 192

func init() {
	register(command{
		name:    "demo",
		summary: "run a relay with live matches and tickers, and a page that shows them",
		details: `Plays football matches and a stock market, all invented, and publishes them to a relay
over HTTP, as an origin would. The page at the URL that it prints follows them with two
EventSource streams; pull the plug there and see that nothing is missing afterwards.

-relays 3 plays on a cluster of three relays, each a process of its own, behind a front that
hands each browser to one of them; a button on the page kills the one that owns the prices.

It takes what "run" takes; with -relays, where the relays listen and how they find one another
is the demo's choice, and it says where. An address that is in use gives way to a free port.
-self-signed alone listens with TLS on ` + demoPublic + `, where browsers speak HTTP/2.`,
		define: func(flags *flag.FlagSet) action {
			d := &demonstration{settings: defineSettings(flags)}
			flags.Uint64Var(&d.seed, "seed", demoSeed, "play the show of seed `N`: the same seed, the same show")
			flags.Float64Var(&d.pace, "pace", 1, "play it `X` times as fast")
			flags.IntVar(&d.relays, "relays", 1, "play on a cluster of `N` relays")
			flags.Var(&d.hosts, "host", "answer for the page under this `NAME` too; repeatable")
			return func(ctx context.Context, t *terminal, args []string) error {
				if err := noArguments(args); err != nil {
					return err
				}
				return d.run(ctx, t)
			}
		},
	})
}

// demonstration is a relay, an origin that publishes to it, and a page.
type demonstration struct {
	settings *settingFlags
	seed     uint64
	pace     float64
	relays   int
	hosts    repeated
}

// mostRelays bounds the demo's cluster: each relay is a process, and a card on the page.
const mostRelays = 9

func (d *demonstration) run(ctx context.Context, t *terminal) error {
	if !(d.pace >= 0.1 && d.pace <= 50) { // so that it is true of NaN
		return &usageError{text: fmt.Sprintf("-pace %g is not between 0.1 and 50", d.pace)}
	}
	if d.relays < 1 || d.relays > mostRelays {
		return &usageError{text: fmt.Sprintf("-relays %d is not between 1 and %d", d.relays, mostRelays)}
	}
	if d.relays > 1 { // several processes write to it
		shared := *t
		shared.stderr = &sharedWriter{to: t.stderr}
		t = &shared
	}
	if err := d.checkFleet(); err != nil {
		return err
	}
	conf, err := d.load(t)
	if err != nil {
		return err
	}
	for _, address := range []*string{&conf.Listen.Public, &conf.Listen.Plain, &conf.Listen.Admin} {
		if free := freeAddress(*address); free != *address {
			t.say("freshet: %s is in use, taking a free port instead", *address)
			*address = free
		}
	}

	log := newLog(conf.Log, t.stderr)
	origin := &demo.Origin{Seed: d.seed, Pace: d.pace, Log: log}
	if len(conf.Publish.Tokens) > 0 {
		origin.Token = conf.Publish.Tokens[0]
	}
	page := &demo.Page{Origin: origin, Hosts: append(d.hosts, conf.TLS.SelfSigned.Names...)}
	if d.relays > 1 {
		return d.runFleet(ctx, t, conf, origin, page, log)
	}
	s, err := openService(conf, log, page.Handler())
	if err != nil {
		return err
	}
	page.Subscribers = (&audience{admin: s.relay.Admin()}).subscribers
	origin.Relay = listenerURL("http", s.listeners.plain)
	if origin.Relay == "" {
		origin.Relay = listenerURL("https", s.listeners.public)
		origin.Client = trustingClient()
	}
	s.whenReady = func() {
		fmt.Fprintln(t.stdout, s.readyLine())
		fmt.Fprintf(t.stdout, "the demo plays at %s/\n", s.url())
	}
	return playBeside(ctx, s.Run, origin.Run)
}

// playBeside runs the relay and the origin until ctx ends or one of them
// fails. The origin stops before the relay drains: what it would still publish
// nobody would read.
func playBeside(ctx context.Context, relay, origin func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	var failed error
	all.Go(func() {
		defer stop()
		if err := origin(ctx); err != nil {
			failed = fmt.Errorf("demo origin: %w", err)
		}
	})
	err := relay(ctx)
	stop()
	all.Wait()
	return errors.Join(failed, err)
}

// load reads the configuration; -self-signed means a public listener too, where
// nothing else names one.
func (d *demonstration) load(t *terminal) (*config.Config, error) {
	conf, err := d.settings.load(t)
	if err == nil || !d.settings.has("-self-signed") || d.settings.has("-public") {
		return conf, err
	}
	d.settings.add("-self-signed", "listen.public", demoPublic)
	return d.settings.load(t)
}

func (s *settingFlags) has(flag string) bool {
	for _, given := range s.settings {
		if given.Flag == flag {
			return true
		}
	}
	return false
}

// freeAddress returns the address, or one with any port where somebody else
// listens on it. What else may be wrong with it, listening for good will tell.
func freeAddress(address string) string {
	if address == "" {
		return address
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		l.Close()
		return address
	}
	host, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil || !errors.Is(err, syscall.EADDRINUSE) {
		return address
	}
	return net.JoinHostPort(host, "0")
}

// trustingClient takes any certificate: it talks to this process's own
// listener, whose certificate may be made out to any name.
func trustingClient() *http.Client {
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true},
	}
}
