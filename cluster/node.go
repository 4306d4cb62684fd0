package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/cluster/agree"
)

// Rings is where a Node shows topics: the relay's side of package cluster. All calls come from one goroutine, in order;
// none may block, or call the Node.
type Rings interface {
	// Show appends events to what is shown of a topic. Their positions follow the ones before.
	Show(topic string, entries []agree.Entry)
	// Replace exchanges what is shown after a heal. Every subscriber of the topic goes on where Route says for the Place
	// it had; those at one place may share the answer. Route may be called at any later time.
	Replace(agree.Replace)
	// Merged says that subscribers whose Place has a Lost part go on where Route says from here on.
	Merged(agree.Merged)
	// Opened says that the topic is whole here and where it stands: until then nobody is served.
	Opened(topic string, head agree.Position)
	// Forget says that the topic is not followed any more.
	Forget(topic string)
}

// Charges is told what this relay owns. It is called like Rings.
type Charges interface {
	// Charge says that this relay began, or ceased, to own a topic or a feed. Its owner pulls a feed; the epoch tells its
	// events from those of an owner before.
	Charge(topic string, owner bool, epoch uint64)
	// Audience says that somebody in the cluster began, or ceased, to want a topic that this relay owns.
	Audience(topic string, wants bool)
}

// Node is this relay's place in a cluster.
type Node struct {
	// Static once Run is called.
	Name    string   // unique in the cluster; empty: the host's name
	Cluster string   // name of the cluster; others are not heard
	Gossip  string   // UDP and TCP address to gossip on; empty: port 7946, on loopback without key and certificates
	Links   string   // TCP address for links; empty: port 7947, likewise
	Join    []string // addresses of others, see Members
	Keys    [][]byte // 32 bytes each: the first is used, the others are accepted; none: see TLS
	TLS     TLSFiles // certificates for links instead of those derived from the key
	Plain   bool     // links are not compressed: costs bytes, and tells who can count them less about what events are like
	Region  string
	Role    agree.Role
	Limits  agree.Limits  // of a topic's log; as the ring's
	Topics  int           // most topics held here before no event is taken for a new one; 0: no bound
	Forget  time.Duration // a topic that nobody wants and nothing comes to is forgotten after this; 0: 24 h
	Linger  time.Duration // a topic that nobody wants is followed on for this long; 0: 30 s
	Rings   Rings         // must be set
	Charges Charges       // nil: nobody is told
	Sources Sources       // nil: no topic is pulled for its subscribers
	Log     *slog.Logger  // nil: discard
	Metrics prometheus.Registerer
	Network Network // nil: the real one

	// For tests.
	LinksListener net.Listener // instead of listening on Links
	configure     func(*agree.Config)

	// Static after start.
	members *Members
	links   *Links
	metrics *metrics
	process uint64
	inputs  chan func()
	wished  chan struct{} // there are wishes
	ended   chan struct{} // closed when the loop has ended: inputs are not taken any more
	started chan struct{} // closed when inputs are taken
	joined  chan struct{} // closed when this relay has said that it is ready

	// mu guards wishes: what is asked for by callers that must not wait, in order.
	mu     sync.Mutex
	wishes []func()

	// Owned by the loop.
	relay   *agree.Relay
	now     time.Time
	ticket  uint64
	answers map[uint64]func(agree.Result)
	routes  map[uint64]func(agree.Route)
	counter uint64 // of publish keys that this relay gives
	roster  *roster
	changes changes
}

// TLSFiles are paths to PEM files.
type TLSFiles struct {
	Cert, Key string // this relay's certificate
	CA        string // the authority that signs relays' certificates and nothing else
}

const (
	defaultLinksPort = 7947
	inputs           = 1024 // beyond, links are read more slowly
	batch            = 256  // inputs that the protocol sees as one
)

// ErrClosed is returned when the node has stopped, or is not running yet.
var ErrClosed = errors.New("cluster: the node is not running")

// New gives a node its channels; its fields are set before Run.
func New(name string, rings Rings) *Node {
	return &Node{
		Name: name, Rings: rings,
		inputs: make(chan func(), inputs), wished: make(chan struct{}, 1), ended: make(chan struct{}), started: make(chan struct{}),
		joined: make(chan struct{}),
	}
}

