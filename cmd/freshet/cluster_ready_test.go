package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"freshet/cmd/freshet/config"
)

// An edge that sees nobody who may own topics says so at once, and to everybody who asks.
func TestEdgeWithoutOwners(t *testing.T) {
	t.Parallel()
	edge := startMember(t, "edge", func(c *config.Config) { c.Cluster.Role = "edge" })
	const why = "no relay that may own topics is in view (cluster.role)"
	wantRefused := func() {
		t.Helper()
		if code, _, body := edge.testAdmin(t, "/readyz"); code != http.StatusServiceUnavailable || body != "not ready: "+why+"\n" {
			t.Errorf("/readyz: %d: %s", code, body)
		}
		if code, _, body := edge.testAdmin(t, "/cluster/topics/k/a"); code != http.StatusNotFound || !strings.Contains(body, "nothing is known of the topic k/a: "+why) {
			t.Errorf("/cluster/topics: %d: %s", code, body)
		}
		for _, method := range []string{http.MethodPost, http.MethodDelete, http.MethodGet} {
			req, err := http.NewRequestWithContext(t.Context(), method, edge.url()+"/events/k/a", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), why) {
				t.Errorf("%s: %s, Retry-After %q: %s", method, resp.Status, resp.Header.Get("Retry-After"), body)
			}
			if took := time.Since(began); took > 4*time.Second { // the patience of a publish is 5 s
				t.Errorf("%s is answered after %v", method, took)
			}
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, edge.url()+"/events/k/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "retry: ") || strings.Count(string(body), "\n") != 1 {
			t.Errorf("an EventSource gets %s: %q", resp.Status, body)
		}
	}
	wantRefused()

	hub := startMember(t, "hub", func(c *config.Config) { edge.invites(t)(c); c.Cluster.Role = "hub" })
	for deadline := time.Now().Add(10 * time.Second); ; {
		code, _, body := edge.testAdmin(t, "/readyz")
		if code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("with a hub: %d: %s", code, body)
		}
	}
	edge.testPublish(t, "k/a", "event")
	if got := edge.testRead(t, "k/a", 1); got[0] != "event" {
		t.Errorf("%q", got)
	}
	hub.stop()
	if code, _, body := edge.testAdmin(t, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("the hub has left: %d: %s", code, body)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, _, body := edge.testAdmin(t, "/cluster/topics/k/a")
		if strings.Contains(body, `"owner_lost": true`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the hub has left, and the topic seems owned: %s", body)
		}
	}
}

// A relay whose part in the cluster is over is not ready, whatever became of the rest of it.
func TestNoMemberIsNotReady(t *testing.T) {
	m := &membership{ended: make(chan struct{})}
	close(m.ended)
	if err := m.ready(); err != errNoMember {
		t.Error(err)
	}
}

// A relay with a drain_delay tells the others at once that it leaves, and its topics move; who does not know yet is served on.
func TestMemberLeavesWithNotice(t *testing.T) {
	t.Parallel()
	a := startMember(t, "a", func(c *config.Config) { c.DrainDelay = 3 * time.Second })
	b := startMember(t, "b", a.invites(t))
	const topics = 8
	for i := range topics {
		a.testPublish(t, fmt.Sprint("t", i), "before")
	}
	owned := func() int {
		status, err := a.member.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return status.Topics.Owned
	}
	if owned() == 0 {
		t.Fatal("the relay that is to leave owns nothing: that proves nothing")
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.stop()
	}()
	for deadline := time.Now().Add(2 * time.Second); owned() > 0 && time.Now().Before(deadline); {
	}
	if n := owned(); n > 0 {
		t.Errorf("while it gives notice, it keeps %d topics", n)
	}
	if code, _, body := a.testAdmin(t, "/readyz"); code != http.StatusServiceUnavailable || body != "not ready: draining\n" {
		t.Errorf("/readyz: %d: %s", code, body)
	}
	for i := range topics {
		a.testPublish(t, fmt.Sprint("t", i), "after")
		for _, m := range []*testMember{a, b} {
			if got := m.testRead(t, fmt.Sprint("t", i), 2); !slices.Equal(got, []string{"before", "after"}) {
				t.Errorf("t%d at %s: %q", i, m.member.Name, got)
			}
		}
	}
	a.testPublish(t, "new", "event")
	select {
	case <-stopped:
		t.Error("it did not wait")
	default:
	}
	<-stopped
}
