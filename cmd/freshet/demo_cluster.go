package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"freshet/cmd/freshet/config"
	"freshet/cmd/freshet/demo"
)

// demoCluster is the demo's cluster as its page sees it.
type demoCluster struct {
	*fleet
	front *front
}

// Relays tells how the relays stand, and which of them serves the page.
func (c *demoCluster) Relays(page string) []demo.Relay { return c.fleet.Relays(c.front.serving(page)) }

// fleetKeys are what the demo chooses for each of its relays, and for the front.
var fleetKeys = []string{
	"listen.admin", "listen.http3", "listen.http3_secret",
	"cluster.name", "cluster.label", "cluster.gossip", "cluster.links", "cluster.join", "cluster.role", "cluster.key",
	"cluster.tls.cert", "cluster.tls.key", "cluster.tls.ca",
}

// checkFleet refuses flags that would have no effect on several relays. A file may set them: it is
// for "run", too.
func (d *demonstration) checkFleet() error {
	if d.relays == 1 {
		return nil
	}
	for _, s := range d.settings.settings {
		if !slices.Contains(fleetKeys, s.Key) {
			continue
		}
		flag := s.Flag
		if flag == "-set" {
			flag += " " + s.Key
		}
		return &usageError{text: fmt.Sprintf("%s has no effect: with -relays the demo chooses %s itself, and says where the relays listen", flag, s.Key)}
	}
	return nil
}

// runFleet plays the demo on several relays. They are processes of their own; the front, the page
// and the origin are this one.
func (d *demonstration) runFleet(ctx context.Context, t *terminal, conf *config.Config, origin *demo.Origin, page *demo.Page, log *slog.Logger) error {
	cert, err := openCertificate(conf.TLS)
	if err != nil {
		return err
	}
	relays, err := newFleet(d.relays, d.settings, t)
	if err != nil {
		return err
	}
	at := conf.Listen
	at.Admin, at.HTTP3 = "", false // the relays have their own; the front speaks no HTTP/3
	l, err := openListeners(at)
	if err != nil {
		return err
	}
	door := newFront(relays, page.Handler(), log)
	page.Cluster = &demoCluster{relays, door}
	origin.Relay = "http://relays.demo" // the front chooses one for each event
	origin.Client = &http.Client{Timeout: 10 * time.Second, Transport: door}

	parts, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	errs := make([]error, 2)
	var all sync.WaitGroup
	for i, run := range []func(context.Context) error{
		relays.Run,
		func(ctx context.Context) error { return door.Run(ctx, l, cert) },
	} {
		all.Go(func() {
			if errs[i] = run(parts); errs[i] != nil {
				stop(errs[i])
			}
		})
	}
	select {
	case <-relays.ready:
		d.sayFleet(t, relays, l)
		if err := origin.Run(parts); err != nil {
			stop(fmt.Errorf("demo origin: %w", err))
			errs = append(errs, context.Cause(parts))
		}
	case <-parts.Done():
	}
	<-parts.Done()
	all.Wait()
	return errors.Join(errs...)
}

// sayFleet says where the relays and the page are.
func (d *demonstration) sayFleet(t *terminal, relays *fleet, l *listeners) {
	for _, r := range relays.relays {
		r.mu.Lock()
		fmt.Fprintf(t.stdout, "relay %s: plain %s, admin %s\n", r.name, r.plain, r.control)
		r.mu.Unlock()
	}
	url := listenerURL("http", l.plain)
	if l.public != nil {
		url = listenerURL("https", l.public)
	}
	fmt.Fprintf(t.stdout, "the demo plays at %s/\n", url)
}
