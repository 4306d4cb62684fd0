package cluster

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"freshet/cluster/agree"
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

func (s *shelf) Opened(topic string, _ agree.Position) { s.change(func() { s.opened[topic] = true }) }
func (s *shelf) Forget(topic string)                   { s.change(func() { delete(s.opened, topic) }) }

// wait waits until ok, which is asked after every change.
func (s *shelf) wait(t *testing.T, what string, ok func() bool) {
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

// network is what links are dialed through: a test can cut two relays.
type network struct {
	mu    sync.Mutex
	cut   map[[2]string]bool
	conns map[[2]string][]net.Conn
	to    map[string]string // address -> name
}

func (w *network) dial(from string) func(ctx context.Context, netw, address string) (net.Conn, error) {
	return func(ctx context.Context, netw, address string) (net.Conn, error) {
		w.mu.Lock()
		pair := [2]string{from, w.to[address]}
		cut := w.cut[pair]
		w.mu.Unlock()
		if cut {
			return nil, fmt.Errorf("cut from %s", pair[1])
		}
		c, err := new(net.Dialer).DialContext(ctx, netw, address)
		if err == nil {
			w.mu.Lock()
			w.conns[pair] = append(w.conns[pair], c)
			w.mu.Unlock()
		}
		return c, err
	}
}

type relay struct {
	*Node
	shelf *shelf
	stop  func()
}

type testCluster struct {
	t      *testing.T
	net    *network
	relays []*relay
	keys   [][]byte
}

func newCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, net: &network{cut: map[[2]string]bool{}, conns: map[[2]string][]net.Conn{}, to: map[string]string{}}}
	c.keys = [][]byte{bytes.Repeat([]byte{7}, 32)}
	for i := range n {
		c.add(fmt.Sprintf("r%d", i+1), c.keys)
	}
	for _, r := range c.relays {
		r.waitMembers(t, n)
	}
	return c
}

func (c *testCluster) add(name string, keys [][]byte) *relay {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	r := &relay{shelf: newShelf()}
	r.Node = New(name, r.shelf)
	r.Cluster, r.Gossip, r.LinksListener, r.Keys = "test", "127.0.0.1:0", l, keys
	r.dial = c.net.dial(name)
	if testing.Verbose() && os.Getenv("FRESHET_TEST_LOG") != "" {
		r.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("relay", name)
	}
	for _, o := range c.relays {
		r.Join = append(r.Join, o.members.list.LocalNode().Address())
	}
	c.net.mu.Lock()
	c.net.to[l.Addr().String()] = name
	c.net.mu.Unlock()
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
func (r *relay) waitMembers(t *testing.T, n int) {
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
		if err != ErrNoOwner {
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

func TestNodesDeliver(t *testing.T) {
	c := newCluster(t, 3)
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
	place, err := agree.ParsePlace(id)
	if err != nil {
		t.Fatal(err)
	}
	var route agree.Route
	if err := c.relays[0].Resume(t.Context(), "t", place, func(rt agree.Route) { route = rt }); err != nil || route.Found != agree.Known || route.After != place.At.Seq {
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

func TestOwnerDies(t *testing.T) {
	c := newCluster(t, 3)
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
		}
	}()
	publisher.shelf.wait(t, "events before", func() bool { return acked.Load() > 20 })
	dying.stop()
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

func TestWrongKey(t *testing.T) {
	c := newCluster(t, 2)
	thief := c.add("r0", [][]byte{bytes.Repeat([]byte{8}, 32)}) // its name sorts first: it dials
	rotating := c.add("r9", [][]byte{bytes.Repeat([]byte{9}, 32), c.keys[0]})
	_ = rotating
	c.relays[0].waitMembers(t, 2)
	if s, err := thief.Status(t.Context()); err != nil || len(s.Members) != 1 {
		t.Errorf("with another key: %+v, %v", s.Members, err)
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

func TestDrain(t *testing.T) {
	c := newCluster(t, 3)
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
