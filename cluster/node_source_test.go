package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"freshet/cluster/agree"
)

// wants is a process that is told who wants topics, and answers.
type wants struct {
	node   *Node
	answer int

	mu     sync.Mutex
	wanted map[string]string // relay -> "id known"
	heard  []int
}

func (w *wants) Wanted(topic, from, id string, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted[from] = fmt.Sprint(id, " ", known)
	w.node.Recall(topic, id)
	w.node.Sourced(topic, from, w.answer)
}

func (w *wants) Unwanted(_, from string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wanted, from)
}

func (w *wants) Sourced(_ string, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = append(w.heard, status)
}

// told waits until the owner is told exactly this.
func (w *wants) told(t *testing.T, want map[string]string) {
	t.Helper()
	deadline := time.Now().Add(4 * time.Second)
	for {
		w.mu.Lock()
		got := fmt.Sprint(w.wanted)
		w.mu.Unlock()
		if got == fmt.Sprint(want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is told %s, want %v", w.node.Name, got, want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// wantHeard wants a relay to have heard this, once or more, and nothing else.
func (w *wants) wantHeard(t *testing.T, status int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.heard) == 0 {
		t.Errorf("%s hears nothing", w.node.Name)
	}
	for _, s := range w.heard {
		if s != status {
			t.Errorf("%s hears %v, want %d", w.node.Name, w.heard, status)
			break
		}
	}
}

// TestWanted: whoever wants a topic, its owner is told, and its word comes back: at the owner itself, its standby, a
// follower; and again when the owner is another.
func TestWanted(t *testing.T) { onNetwork(t, 0, testWanted) }

func testWanted(t *testing.T, c *testCluster) {
	const id = "41"
	all := map[string]*wants{}
	for _, name := range []string{"r1", "r2", "r3", "r4"} {
		w := &wants{answer: SourceOpen, wanted: map[string]string{}}
		all[name] = w
		w.node = c.add(name, func(n *Node) { n.Sources = w; w.node = n }).Node
	}
	for _, r := range c.relays {
		r.waitMembers(t, 4)
	}
	const topic = "live/x"
	before, after := map[string]string{}, map[string]string{}
	for _, r := range c.relays {
		r.Open(topic)
		r.shelf.wait(t, "open", func() bool { return r.shelf.opened[topic] })
		r.Want(topic, id)
		before[r.Name], after[r.Name] = id+" false", id+" true"
	}
	owner := c.owner(topic)
	all[owner.Name].told(t, before)
	for _, w := range all {
		if w.node != owner.Node {
			w.told(t, map[string]string{})
		}
	}
	// What nothing came to yet begins after the id, for everybody.
	for _, r := range c.relays {
		var route agree.Route
		if err := r.Resume(t.Context(), topic, id, func(rt agree.Route) { route = rt }); err != nil || route.Found != agree.Known || route.After != 0 {
			t.Errorf("%s: resume after %s: %+v, %v", r.Name, id, route, err)
		}
	}
	time.Sleep(time.Minute) // said again, in vain
	for _, w := range all {
		w.wantHeard(t, SourceOpen)
	}
	all[owner.Name].told(t, after)

	c.net.Kill(owner.Name)
	delete(after, owner.Name)
	var heir *wants
	for _, r := range c.relays {
		if r != owner && r.Name == c.next(topic, owner.Name) {
			heir = all[r.Name]
		}
	}
	heir.told(t, after)
	if err := heir.node.Resume(t.Context(), topic, id, func(rt agree.Route) {
		if rt.Found != agree.Known || rt.After != 0 {
			t.Errorf("after a takeover: resume after %s: %+v", id, rt)
		}
	}); err != nil {
		t.Error(err)
	}
	// A last word comes to who is there; and who wants it no more is forgotten.
	heir.mu.Lock()
	heir.answer = 404
	heir.mu.Unlock()
	for _, r := range c.relays {
		if r != owner {
			r.Unwant(topic)
		}
	}
	heir.told(t, map[string]string{})
	for name, w := range all {
		w.mu.Lock()
		w.heard = nil
		w.mu.Unlock()
		if name != owner.Name {
			w.node.Want(topic, "50")
		}
	}
	time.Sleep(time.Second)
	for name, w := range all {
		if name != owner.Name {
			w.wantHeard(t, 404)
		}
	}
}

// next is who should own a topic when one is gone.
func (c *testCluster) next(topic, gone string) string {
	var members []agree.Member
	for _, r := range c.relays {
		if r.Name != gone {
			members = append(members, agree.Member{Name: r.Name, State: agree.Ready})
		}
	}
	return agree.Order(topic, members)[0].Name
}
