//go:build linux

package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Load is one run: so many subscribers, so many events a second, for so long. The zero value of a field means its
// default.
type Load struct {
	URL         string        // of the relay; https means TLS; default http://127.0.0.1:8080
	PublishURL  string        // of the relay that is published to; default: URL
	Protocol    string        // "h1", "h2" (over TLS), "h2c" or "h3"; default: h1, over TLS h2
	Connections int           // default 100
	Streams     int           // a connection; default 1, and with h1 never more
	Topics      int           // the streams are dealt to so many topics in turn; default 1
	Rate        float64       // events a second, over all topics; default 20
	Size        int           // bytes of an event's data, at least 32; default 200
	Duration    time.Duration // of the measurement; default 10 s
	Warmup      time.Duration // published before the measurement; default 1 s
	Idle        time.Duration // how long to hold the streams without an event, before anything is published; default 0
	Replay      int           // events published before anybody subscribes; then all subscribe from the oldest, which is what is measured; default 0
	Burst       int           // events that a topic gets together; default 1
	Gzip        bool          // subscribe to compressed streams; some of them are decoded at the end
	Pair        bool          // half of the streams take gzip; the halves are published to in turn and told apart, which is what is measured
	Lifelike    bool          // pad events with text as events have it, not with one letter
	Sources     int           // local addresses 127.0.0.1, 127.0.0.2, ... the connections come from; default as many as 25,000 each need
	Token       string        // bearer token for publishing
	ServerPID   int           // the relay's process: its CPU and memory are reported; 0: not known
	AdminURL    string        // of the relay's admin listener, which is asked to collect garbage and for what is left; default: not asked
	Insecure    bool          // take any certificate

	Progress io.Writer // gets one line that renews itself; nil: none

	begun func() // called when the measured phase is about to begin; nil: nobody wants to know
}

// ErrIncomplete is what Run's error wraps when a subscriber missed an event, got one twice or out of order.
var ErrIncomplete = errors.New("not every subscriber got every event once and in order")

const perSource = 25_000 // connections from one local address: its ephemeral ports, with some to spare

func (l Load) withDefaults() Load {
	set := func(v *int, standard int) {
		if *v == 0 {
			*v = standard
		}
	}
	if l.URL == "" {
		l.URL = "http://127.0.0.1:8080"
	}
	if l.PublishURL == "" {
		l.PublishURL = l.URL
	}
	if l.Protocol == "" {
		l.Protocol = "h1"
		if u, err := url.Parse(l.URL); err == nil && u.Scheme == "https" {
			l.Protocol = "h2"
		}
	}
	set(&l.Connections, 100)
	set(&l.Streams, 1)
	if l.Pair {
		set(&l.Topics, 2)
	}
	set(&l.Topics, 1)
	set(&l.Burst, 1)
	set(&l.Size, 200)
	set(&l.Sources, (l.Connections+perSource-1)/perSource)
	if l.Rate == 0 {
		l.Rate = 20
	}
	if l.Duration == 0 {
		l.Duration = 10 * time.Second
	}
	if l.Warmup == 0 {
		l.Warmup = time.Second
	}
	if l.Progress == nil {
		l.Progress = io.Discard
	}
	if l.begun == nil {
		l.begun = func() {}
	}
	return l
}

func (l Load) check() error {
	positive := map[string]int{"connections": l.Connections, "streams": l.Streams, "topics": l.Topics, "burst": l.Burst}
	for name, v := range positive {
		if v < 1 {
			return fmt.Errorf("-%s %d: must be at least 1", name, v)
		}
	}
	if l.Rate <= 0 || l.Rate > 1e6 {
		return fmt.Errorf("-rate %g: events a second, above 0 and at most 1000000", l.Rate)
	}
	if l.Replay < 0 {
		return fmt.Errorf("-replay %d: must not be negative", l.Replay)
	}
	if l.Pair && (l.Topics != 2 || l.Connections*l.Streams%2 != 0 || l.Gzip || l.Replay > 0) {
		return errors.New("-pair: an even number of streams, and no -topics, -gzip or -replay besides")
	}
	if l.Protocol == "h1" && l.Streams > 1 {
		return errors.New("-streams: an HTTP/1.1 connection carries one stream; use more connections")
	}
	return checkSize(l.Size)
}

// target is where and how to connect.
type target struct {
	remote    netip.AddrPort
	secure    *tls.Config
	scheme    string
	authority string
}

func (l Load) target(ctx context.Context) (target, error) {
	u, err := url.Parse(l.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return target{}, fmt.Errorf("-url %q: want http://host:port or https://host:port", l.URL)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return target{}, fmt.Errorf("-url %q: %w", l.URL, err)
	}
	parsed, err := netip.ParseAddrPort(net.JoinHostPort(addresses[0].Unmap().String(), port))
	if err != nil {
		return target{}, fmt.Errorf("-url %q: %w", l.URL, err)
	}
	t := target{remote: parsed, scheme: u.Scheme, authority: u.Host}
	alpn := map[string]string{"h1": "http/1.1", "h2": "h2", "h3": "h3"}[l.Protocol]
	switch {
	case u.Scheme == "https" && alpn == "":
		return t, fmt.Errorf("-proto %s: over https it is h1, h2 or h3", l.Protocol)
	case u.Scheme == "https":
		t.secure = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: l.Insecure, NextProtos: []string{alpn}, ClientSessionCache: nil}
	case l.Protocol != "h1" && l.Protocol != "h2c":
		return t, fmt.Errorf("-proto %s: over http it is h1 or h2c", l.Protocol)
	}
	return t, nil
}