// prepare checks the configuration and fills in what has defaults.
func (n *Node) prepare() (*linkIdentity, error) {
	if n.Log == nil {
		n.Log = slog.New(slog.DiscardHandler)
	}
	if n.Network == nil {
		n.Network = system{}
	}
	if n.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("cluster.name: %w", err)
		}
		n.Name = name
	}
	for i, k := range n.Keys {
		if len(k) != 32 {
			return nil, fmt.Errorf("cluster.key: key %d has %d bytes, want 32", i+1, len(k))
		}
	}
	open := len(n.Keys) == 0
	host := ""
	if open {
		host = "127.0.0.1"
	}
	if n.Gossip == "" {
		n.Gossip = net.JoinHostPort(host, fmt.Sprint(defaultGossipPort))
	}
	if n.Links == "" {
		n.Links = net.JoinHostPort(host, fmt.Sprint(defaultLinksPort))
	}
	var id *linkIdentity
	var err error
	switch {
	case n.TLS != TLSFiles{}:
		var ca []byte
		if ca, err = os.ReadFile(n.TLS.CA); err != nil {
			return nil, fmt.Errorf("cluster.tls.ca: %w", err)
		}
		id, err = loadIdentity(n.TLS.Cert, n.TLS.Key, ca)
	case !open:
		id, err = deriveIdentity(n.Name, n.Keys)
	}
	if err != nil {
		return nil, err
	}
	if open { // gossip would not be encrypted
		if err := onLoopback("cluster.gossip", n.Gossip); err != nil {
			return nil, err
		}
	}
	if id == nil {
		if err := onLoopback("cluster.links", n.Links); err != nil {
			return nil, err
		}
	}
	return id, nil
}

// onLoopback refuses an address that others can reach.
func onLoopback(field, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %q: %w", field, address, err)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() || host == "localhost" {
		return nil
	}
	return fmt.Errorf("%s is %s: without cluster.key anybody there could read and inject events, "+
		"so it must be a loopback address; \"freshet key\" prints a key", field, address)
}

// Run takes part in the cluster until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	end := sync.OnceFunc(func() { close(n.ended) })
	defer end()
	identity, err := n.prepare()
	if err != nil {
		return err
	}
	var drawn [10]byte
	if _, err := rand.Read(drawn[:]); err != nil {
		return err
	}
	n.process = binary.BigEndian.Uint64(drawn[2:])
	listener := n.LinksListener
	if listener == nil {
		if listener, err = n.Network.Listen(ctx, "tcp", n.Links); err != nil {
			return fmt.Errorf("cluster.links: %w", err)
		}
	}
	defer listener.Close()
	config := agree.Config{Name: n.Name, Nonce: binary.BigEndian.Uint16(drawn[:2]), Limits: n.Limits, Topics: n.Topics, Linger: n.Linger, Forget: n.Forget}
	if n.configure != nil {
		n.configure(&config)
	}
	n.relay = agree.New(config)
	n.answers, n.routes = map[uint64]func(agree.Result){}, map[uint64]func(agree.Route){}
	n.metrics = newMetrics(n.Metrics)
	n.links = &Links{
		name: n.Name, identity: identity, process: n.process, log: n.Log, plain: n.Plain, dial: n.Network.Dial, peers: map[string]*peer{}, past: map[string]*past{},
		up: func(peer string) {
			n.metrics.links.Inc()
			n.post(func() {
				n.roster.up(peer)
				n.relay.LinkUp(n.now, peer)
			})
		},
		down: func(peer string) {
			n.post(func() {
				if !n.links.linked(peer) { // else it is back, and up was said meanwhile, or will be
					if ctx.Err() == nil { // else it is this relay that goes
						n.roster.down(n.now, peer)
					}
					n.relay.LinkDown(n.now, peer)
				}
			})
		},
		receive: func(peer string, m agree.Message) {
			n.post(func() {
				n.metrics.received(m)
				n.relay.Receive(n.now, peer, m)
			})
		},
		about: n.Topic,
	}
	n.roster = newRoster(n.Name, n.Log, n.links.quiet)
	n.changes.log = n.Log
	if n.Metrics != nil {
		n.Metrics.MustRegister(newStandings(n), newLinkMetrics(n.links))
	}
	n.members = &Members{
		Name: n.Name, Cluster: n.Cluster, Gossip: n.Gossip, Join: n.Join, Keys: n.Keys, Region: n.Region, Role: n.Role,
		Protocol: Protocol, Log: n.Log, Network: n.Network,
		unjoined: func(attempts int) { n.metrics.unjoined.Add(float64(attempts)) },
	}
	if err := n.members.start(listener.Addr().String()); err != nil {
		return err
	}
	return n.run(ctx, listener, end)
}

// run owns all goroutines of a node that has started.
func (n *Node) run(ctx context.Context, listener net.Listener, end func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := []func(context.Context) error{
		func(ctx context.Context) error { return n.links.run(ctx, listener) },
		n.members.run,
		n.watch,
		n.arrive,
	}
	results := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			err := part(ctx)
			if err != nil {
				cancel(err)
			}
			results <- err
		}()
	}
	go func() {
		defer end() // from now on nobody waits for an input to be taken
		n.loop(ctx)
	}()
	close(n.started)
	var errs []error
	for left := len(parts); left > 0; left-- {
		if err := <-results; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	<-n.ended
	return errors.Join(errs...)
}

