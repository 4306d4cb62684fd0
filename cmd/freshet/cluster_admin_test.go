package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/cluster"
	"freshet/cmd/freshet/config"
	"freshet/relay"
)

// testMember is a relay of the cluster that a test is.
type testMember struct {
	*service
	stop func() // ends it, and wants a clean end
}

// memberConfig is the configuration of one.
func memberConfig(t *testing.T, name string) *config.Config {
	c := config.Default()
	c.Listen.Plain, c.Listen.Admin = "127.0.0.1:0", "127.0.0.1:0"
	c.Drain = 2 * time.Second
	c.Cluster.Name, c.Cluster.Label = name, t.Name()
	c.Cluster.Gossip, c.Cluster.Links = "127.0.0.1:0", "127.0.0.1:0"
	c.Cluster.Key = []string{config.FormatKey([32]byte{1, 2, 3})}
	return c
}

// startMember runs one until the test ends, and returns it once it has joined.
func startMember(t *testing.T, name string, change func(*config.Config)) *testMember {
	t.Helper()
	c := memberConfig(t, name)
	if change != nil {
		change(c)
	}
	s, err := openService(c, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s.whenReady = func() { close(ready) }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	m := &testMember{service: s, stop: sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})}
	t.Cleanup(m.stop)
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("%s ends before it is ready: %v", name, err)
	}
	return m
}

// invites makes another join this one.
func (m *testMember) invites(t *testing.T) func(*config.Config) {
	gossip, _ := m.member.addresses(t.Context())
	return func(c *config.Config) { c.Cluster.Join = []string{gossip} }
}

// testAdmin asks the relay's admin listener.
func (s *service) testAdmin(t *testing.T, path string) (status int, kind, body string) {
	t.Helper()
	resp, err := http.Get(listenerURL("http", s.listeners.admin) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(text)
}

func TestClusterPages(t *testing.T) {
	t.Parallel()
	a := startMember(t, "a", nil)
	gossip, _ := a.member.addresses(t.Context())
	b := startMember(t, "b", func(c *config.Config) { c.Cluster.Join, c.Cluster.Region = []string{gossip}, "north" })
	for _, s := range []*testMember{a, b} {
		var shown cluster.Status
		for deadline := time.Now().Add(10 * time.Second); ; {
			code, kind, body := s.testAdmin(t, "/cluster")
			if code != http.StatusOK || kind != "application/json" {
				t.Fatalf("%d, %s: %s", code, kind, body)
			}
			shown = cluster.Status{}
			if err := json.Unmarshal([]byte(body), &shown); err != nil {
				t.Fatal(err)
			}
			if len(shown.Members) == 2 && shown.Members[0].State == "ready" && shown.Members[1].State == "ready" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s sees %+v", s.member.Name, shown.Members)
			}
		}
		if m := shown.Members; shown.Name != s.member.Name || shown.Cluster != t.Name() || m[0].Name != "a" || m[1].Region != "north" {
			t.Errorf("%+v", shown)
		}
	}
	if !strings.Contains(a.readyLine(), ", member a, gossip "+gossip+", links 127.0.0.1:") {
		t.Errorf("the ready line is %s", a.readyLine())
	}
	for path, want := range map[string]int{
		"/cluster/topics/no/such": http.StatusNotFound,
		"/cluster/topics/":        http.StatusBadRequest,
		"/cluster/topics/a%20b":   http.StatusBadRequest,
		"/readyz":                 http.StatusOK,
	} {
		code, kind, body := b.testAdmin(t, path)
		if code != want {
			t.Errorf("%s: %d, want %d: %s", path, code, want, body)
		}
		if want != http.StatusOK {
			wantProblem(t, kind, body, want)
		}
	}
}

func wantProblem(t *testing.T, kind, body string, status int) {
	t.Helper()
	var p relay.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || kind != "application/problem+json" || p.Status != status || p.Detail == "" {
		t.Errorf("%s is no problem of status %d: %s", kind, status, body)
	}
}

func TestClusterPagesOfARelayAlone(t *testing.T) {
	c := config.Default()
	c.Listen.Plain, c.Listen.Admin = "127.0.0.1:0", "127.0.0.1:0"
	c.Drain = time.Millisecond
	s, err := openService(c, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for _, path := range []string{"/cluster", "/cluster/topics/a/b"} {
		code, kind, body := s.testAdmin(t, path)
		if code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
		wantProblem(t, kind, body, http.StatusNotFound)
	}
}

// An address that is taken ends the process, and the line says which setting it is.
func TestClusterAddressInUse(t *testing.T) {
	t.Parallel()
	a := startMember(t, "a", nil)
	gossip, links := a.member.addresses(t.Context())
	for _, c := range []struct{ key, gossip, links, want string }{
		{"cluster.gossip", gossip, "127.0.0.1:0", gossip},
		{"cluster.links", "127.0.0.1:0", links, links},
	} {
		conf := config.Default()
		conf.Listen.Plain, conf.Listen.Admin = "127.0.0.1:0", ""
		conf.Cluster.Name, conf.Cluster.Gossip, conf.Cluster.Links = "b", c.gossip, c.links
		said := newTranscript()
		s, err := openService(conf, slog.New(slog.NewTextHandler(said, nil)), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.whenReady = func() { t.Errorf("with a %s that is taken, the relay is ready", c.key) }
		err = s.Run(t.Context())
		want := fmt.Sprintf("%s: %s is in use by another program; choose another with -set %s=HOST:PORT", c.key, c.want, c.key)
		if err == nil || err.Error() != want {
			t.Errorf("%v\nwant\n%s", err, want)
		}
		if said.String() != "" {
			t.Errorf("besides the error, it says\n%s", said)
		}
	}
}
