package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"freshet/cluster/agree"
	"freshet/cluster/faultnet"
	"freshet/ringbuf"
)

// shelf is a relay's rings as a test needs them: what is shown, and a mark of what one subscriber has read.
type shelf struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced
	shown   map[string][]agree.Entry
	opened  map[string]bool
	read    map[string][]agree.Entry // by one subscriber of each topic, from its beginning
	at      map[string]agree.Position
}

func newShelf() *shelf {
	return &shelf{
		changed: make(chan struct{}), shown: map[string][]agree.Entry{}, opened: map[string]bool{},
		read: map[string][]agree.Entry{}, at: map[string]agree.Position{},
	}
}

func (s *shelf) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *shelf) Show(topic string, entries []agree.Entry) {
	s.change(func() {
		s.shown[topic] = append(s.shown[topic], entries...)
		s.read[topic] = append(s.read[topic], entries...)
		s.at[topic] = entries[len(entries)-1].Position
	})
}

func (s *shelf) Replace(r agree.Replace) {
	s.change(func() {
		s.shown[r.Topic] = r.Entries
		rt := agree.Route{}
		if at := s.at[r.Topic]; at.Seq > 0 {
			rt = r.Route(agree.Place{At: at})
		}
		skip := map[uint64]bool{}
		for _, seq := range rt.Skip {
			skip[seq] = true
		}
		for _, e := range r.Entries {
			if e.Seq > rt.After && !skip[e.Seq] {
				s.read[r.Topic] = append(s.read[r.Topic], e)
			}
			s.at[r.Topic] = e.Position
		}
	})
}

func (s *shelf) Merged(agree.Merged) {}

func (s *shelf) Opened(topic string, _ agree.Position) { s.change(func() { s.opened[topic] = true }) }
func (s *shelf) Forget(topic string)                   { s.change(func() { delete(s.opened, topic) }) }

// wait waits until ok, which is asked after every change.
func (s *shelf) wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Fatalf("waited for %s; read %d events", what, len(s.read["t"]))
		}
	}
}

type relay struct {
	*Node
	shelf *shelf
	stop  func()
}

// testCluster is relays on one network: the real one, on loopback, if net is nil.
type testCluster struct {
	t      testing.TB
	net    *faultnet.Network
	relays []*relay
	keys   [][]byte
}

// onNetwork runs a test on n relays in virtual time, on a network that it can cut.
func onNetwork(t *testing.T, n int, test func(t *testing.T, c *testCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) }) // memberlist does not wait for its last probe
		test(t, newCluster(t, faultnet.New(), n))
	})
}

func newCluster(t testing.TB, network *faultnet.Network, n int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, net: network, keys: [][]byte{bytes.Repeat([]byte{7}, 32)}}
	for i := range n {
		c.add(fmt.Sprintf("r%d", i+1))
	}
	for _, r := range c.relays {
		r.waitMembers(t, n)
	}
	return c
}

// add starts a relay. Before it runs, each of set may change it.
func (c *testCluster) add(name string, set ...func(*Node)) *relay {
	c.t.Helper()
	r := &relay{shelf: newShelf()}
	r.Node = New(name, r.shelf)
	r.Cluster, r.Gossip, r.Links, r.Keys = "test", "127.0.0.1:0", "127.0.0.1:0", c.keys
	if c.net != nil {
		r.Network, r.Gossip, r.Links = c.net.Host(name), ":7946", ":7947"
	}
	if testing.Verbose() && os.Getenv("FRESHET_TEST_LOG") != "" {
		r.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("relay", name)
	}
	for _, o := range c.relays {
		r.Join = append(r.Join, o.members.list.LocalNode().Address())
	}
	for _, do := range set {
		do(r.Node)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("%s: %v", name, err)
		}
	})
	c.t.Cleanup(r.stop)
	select {
	case <-r.started:
	case err := <-done:
		c.t.Fatal(err)
	}
	c.relays = append(c.relays, r)
	return r
}