// settle is how long a relay that starts waits until what it heard at once has been noted.
const settle = 20 * time.Millisecond

// watch tells the protocol and the links who is here.
func (n *Node) watch(ctx context.Context) error {
	var owners ownership
	for {
		if n.members.starting() { // whoever is met is met together with a namesake, which must be known first
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(settle):
			}
		}
		alive := n.members.Alive()
		if !n.members.starting() || !n.members.suspectsNamesake() { // or its links would take the place of the other's
			n.links.want(ctx, alive)
		}
		view := make([]agree.Member, len(alive))
		for i, m := range alive {
			view[i] = m.Member
		}
		n.metrics.view(view)
		owners.see(n, n.members.saying(), view)
		n.post(func() {
			n.roster.see(n.now, alive)
			n.relay.View(n.now, view)
			n.changes.view(n.now)
		})
		select {
		case <-ctx.Done():
			return nil
		case <-n.members.Changed():
		}
	}
}

// arrive says that this relay is ready once it has links to those it met; a relay that is ready may be given topics. One
// whose name is taken never is.
func (n *Node) arrive(ctx context.Context) error {
	const meeting, patience = 300 * time.Millisecond, 3 * time.Second
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(meeting):
		}
		if address, found := n.members.findNamesake(); found {
			return fmt.Errorf("cluster.name: a relay at %s is called %q, too: each needs a name of its own", address, n.Name)
		}
		met := len(n.members.Alive()) > 1 || len(n.Join) == 0
		if met && n.links.whole() || time.Since(began) > patience {
			if err := n.members.Say(agree.Ready); err != nil {
				n.Log.Info("say ready", "error", err) // it is repeated with everything else that gossip knows
			}
			close(n.joined)
			return nil
		}
	}
}

// post hands something to the loop.
func (n *Node) post(do func()) bool {
	select {
	case n.inputs <- do:
		return true
	case <-n.ended:
		return false
	}
}

// wish is post for those who must not wait, the loop itself among them.
func (n *Node) wish(do func()) {
	n.mu.Lock()
	n.wishes = append(n.wishes, do)
	n.mu.Unlock()
	select {
	case n.wished <- struct{}{}:
	default: // the mark stands already
	}
}

func (n *Node) grant() {
	n.mu.Lock()
	wishes := n.wishes
	n.wishes = nil
	n.mu.Unlock()
	for _, do := range wishes {
		do()
	}
}

// loop is the one goroutine that calls the protocol.
func (n *Node) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			n.changes.flush()
			return
		case <-n.wished:
			n.now = time.Now()
			n.relay.Batch(n.grant)
		case do := <-n.inputs:
			n.now = time.Now()
			n.relay.Batch(func() {
				do()
				for range batch {
					select {
					case do := <-n.inputs:
						do()
						continue
					default:
					}
					break
				}
			})
		case <-timer.C:
			n.now = time.Now()
			n.relay.Tick(n.now)
		}
		n.carryOut(n.relay.Take())
		n.changes.tell(n.now, n.relay.Count)
		wait := time.Hour
		for _, next := range [...]time.Time{n.relay.Next(), n.changes.due()} {
			if !next.IsZero() {
				wait = min(wait, time.Until(next))
			}
		}
		timer.Reset(wait)
	}
}

// carryOut does what the protocol decided. Decisions come first: what a message announces has happened here.
func (n *Node) carryOut(out agree.Output) {
	for _, d := range out.Decisions {
		switch d := d.(type) {
		case agree.Show:
			n.metrics.show(n.now, d)
			n.Rings.Show(d.Topic, d.Entries)
		case agree.Replace:
			n.Rings.Replace(d)
		case agree.Merged:
			n.Rings.Merged(d)
		case agree.Opened:
			n.Rings.Opened(d.Topic, d.Head)
		case agree.Forget:
			n.Rings.Forget(d.Topic)
		case agree.Answer:
			if f := n.answers[d.Ticket]; f != nil {
				delete(n.answers, d.Ticket)
				f(d.Result)
			}
		case agree.Resumed:
			if f := n.routes[d.Ticket]; f != nil {
				delete(n.routes, d.Ticket)
				f(d.Route)
			}
		case agree.Charge:
			if n.Charges != nil {
				n.Charges.Charge(d.Topic, d.Owner, d.Epoch)
			}
		case agree.Audience:
			if n.Charges != nil {
				n.Charges.Audience(d.Topic, d.Wants)
			}
		case agree.Wanted, agree.Sourced:
			n.tellSources(d)
		case agree.Notice:
			n.metrics.notice(d.Name)
			n.changes.note(n.now, d)
			n.Log.Debug("topic", "topic", d.Topic, "event", d.Name, "peer", d.Detail)
		}
	}
	for _, m := range out.Messages {
		n.metrics.sent(m.Message)
		n.links.send(m.To, m.Message)
	}
}