// A run is a Load under way.
type run struct {
	Load
	target
	topics  []string
	due     []dueTimes // by topic
	pollers []*poller
	http3   []*http3Client // one for each poller, with h3

	connected atomic.Int64
	broken    atomic.Int64
	mu        sync.Mutex // guards what follows
	fault     error      // the first connection error
	kept      []*packed  // streams to decode at the end
}

// Run connects, publishes, checks and reports. It returns a Result also with ErrIncomplete; it stops early,
// with ctx's error, when ctx ends.
func (l Load) Run(ctx context.Context) (*Result, error) {
	l = l.withDefaults()
	if err := l.check(); err != nil {
		return nil, err
	}
	where, err := l.target(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{Load: l, target: where}
	r.due = make([]dueTimes, l.Topics)
	name := rand.Text()[:8]
	for i := range l.Topics {
		r.topics = append(r.topics, fmt.Sprintf("bench/%s/%d", name, i))
	}
	for range runtime.GOMAXPROCS(0) {
		p, err := newPoller()
		if err != nil {
			return nil, err
		}
		defer p.close()
		r.pollers = append(r.pollers, p)
		if l.Protocol != "h3" {
			continue
		}
		c, err := newHTTP3Client(p)
		if err != nil {
			return nil, err
		}
		defer c.close()
		r.http3 = append(r.http3, c)
	}
	return r.measure(ctx)
}

// subscribe opens every connection and waits until every stream has its first block.
func (r *run) subscribe(ctx context.Context) error {
	const dialers = 32 // TLS handshakes at once
	work := make(chan int)
	var dialing sync.WaitGroup
	for range dialers {
		dialing.Go(func() {
			for i := range work {
				r.connect(i)
			}
		})
	}
	var lagging error
	for i := range r.Connections {
		if i%64 == 0 {
			r.progress("connecting %d of %d", r.connected.Load(), r.Connections)
		}
		if lagging = r.keepUp(ctx, i); lagging != nil {
			break
		}
		select {
		case work <- i:
		case <-ctx.Done():
		}
		if ctx.Err() != nil || r.broken.Load() > 0 {
			break
		}
	}
	close(work)
	dialing.Wait()
	if err := r.firstFault(); err != nil {
		return fmt.Errorf("after %d connections: %w", r.connected.Load(), err)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if lagging != nil {
		return lagging
	}
	streams := uint64(r.Connections * r.Streams)
	return r.await(ctx, "streams open", streams, func(t *tally) uint64 { return t.opened })
}

// mostUnopened is how many streams may be on their way: with more at once, a relay gives up on connections that it has had
// no time for.
const mostUnopened = 50_000

// keepUp waits until the relay has opened most streams of the connections so far.
func (r *run) keepUp(ctx context.Context, connections int) error {
	if connections%16 != 0 || connections*r.Streams <= mostUnopened {
		return nil
	}
	return r.await(ctx, "streams open", uint64(connections*r.Streams-mostUnopened), func(t *tally) uint64 { return t.opened })
}

func (r *run) connect(i int) {
	if r.Protocol == "h3" {
		r.connectHTTP3(i)
		return
	}
	var p protocol
	if r.Protocol == "h1" {
		p = &http1{path: r.path(i), authority: r.authority, subscriber: r.newSubscriber(i)}
	} else {
		subscribers := make([]subscriber, r.Streams)
		paths := make([]string, min(r.Streams, r.Topics))
		for k := range paths {
			paths[k] = r.path(i*r.Streams + k)
		}
		for k := range subscribers {
			subscribers[k] = *r.newSubscriber(i*r.Streams + k)
		}
		p = newHTTP2(r.scheme, r.authority, paths, subscribers)
	}
	var local netip.Addr
	if r.remote.Addr().Is4() && r.remote.Addr().IsLoopback() {
		local = netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i%r.Sources)})
	}
	c, err := dial(local, r.remote, r.secure, p)
	if err != nil {
		r.failed(err)
		return
	}
	if err := r.pollers[i%len(r.pollers)].add(c); err != nil {
		r.failed(err)
		return
	}
	r.connected.Add(1)
}

// newSubscriber returns what reads the stream of that number.
func (r *run) newSubscriber(stream int) *subscriber {
	s := &subscriber{next: 1}
	topic := stream % r.Topics
	if r.Gzip || r.Pair && topic == pairGzip {
		s.packed = &packed{topic: topic, due: &r.due[topic]}
		if stream%keepEvery == topic%2 {
			s.packed.keep = true
			r.mu.Lock()
			r.kept = append(r.kept, s.packed)
			r.mu.Unlock()
		}
	}
	return s
}

func (r *run) connectHTTP3(i int) {
	paths := make([]string, r.Streams)
	subscribers := make([]*subscriber, r.Streams)
	for k := range paths {
		paths[k] = r.path(i*r.Streams + k)
		subscribers[k] = r.newSubscriber(i*r.Streams + k)
	}
	if err := r.http3[i%len(r.http3)].connect(r.target, paths, subscribers, r.failed); err != nil {
		r.failed(err)
		return
	}
	r.connected.Add(1)
}

func (r *run) path(stream int) string {
	path := "/events/" + r.topics[stream%r.Topics]
	if r.Replay > 0 {
		path += "?from=oldest"
	}
	return path
}

func (r *run) failed(err error) {
	r.broken.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault == nil {
		r.fault = err
	}
}

func (r *run) firstFault() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fault
}

func (r *run) progress(format string, args ...any) {
	fmt.Fprintf(r.Progress, "\r\x1b[K"+format, args...)
}

// server samples the server's process where its pid is known.
func (r *run) server() usage {
	if r.ServerPID == 0 {
		return usage{}
	}
	return usageOf(r.ServerPID)
}

func self() usage { return usageOf(os.Getpid()) }
