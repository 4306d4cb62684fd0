package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// A front stands before the demo's relays as a load balancer or a CDN stands before real
// ones: it hands each request to one that is there, and knows nothing of topics.
//
//	browser ──> front ──/events/──> one of the relays
//	              └────── else ───> pages
//
// A page that names itself in the query ("?page=") is served by one relay for as long as
// that lives, so that it can be told which.
type front struct {
	// Static after construction.
	fleet  *fleet
	pages  http.Handler
	log    *slog.Logger
	direct *http.Transport // to the relays

	mu    sync.Mutex        // guards what follows
	serve map[string]string // page to relay
	turn  int
}

// mostPages bounds how many pages are remembered.
const mostPages = 1024

func newFront(f *fleet, pages http.Handler, log *slog.Logger) *front {
	return &front{fleet: f, pages: pages, log: log, serve: map[string]string{}, direct: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: time.Second}).DialContext,
		DisableCompression:    true, // what browser and relay agree on goes through
		MaxIdleConnsPerHost:   64,
		ResponseHeaderTimeout: 10 * time.Second,
	}}
}

// handler answers the demo's public requests.
func (f *front) handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport:     f,
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.Host = r.In.Host // by which the relay tells a page of its own from another site's
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "No relay answers: "+err.Error(), http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/events" && !strings.HasPrefix(r.URL.Path, "/events/"):
			f.pages.ServeHTTP(w, r)
		case !mayPass(r):
			http.Error(w, "Without publish.tokens, the demo takes events from this machine only.", http.StatusForbidden)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// mayPass holds the rule that the relays cannot hold behind a front, for to them everybody is
// on this machine: who brings no token publishes from loopback addresses only.
func mayPass(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions || r.Header.Get("Authorization") != "" {
		return true
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}

var errNobodyThere = errors.New("all relays are down")

// RoundTrip hands the request to a relay, and to the next if one does not answer and it may
// be asked again.
func (f *front) RoundTrip(req *http.Request) (*http.Response, error) {
	page := req.URL.Query().Get("page")
	err := errNobodyThere
	for _, r := range f.choose(page) {
		base, urlErr := url.Parse(r.address())
		if urlErr != nil || base.Host == "" {
			continue // gone meanwhile
		}
		out := req.Clone(req.Context())
		out.URL.Scheme, out.URL.Host = base.Scheme, base.Host
		var resp *http.Response
		if resp, err = f.direct.RoundTrip(out); err == nil {
			f.note(page, r.name)
			return resp, nil
		}
		if req.Context().Err() != nil || !again(req) {
			break
		}
		if req.GetBody != nil {
			body, bodyErr := req.GetBody()
			if bodyErr != nil {
				return nil, bodyErr
			}
			req = req.Clone(req.Context())
			req.Body = body
		}
	}
	return nil, err
}

// again reports whether a request may be made twice: what was committed once is known by its key.
func again(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil && req.Header.Get("Idempotency-Key") != ""
}

// choose lists the relays in the order in which they are to be asked: the one that serves the
// page already, then by turns. All that a new page asks for at once shall come to one relay.
func (f *front) choose(page string) []*fleetRelay {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.fleet.relays
	first := slices.IndexFunc(all, func(r *fleetRelay) bool { return page != "" && r.name == f.serve[page] && r.address() != "" })
	for range all {
		if first >= 0 {
			break
		}
		f.turn++
		if first = f.turn % len(all); all[first].address() == "" {
			first = -1
		}
	}
	if first < 0 {
		return nil
	}
	f.remember(page, all[first].name)
	return slices.Concat(all[first:], all[:first])
}

// note says which relay has answered a page.
func (f *front) note(page, relay string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remember(page, relay)
}

func (f *front) remember(page, relay string) {
	if page == "" {
		return
	}
	if f.serve[page] == "" && len(f.serve) >= mostPages {
		for old := range f.serve { // any: a page that is still there is noted again
			delete(f.serve, old)
			break
		}
	}
	f.serve[page] = relay
}

// serving is the relay that serves the page; "" if none does.
func (f *front) serving(page string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.serve[page]
}

// Run serves the listeners until ctx ends.
func (f *front) Run(ctx context.Context, l *listeners, c *certificate) error {
	server := &http.Server{
		Handler:           f.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 2)
	serving := 0
	if l.plain != nil {
		serving++
		go func() { failed <- server.Serve(l.plain) }()
	}
	if l.public != nil {
		serving++
		server.TLSConfig = c.config()
		go func() { failed <- server.ServeTLS(l.public, "", "") }()
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	var err error
	for range serving {
		if one := <-failed; !errors.Is(one, http.ErrServerClosed) {
			err = errors.Join(err, fmt.Errorf("demo front: %w", one))
			server.Close()
		}
	}
	f.direct.CloseIdleConnections()
	return err
}
