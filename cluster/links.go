package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet/cluster/agree"
)

// Protocol is the version of messages that this program speaks. A peer of another version is linked to if both know each
// other's: for now there is one.
const Protocol = 1

// Links holds a link to every relay in view. Of two relays the one whose name sorts first dials.
type Links struct {
	name     string
	identity *linkIdentity // nil: plain
	process  uint64        // drawn at start: a relay that came back is another
	log      *slog.Logger
	plain    bool // nothing is compressed
	coders   coders
	traffic  traffic

	dial func(ctx context.Context, network, address string) (net.Conn, error)

	// events, called from many goroutines, in order for each peer; none may block for long
	up      func(peer string)
	down    func(peer string)
	receive func(peer string, m agree.Message)

	about func(ctx context.Context, topic string) (TopicStatus, bool, error) // what this relay knows, for others' operators

	mu    sync.Mutex // guards peers and what is in each; held for moments, never while calling out
	peers map[string]*peer
	past  map[string]*past // of relays that are in peers, or were within the last hour
	serve sync.WaitGroup   // handlers that run a link
}

// peer is a relay that should be linked to.
type peer struct {
	name    string
	address string
	link    *link
	since   time.Time          // of link, or of its loss
	dead    bool               // down was called
	cancel  context.CancelFunc // of the dialer, if this side dials
}

// past is what is remembered of links to a relay.
type past struct {
	links uint64    // so far
	heard time.Time // on the last one that ended; before that, when it came into view
	gone  time.Time // it is not in peers any more since then; zero: it is
}

// quiet is how long nothing was heard of a relay on a link.
func (ls *Links) quiet(name string, now time.Time) time.Duration {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if p := ls.peers[name]; p != nil && p.link != nil {
		return now.Sub(time.Unix(0, p.link.heard.Load()))
	}
	if x := ls.past[name]; x != nil {
		return now.Sub(x.heard)
	}
	return 0
}

// Links' headers: who is at the other end.
const (
	headerRelay    = "Freshet-Relay"
	headerProcess  = "Freshet-Process"
	headerProtocol = "Freshet-Protocol"
	headerDeflate  = "Freshet-Deflate" // 1: groups, see link_deflate.go; absent: frames as they are
	linkPath       = "/link"
)

// run serves the listener until ctx ends.
func (ls *Links) run(ctx context.Context, l net.Listener) error {
	protocols := new(http.Protocols)
	server := &http.Server{
		Handler:           ls,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       5 * time.Second, // without a link: its peer may be gone, and never say so
		Protocols:         protocols,
		HTTP2:             overHTTP2(),
		ErrorLog:          slog.NewLogLogger(ls.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if ls.identity != nil {
		protocols.SetHTTP2(true)
		server.TLSConfig = ls.identity.server()
		l = tls.NewListener(l, server.TLSConfig)
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	tick := make(chan struct{})
	go func() {
		defer close(tick)
		ls.bury(ctx)
	}()
	err := server.Serve(l)
	cancel() // it may have failed by itself
	<-tick
	ls.mu.Lock()
	for _, p := range ls.peers {
		if p.cancel != nil {
			p.cancel()
		}
	}
	ls.mu.Unlock()
	ls.serve.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// want tells which relays should be linked to.
func (ls *Links) want(ctx context.Context, members []Member) {
	ls.mu.Lock()
	here := map[string]bool{}
	for _, m := range members {
		if m.Name == ls.name || m.Link == "" {
			continue
		}
		here[m.Name] = true
		p := ls.peer(m.Name)
		if p.cancel != nil && p.address != m.Link { // it came back elsewhere
			p.cancel()
			p.cancel = nil
		}
		p.address = m.Link
		if p.cancel == nil && ls.name < m.Name {
			var dialing context.Context
			dialing, p.cancel = context.WithCancel(ctx)
			ls.serve.Go(func() { ls.keep(dialing, m.Name, m.Link) })
		}
	}
	var gone []string
	now := time.Now()
	for name, x := range ls.past {
		if !x.gone.IsZero() && (now.Sub(x.gone) >= rememberLost || len(ls.past) > maxAddresses) {
			delete(ls.past, name)
		}
	}
	for name, p := range ls.peers {
		if here[name] || p.link != nil { // a link that lives outlasts what gossip says
			continue
		}
		if p.cancel != nil {
			p.cancel()
		}
		delete(ls.peers, name)
		ls.past[name].gone = now
		if !p.dead {
			gone = append(gone, name)
		}
	}
	ls.mu.Unlock()
	for _, name := range gone {
		ls.down(name)
	}
}

func (ls *Links) peer(name string) *peer {
	p := ls.peers[name]
	if p == nil {
		p = &peer{name: name, since: time.Now()}
		ls.peers[name] = p
		if ls.past[name] == nil {
			ls.past[name] = &past{heard: p.since}
		}
		ls.past[name].gone = time.Time{}
	}
	return p
}

// send queues a message for a relay; without a link it is lost.
func (ls *Links) send(to string, m agree.Message) {
	ls.mu.Lock()
	p := ls.peers[to]
	var l *link
	if p != nil {
		l = p.link
	}
	ls.mu.Unlock()
	if l != nil {
		l.send(m)
	}
}

func (ls *Links) linked(name string) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	p := ls.peers[name]
	return p != nil && p.link != nil
}

// whole says that there is a link to every relay in view.
func (ls *Links) whole() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, p := range ls.peers {
		if p.link == nil {
			return false
		}
	}
	return true
}

// bury says of relays without a link for a while that they are dead.
func (ls *Links) bury(ctx context.Context) {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			var dead []string
			ls.mu.Lock()
			for name, p := range ls.peers {
				// A link that broke may be back in a moment; one that went silent has had its second.
				if p.link == nil && !p.dead && now.Sub(p.since) > pingEvery {
					p.dead = true
					dead = append(dead, name)
				}
			}
			ls.mu.Unlock()
			for _, name := range dead {
				ls.down(name)
			}
		}
	}
}

