package cluster

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/cluster/agree"
)

// journal is a log that a test reads.
type journal struct {
	mu    sync.Mutex // guards text
	text  strings.Builder
	level slog.Level
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: j.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// lines are those so far that contain a text, in order.
func (j *journal) lines(with string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []string
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, with) {
			list = append(list, strings.TrimSuffix(line, "\n"))
		}
	}
	return list
}

func (j *journal) want(t *testing.T, with string, n int) {
	t.Helper()
	if list := j.lines(with); len(list) != n {
		t.Errorf("%d lines say %q, want %d: %q", len(list), with, n, j.lines(""))
	}
}

// TestOwners: an edge that has no hub says so, once, and so does its log.
func TestOwners(t *testing.T) {
	onNetwork(t, 0, func(t *testing.T, c *testCluster) {
		if err := New("x", newShelf()).Owners(); !errors.Is(err, ErrClosed) {
			t.Errorf("before it runs: %v", err)
		}
		var log journal
		edge := c.add("e", func(n *Node) { n.Role, n.Log = agree.Edge, log.logger() })
		time.Sleep(time.Minute)
		if err := edge.Owners(); !errors.Is(err, ErrOwnerless) {
			t.Errorf("alone: %v", err)
		}
		log.want(t, "level=WARN msg=\"no relay in view may own a topic\"", 1)
		hub := c.add("h", func(n *Node) { n.Role = agree.Hub })
		edge.waitMembers(t, 2)
		time.Sleep(time.Second) // what is in view is logged a moment later
		if err := edge.Owners(); err != nil {
			t.Errorf("with a hub: %v", err)
		}
		log.want(t, "level=INFO msg=\"a relay that may own topics is in view again\"", 1)
		if err := hub.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := edge.Owners(); !errors.Is(err, ErrOwnerless) {
			t.Errorf("with a hub that leaves: %v", err)
		}
		hub.stop()
		time.Sleep(time.Minute)
		log.want(t, "no relay in view may own", 2)
		edge.stop()
		log.want(t, "may own", 3)
	})
}

func TestOwnersAllocatesNothing(t *testing.T) {
	c := newCluster(t, nil, 1)
	if n := testing.AllocsPerRun(100, func() { _ = c.relays[0].Owners() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
