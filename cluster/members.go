package cluster

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"freshet/cluster/agree"
)

// Member is a relay that gossip knows.
type Member struct {
	agree.Member
	Link     string // address of its links listener
	Gossip   string // address that it gossips on
	Protocol uint8  // version of the links' messages that it speaks
}

// Members knows who is here. It has no part in who owns what.
type Members struct {
	Name     string   // of this relay, unique in the cluster; empty: the host's name
	Cluster  string   // label on every packet: clusters that share a network do not hear one another
	Gossip   string   // address to gossip on, UDP and TCP; default ":7946", with neither key nor certificates "127.0.0.1:7946"
	Join     []string // addresses of others; a name stands for all its addresses, now and later
	Keys     [][]byte // 32 bytes each; the first encrypts, all decrypt; none: not encrypted
	Region   string
	Role     agree.Role
	Protocol uint8
	Log      *slog.Logger // nil: discard
	Network  Network      // nil: the real one

	unjoined func(attempts int) // that failed at addresses of Join; nil: nobody counts

	list   *memberlist.Memberlist // static after start
	log    *gossipLog
	known  *addressBook
	linkAt string

	unresolved seldom // owned by join

	mu    sync.Mutex // guards what follows; held for moments only: memberlist calls in
	state agree.State
	alive map[string]Member
	wake  chan struct{} // capacity 1: alive has changed

	namesake string // address of another relay of this name; empty: not heard of any
	dispute  bool   // somebody takes this relay to be elsewhere, see doubters
}

const defaultGossipPort = 7946

// profile is memberlist's LAN default but for what decides how soon a dead relay is known: its default suspects for 4 to
// 6 s, which is longer than a subscriber should hear nothing.
func (m *Members) profile() (*memberlist.Config, error) {
	c := memberlist.DefaultLANConfig()
	c.Name = m.Name
	c.Label = m.Cluster
	c.ProbeInterval = 300 * time.Millisecond
	c.ProbeTimeout = 150 * time.Millisecond
	c.SuspicionMult = 3
	c.SuspicionMaxTimeoutMult = 2
	c.AwarenessMaxMultiplier = 4
	c.GossipInterval = 100 * time.Millisecond
	c.RetransmitMult = 8 // 4 leaves one relay of five in fifty without a piece of news, until the next push and pull
	c.GossipToTheDeadTime = 30 * time.Second
	c.PushPullInterval = 10 * time.Second
	c.TCPTimeout = 3 * time.Second
	c.DeadNodeReclaimTime = time.Second // a relay that comes back may have another address
	c.RequireNodeNames = false
	c.Delegate = &membersDelegate{m}
	c.Events = &membersEvents{m}
	c.Conflict = &membersConflict{m}
	c.Merge = &membersMerge{m}
	c.Logger = log.New(m.log, "", 0)
	if len(m.Keys) > 0 {
		ring, err := memberlist.NewKeyring(m.Keys, m.Keys[0])
		if err != nil {
			return nil, fmt.Errorf("cluster.key: %w", err)
		}
		c.Keyring = ring
	}
	host, port, err := net.SplitHostPort(m.Gossip)
	if err != nil {
		return nil, fmt.Errorf("cluster.gossip %q: %w", m.Gossip, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("cluster.gossip %q: port: %w", m.Gossip, err)
	}
	c.BindAddr, c.BindPort, c.AdvertisePort = host, int(n), int(n)
	if host == "" {
		c.BindAddr = "0.0.0.0"
	}
	return c, nil
}

// start begins to gossip, alone. link is the address of this relay's links listener: its host may be empty, and then
// others use the one that this relay gossips from.
func (m *Members) start(link string) error {
	if m.Log == nil {
		m.Log = slog.New(slog.DiscardHandler)
	}
	if m.Network == nil {
		m.Network = system{}
	}
	m.linkAt = link
	m.alive = map[string]Member{}
	m.wake = make(chan struct{}, 1)
	m.known = newAddressBook()
	m.log = &gossipLog{to: m.Log}
	config, err := m.profile()
	if err != nil {
		return err
	}
	if err := m.check(); err != nil {
		return err
	}
	if config.Transport, err = m.Network.Gossip(m.Gossip); err != nil {
		return fmt.Errorf("cluster.gossip: %w", err)
	}
	if m.list, err = memberlist.Create(config); err != nil {
		if config.Transport != nil {
			config.Transport.Shutdown()
		}
		return fmt.Errorf("gossip on %s: %w", m.Gossip, err)
	}
	return nil
}

// run joins the others, again and again, until ctx ends; then it says good-bye.
func (m *Members) run(ctx context.Context) error {
	m.join(ctx)
	m.log.ended.Store(true)
	if m.starting() && m.suspectsNamesake() { // its good-bye would be taken for the other's
		return m.list.Shutdown()
	}
	if err := m.list.Leave(time.Second); err != nil { // nobody heard it: they will notice
		m.Log.Debug("leave", "error", err)
	}
	return m.list.Shutdown()
}

// Changed is readable when Alive has changed since it was last read.
func (m *Members) Changed() <-chan struct{} { return m.wake }

// Alive lists who is here by gossip, this relay included, by name.
func (m *Members) Alive() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Member, 0, len(m.alive))
	for _, x := range m.alive {
		if x.Name == m.Name {
			x.State = m.state // gossip about oneself comes late
		}
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Say changes what this relay says of itself.
func (m *Members) Say(s agree.State) error {
	m.mu.Lock()
	m.state = s
	m.mu.Unlock()
	m.changed()
	return m.list.UpdateNode(time.Second)
}

// saying is what this relay says of itself.
func (m *Members) saying() agree.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *Members) starting() bool { return m.saying() == agree.Starting }

func (m *Members) changed() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// membersEvents and membersDelegate are called by memberlist with its locks held: they note and wake, nothing else.
type membersEvents struct{ m *Members }

func (e *membersEvents) NotifyJoin(n *memberlist.Node)   { e.m.note(n) }
func (e *membersEvents) NotifyUpdate(n *memberlist.Node) { e.m.note(n) }

func (e *membersEvents) NotifyLeave(n *memberlist.Node) {
	e.m.mu.Lock()
	delete(e.m.alive, n.Name)
	e.m.mu.Unlock()
	e.m.changed()
}

func (m *Members) note(n *memberlist.Node) {
	meta, err := parseMetadata(n.Meta)
	if err != nil { // another program's, or a later version's: it cannot be linked to
		m.Log.Warn("a member's metadata is unreadable", "member", n.Name, "error", err)
		return
	}
	x := meta.member(n.Name, n.Addr)
	x.Gossip = n.Address()
	if n.Name != m.Name {
		m.known.met(x.Gossip)
	}
	m.mu.Lock()
	m.alive[n.Name] = x
	m.mu.Unlock()
	m.changed()
}

type membersDelegate struct{ m *Members }

func (d *membersDelegate) NodeMeta(limit int) []byte {
	b := d.m.metadata().append(nil)
	if len(b) > limit {
		return nil // start has checked; memberlist panics on more
	}
	return b
}

func (d *membersDelegate) NotifyMsg([]byte)                {}
func (d *membersDelegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d *membersDelegate) LocalState(bool) []byte          { return nil }
func (d *membersDelegate) MergeRemoteState([]byte, bool)   {}