// carry runs a link to a peer until it ends.
func (ls *Links) carry(ctx context.Context, name string, w wire) error {
	w.coders, w.traffic = &ls.coders, &ls.traffic
	l := newLink(name, w)
	ls.mu.Lock()
	p := ls.peer(name)
	old := p.link
	p.link, p.since, p.dead = l, time.Now(), false
	ls.past[name].links++
	ls.mu.Unlock()
	if old != nil { // nothing that came on it may be taken after up
		old.end(errReplaced)
		<-old.ended
	}
	ls.up(name)
	err := l.run(ctx, func(m agree.Message) { ls.receive(name, m) })
	ls.mu.Lock()
	if p.link == l {
		p.link, p.since = nil, time.Now()
		ls.past[name].heard = time.Unix(0, l.heard.Load())
	}
	ls.mu.Unlock()
	ls.log.Debug("link ended", "peer", name, "error", err)
	return err
}

// keep dials a relay whenever there is no link to it, until ctx ends.
func (ls *Links) keep(ctx context.Context, name, address string) {
	for ctx.Err() == nil {
		if err := ls.connect(ctx, name, address); err != nil && ctx.Err() == nil {
			ls.log.Debug("link", "peer", name, "address", address, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// connect opens one link and carries it.
func (ls *Links) connect(ctx context.Context, name, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	transport, scheme := ls.transport(ctx, name)
	defer transport.CloseIdleConnections()
	timeout := time.AfterFunc(2*silence, cancel) // until it answers
	body, out := io.Pipe()
	u := url.URL{Scheme: scheme, Host: address, Path: linkPath}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), body)
	if err != nil {
		return err
	}
	ls.introduce(req.Header, !ls.plain)
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if !timeout.Stop() {
		return context.DeadlineExceeded
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	if got := res.Header.Get(headerRelay); got != name {
		return fmt.Errorf("%q answers where %q should be", got, name)
	}
	return ls.carry(ctx, name, wire{
		Reader:   res.Body,
		Writer:   out,
		flush:    func() error { return nil },
		close:    func() { cancel(); out.CloseWithError(io.ErrClosedPipe); res.Body.Close() },
		compress: deflates(res.Header) && !ls.plain,
	})
}

// overHTTP2 bounds what a link may have on its way, and how long a write may wait for a peer that is long given up.
func overHTTP2() *http.HTTP2Config {
	return &http.HTTP2Config{MaxReceiveBufferPerStream: 4 << 20, MaxReceiveBufferPerConnection: 4 << 20, WriteByteTimeout: 2 * silence}
}

// transport makes requests of one relay's links listener until ctx ends: then its connections are closed, whatever they
// still have to say to a peer that does not hear it.
func (ls *Links) transport(ctx context.Context, name string) (t *http.Transport, scheme string) {
	t = &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(dialing context.Context, network, address string) (net.Conn, error) {
			c, err := ls.dial(dialing, network, address)
			if err == nil {
				context.AfterFunc(ctx, func() { c.Close() })
			}
			return c, err
		},
		HTTP2: overHTTP2(),
	}
	if ls.identity == nil {
		t.Protocols.SetUnencryptedHTTP2(true)
		return t, "http"
	}
	t.Protocols.SetHTTP2(true)
	t.TLSClientConfig = ls.identity.client(name)
	return t, "https"
}

// introduce says who this is, and that it compresses: the dialer if it can, who answers if both can.
func (ls *Links) introduce(h http.Header, deflate bool) {
	if deflate {
		h.Set(headerDeflate, "1")
	}
	h.Set(headerRelay, ls.name)
	h.Set(headerProcess, strconv.FormatUint(ls.process, 36))
	h.Set(headerProtocol, strconv.Itoa(Protocol))
}

func deflates(h http.Header) bool { return h.Get(headerDeflate) == "1" }

// ServeHTTP takes links that others open, and answers their questions about topics.
func (ls *Links) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if topic, ok := strings.CutPrefix(r.URL.Path, aboutPath); ok && r.Method == http.MethodGet {
		ls.tell(w, r, topic)
		return
	}
	name := r.Header.Get(headerRelay)
	switch {
	case r.URL.Path != linkPath || r.Method != http.MethodPost || r.ProtoMajor != 2:
		http.NotFound(w, r)
		return
	case name == "" || name == ls.name:
		http.Error(w, "who are you?", http.StatusBadRequest)
		return
	case r.Header.Get(headerProtocol) != strconv.Itoa(Protocol):
		http.Error(w, "another protocol", http.StatusHTTPVersionNotSupported)
		return
	}
	if id := ls.identity; id != nil && id.derived && r.TLS.PeerCertificates[0].Subject.CommonName != name {
		http.Error(w, "the certificate is another relay's", http.StatusForbidden)
		return
	}
	ls.serve.Add(1)
	defer ls.serve.Done()
	compress := deflates(r.Header) && !ls.plain
	ls.introduce(w.Header(), compress)
	rc := http.NewResponseController(w)
	if err := rc.Flush(); err != nil {
		return
	}
	now := time.Unix(1, 0)
	ls.carry(r.Context(), name, wire{
		Reader:   r.Body,
		Writer:   w,
		flush:    rc.Flush,
		close:    func() { rc.SetReadDeadline(now); rc.SetWriteDeadline(now) },
		compress: compress,
	})
	panic(http.ErrAbortHandler) // the other side is to see an end that is not a clean one
}
