package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet/cluster/faultnet"
	"freshet/cmd/freshet/config"
)

// storyTime lengthens the stories that can go on and on.
var storyTime = flag.Duration("cluster.story", 5*time.Second, "how long a cluster's longer stories go on")

// patience is for what must happen, on a machine that is busy with other tests.
const patience = 40 * time.Second

// A clusterStage is relays of the real program in one process, on a network that can be cut, each behind a door:
//
//	poster ──► door ──► member r1 ─┐
//	                               ├─ faultnet: gossip and links
//	watcher ◄─ door ◄── member r2 ─┘
type clusterStage struct {
	t   testing.TB
	net *faultnet.Network

	mu      sync.Mutex // guards what follows
	members []*member
}

// A member is one of them. Under the same name and behind the same door, there may be several after one another.
type member struct {
	standing
	stage *clusterStage
	door  *door
	set   []func(*config.Config)

	// Of the one that runs now.
	service *service
	stop    func() error // asks it to leave, and waits until it has
	up      atomic.Bool  // it runs; a member that was killed or is leaving does not
}

// newClusterStage starts n relays, r1 and so on, and waits until they see one another.
func newClusterStage(t testing.TB, n int, set ...func(*config.Config)) *clusterStage {
	t.Helper()
	s := &clusterStage{t: t, net: faultnet.New()}
	var all sync.WaitGroup
	for i := range n {
		m := s.cast(fmt.Sprintf("r%d", i+1), set...)
		all.Go(m.start)
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	s.awaitMembers(n)
	return s
}

// cast makes a member that has yet to start.
func (s *clusterStage) cast(name string, set ...func(*config.Config)) *member {
	s.t.Helper()
	m := &member{stage: s, door: newDoor(s.t), set: set}
	m.standing = standing{t: s.t, name: name, url: m.door.url()}
	s.mu.Lock()
	s.members = append(s.members, m)
	s.mu.Unlock()
	return m
}

// join adds one more relay.
func (s *clusterStage) join(name string, set ...func(*config.Config)) *member {
	s.t.Helper()
	m := s.cast(name, set...)
	m.start()
	return m
}

func (m *member) config() *config.Config {
	c := config.Default()
	c.Listen.Plain, c.Listen.Admin = "127.0.0.1:0", "127.0.0.1:0"
	c.Retry, c.Drain = 50*time.Millisecond, 2*time.Second
	c.Limits.AddressShare = 1
	c.Cluster.Name, c.Cluster.Label = m.name, "story"
	c.Cluster.Gossip, c.Cluster.Links = ":7946", ":7947"
	c.Cluster.Key = []string{config.FormatKey([32]byte{1, 2, 3})}
	for _, other := range m.stage.all() {
		if other != m {
			c.Cluster.Join = append(c.Cluster.Join, other.name)
		}
	}
	for _, do := range m.set {
		do(c)
	}
	return c
}

// start runs a relay under the member's name, and returns when it is ready.
func (m *member) start() {
	t := m.stage.t
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("FRESHET_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("relay", m.name)
	}
	s, err := openServiceOn(m.stage.net.Host(m.name), m.config(), log, nil)
	if err != nil {
		t.Errorf("%s: %v", m.name, err)
		return
	}
	ready := make(chan struct{})
	s.whenReady = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	m.service, m.admin = s, listenerURL("http", s.listeners.admin)
	m.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	stop := m.stop
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	})
	select {
	case <-ready:
		m.door.lead(s.url())
		m.up.Store(true)
	case err := <-done:
		done <- err
		t.Errorf("%s ends before it is ready: %v", m.name, err)
	case <-time.After(patience):
		t.Errorf("%s is never ready", m.name)
	}
}

// kill ends a relay as kill -9 does, as far as anybody else can see: nothing it still does reaches them.
func (m *member) kill() {
	m.up.Store(false)
	m.door.slam()
	m.stage.net.Kill(m.name)
	go m.stop() // in a void; the test waits for it in the end
}

// restart starts another relay under the name of one that is gone.
func (m *member) restart() {
	m.stage.t.Helper()
	m.start()
	if m.stage.t.Failed() {
		m.stage.t.FailNow()
	}
}

// leave is SIGTERM: it returns when the relay has drained.
func (m *member) leave() {
	m.stage.t.Helper()
	m.up.Store(false)
	if err := m.stop(); err != nil {
		m.stage.t.Errorf("%s: %v", m.name, err)
	}
	m.door.slam()
}

// pause stops all that a relay sends and takes, to its clients too.
func (m *member) pause() {
	m.door.hold(true)
	m.stage.net.Pause(m.name)
}

func (m *member) resume() {
	m.stage.net.Resume(m.name)
	m.door.hold(false)
}

func (s *clusterStage) all() []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members)
}

// running lists the members that were not killed, and are not leaving.
func (s *clusterStage) running() (list []*member) {
	for _, m := range s.all() {
		if m.up.Load() {
			list = append(list, m)
		}
	}
	return list
}

// member finds one by name.
func (s *clusterStage) member(name string) *member {
	s.t.Helper()
	for _, m := range s.all() {
		if m.name == name {
			return m
		}
	}
	s.t.Fatalf("there is no relay %q", name)
	return nil
}

// others are those that run but for some.
func (s *clusterStage) others(but ...*member) (list []*member) {
	for _, m := range s.running() {
		if !slices.Contains(but, m) {
			list = append(list, m)
		}
	}
	return list
}

// awaitMembers waits until all that run see n relays, ready and linked.
func (s *clusterStage) awaitMembers(n int) {
	s.t.Helper()
	for _, m := range s.running() {
		m.awaitMembers(n)
	}
}

// owner waits until a topic has one owner with a standby, among those that run, and returns both.
func (s *clusterStage) owner(topic string) (owner, standby *member) {
	s.t.Helper()
	return s.ownerAmong(topic, s.running())
}

// ownerAmong waits until one of some has the topic, and says who its standby is.
func (s *clusterStage) ownerAmong(topic string, members []*member) (owner, standby *member) {
	s.t.Helper()
	var among []standing
	for _, m := range members {
		among = append(among, m.standing)
	}
	o, b := awaitOwner(s.t, topic, among)
	return s.member(o), s.member(b)
}

// audience has a subscriber of every manner come to each of the relays.
func (s *clusterStage) audience(topic string, members []*member) (list []*watcher) {
	s.t.Helper()
	for _, m := range members {
		for _, how := range manners {
			list = append(list, watch(s.t, m.name+"/"+how.name, topic, how, m.at, func(w *watcher) { w.home = m.name }))
		}
	}
	for _, w := range list {
		w.awaitLive()
	}
	return list
}

// at is for a subscriber that comes back here, or elsewhere when nobody is here.
func (m *member) at() string {
	if m.up.Load() {
		return m.url
	}
	return m.stage.anywhere()
}

// first is for a publisher that goes here, and elsewhere only with what failed.
func (m *member) first(tries int) string {
	if tries == 1 {
		return m.url
	}
	return m.stage.anywhere()
}

// anywhere is a relay that chance draws among those that run, as a balancer does.
func (s *clusterStage) anywhere() string {
	list := s.running()
	return list[rand.IntN(len(list))].url
}

func names(list []*member) (names []string) {
	for _, m := range list {
		names = append(names, m.name)
	}
	return names
}