// waitMembers waits until a relay sees n relays that are ready and linked.
func (r *relay) waitMembers(t testing.TB, n int) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		s, err := r.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ready := 0
		for _, m := range s.Members {
			if m.State == "ready" && (m.Name == r.Name || m.Link != nil) {
				ready++
			}
		}
		if ready == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s sees %+v", r.Name, s.Members)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

func (r *relay) publish(ctx context.Context, topic, key string) error {
	for {
		_, _, _, err := r.Commit(ctx, topic, key, 0, []ringbuf.Entry{{Body: []byte("data: " + key + "\n")}})
		if !errors.Is(err, ErrNoOwner) {
			return err
		}
	}
}

func (r *relay) wantOnce(t *testing.T, topic string, n int) {
	t.Helper()
	r.shelf.wait(t, fmt.Sprintf("%d events at %s", n, r.Name), func() bool { return len(r.shelf.read[topic]) >= n })
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range r.shelf.read[topic] {
		if seen[e.Key] {
			t.Errorf("%s: %s was delivered twice", r.Name, e.Key)
		}
		seen[e.Key] = true
	}
	if len(seen) != n {
		t.Errorf("%s: %d different events, want %d", r.Name, len(seen), n)
	}
}

// TestNodesDeliver is on the real network, and by the wall's clock.
func TestNodesDeliver(t *testing.T) {
	c := newCluster(t, nil, 3)
	for _, r := range c.relays {
		r.Open("t")
		r.shelf.wait(t, "open", func() bool { return r.shelf.opened["t"] })
	}
	for i := range 30 {
		if err := c.relays[i%3].publish(t.Context(), "t", fmt.Sprint("k", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range c.relays {
		r.wantOnce(t, "t", 30)
	}
	id, count, fresh, err := c.relays[1].Commit(t.Context(), "t", "k3", 0, []ringbuf.Entry{{Body: []byte("data: k3\n")}})
	if err != nil || fresh != 0 || count != 1 || id == "" {
		t.Errorf("a repeat: id %q, count %d, fresh %d, %v", id, count, fresh, err)
	}
	if _, _, _, err = c.relays[2].Commit(t.Context(), "t", "k3", 0, []ringbuf.Entry{{Body: []byte("data: other\n")}}); err == nil {
		t.Error("other bytes under the same key are taken")
	}
	// A relay that had no subscriber answers a resume from the whole ring.
	place, err := ringbuf.ParsePosition(id)
	if err != nil {
		t.Fatal(err)
	}
	var route agree.Route
	if err := c.relays[0].Resume(t.Context(), "t", id, func(rt agree.Route) { route = rt }); err != nil || route.Found != agree.Known || route.After != place.Seq {
		t.Errorf("resume: %+v, %v", route, err)
	}
	status, ok, err := c.relays[0].Topic(t.Context(), "t")
	if err != nil || !ok || status.Owner == "" || status.Head == "" {
		t.Errorf("status: %+v, %v, %v", status, ok, err)
	}
	if err := c.relays[2].End(t.Context(), "t"); err != nil {
		t.Error(err)
	}
	if err := c.relays[0].publish(t.Context(), "t", "late"); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("publish to an ended topic: %v", err)
	}
}

// TestAlone: nobody is to be asked, and so the first event of a topic is committed in no time.
func TestAlone(t *testing.T) {
	onNetwork(t, 1, func(t *testing.T, c *testCluster) {
		began := time.Now()
		if err := c.relays[0].publish(t.Context(), "t", "first"); err != nil || time.Since(began) > 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// owner waits until a relay knows who owns the topic, and returns that one.
func (c *testCluster) owner(topic string) *relay {
	for _, r := range c.relays {
		s, ok, err := r.Topic(c.t.Context(), topic)
		if err == nil && ok && s.Role == "owner" {
			return r
		}
	}
	c.t.Fatal("nobody owns")
	return nil
}

func TestOwnerDies(t *testing.T) { onNetwork(t, 3, testOwnerDies) }

func testOwnerDies(t *testing.T, c *testCluster) {
	for _, r := range c.relays {
		r.Open("t")
		r.shelf.wait(t, "open", func() bool { return r.shelf.opened["t"] })
	}
	var acked atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	publisher := c.relays[0]
	if err := publisher.publish(ctx, "t", "first"); err != nil {
		t.Fatal(err)
	}
	dying := c.owner("t")
	if dying == publisher {
		publisher = c.relays[1]
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if publisher.publish(ctx, "t", fmt.Sprint("k", i)) == nil {
				acked.Add(1)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	publisher.shelf.wait(t, "events before", func() bool { return acked.Load() > 20 })
	c.net.Kill(dying.Name)
	before := acked.Load()
	publisher.shelf.wait(t, "events after", func() bool { return acked.Load() > before+20 })
	cancel()
	<-done
	if err := publisher.publish(t.Context(), "t", "last"); err != nil {
		t.Fatal(err)
	}
	for _, r := range c.relays {
		if r == dying {
			continue
		}
		r.shelf.wait(t, "the last event", func() bool {
			list := r.shelf.read["t"]
			return len(list) > 0 && list[len(list)-1].Key == "last"
		})
		r.shelf.mu.Lock()
		seen := map[string]int{}
		for _, e := range r.shelf.read["t"] {
			seen[e.Key]++
		}
		r.shelf.mu.Unlock()
		for i := range acked.Load() {
			if k := fmt.Sprint("k", i); seen[k] != 1 {
				t.Errorf("%s saw %s %d times", r.Name, k, seen[k])
			}
		}
	}
}

// TestWrongKey: who has another key neither hears nor is heard, whichever side begins; who has both is of both.
func TestWrongKey(t *testing.T) { onNetwork(t, 2, testWrongKey) }

func testWrongKey(t *testing.T, c *testCluster) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	thief := c.add("r0", func(n *Node) { n.Keys = [][]byte{key(8)} }) // its name sorts first: it dials
	rotating := c.add("r9", func(n *Node) { n.Keys = [][]byte{c.keys[0], key(9)} })
	for _, r := range []*relay{c.relays[0], c.relays[1], rotating} {
		r.waitMembers(t, 3)
	}
	time.Sleep(time.Minute)
	for _, r := range c.relays {
		want := 3
		if r == thief {
			want = 1
		}
		if s, err := r.Status(t.Context()); err != nil || len(s.Members) != want {
			t.Errorf("%s sees %+v (%v), want %d", r.Name, s.Members, err, want)
		}
	}
	if sent := c.net.Stats("r0", "r1"); sent.Packets+sent.Streams == 0 {
		t.Error("the thief did not even knock")
	}
	// And a link to a member's address, with the thief's own identity.
	address := c.relays[0].members.Alive()[0].Link
	if err := thief.links.connect(t.Context(), "r1", address); err == nil || !strings.Contains(err.Error(), "key") {
		t.Errorf("a link under another key: %v", err)
	}
}

func TestLoopbackOnly(t *testing.T) {
	for _, c := range []struct{ gossip, links, want string }{
		{"0.0.0.0:0", "127.0.0.1:0", "cluster.gossip"},
		{":0", "127.0.0.1:0", "cluster.gossip"},
		{"127.0.0.1:0", "192.0.2.1:0", "cluster.links"},
	} {
		n := New("a", newShelf())
		n.Gossip, n.Links = c.gossip, c.links
		if err := n.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "cluster.key") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestDrain(t *testing.T) { onNetwork(t, 3, testDrain) }

func testDrain(t *testing.T, c *testCluster) {
	for i := range 20 {
		if err := c.relays[0].publish(t.Context(), fmt.Sprint("t", i), "k"); err != nil {
			t.Fatal(err)
		}
	}
	leaving := c.relays[1]
	if err := leaving.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := leaving.Status(t.Context()); err != nil || s.Topics.Owned+s.Topics.Standby != 0 {
		t.Errorf("after draining: %+v, %v", s.Topics, err)
	}
	leaving.stop()
	for i := range 20 {
		topic := fmt.Sprint("t", i)
		if err := c.relays[0].publish(t.Context(), topic, "k2"); err != nil {
			t.Fatal(err)
		}
		c.relays[2].Open(topic)
		c.relays[2].shelf.wait(t, "both events", func() bool { return len(c.relays[2].shelf.shown[topic]) == 2 })
	}
}
