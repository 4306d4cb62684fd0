package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/cluster/agree"
	"freshet/cmd/freshet/config"
	"freshet/relay"
	"freshet/ringbuf"
)

func TestPlaced(t *testing.T) {
	got := placed([]agree.Entry{
		{Position: agree.Position{Epoch: 3, Seq: 7}, ID: "x", Key: "k", Commit: 1500, Body: []byte("data: a\n")},
		{Position: agree.Position{Epoch: 3, Seq: 8}, Commit: 1501, Kind: agree.Gap, Body: []byte("event: freshet.gap\n")},
		{Position: agree.Position{Epoch: 4, Seq: 9}, Commit: 1502, Kind: agree.End},
	})
	want := []relay.Placed{
		{At: ringbuf.Position{Epoch: 3, Seq: 7}, Entry: ringbuf.Entry{ID: "x", Settled: true, Commit: time.UnixMilli(1500), Body: []byte("data: a\n")}},
		{At: ringbuf.Position{Epoch: 3, Seq: 8}, Entry: ringbuf.Entry{Settled: true, Commit: time.UnixMilli(1501), Body: []byte("event: freshet.gap\n")}},
		{At: ringbuf.Position{Epoch: 4, Seq: 9}, Entry: ringbuf.Entry{Settled: true, Commit: time.UnixMilli(1502)}, End: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRouteOf(t *testing.T) {
	for found, want := range map[agree.Found]ringbuf.Found{
		agree.Known: ringbuf.Known, agree.Evicted: ringbuf.Evicted, agree.Ahead: ringbuf.Ahead, agree.Unknown: ringbuf.Unknown,
	} {
		lost := agree.Position{Epoch: 2, Seq: 5}
		got := routeOf(agree.Route{Found: found, After: 4, Skip: []uint64{6}, Lost: lost, Missing: true})
		if diff := cmp.Diff(relay.Route{Found: want, After: 4, Skip: []uint64{6}, Lost: lost, Missing: true}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// testPublish posts one event and wants it committed.
func (s *service) testPublish(t *testing.T, topic, data string) {
	t.Helper()
	resp, err := http.Post(s.url()+"/events/"+topic, "text/plain", strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusCreated {
		t.Fatalf("publish to %s: %s: %s", topic, resp.Status, answer)
	}
}

// testRead reads the topic from its oldest event until it has n, and returns their data.
func (s *service) testRead(t *testing.T, topic string, n int) (data []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+"/events/"+topic+"?from=oldest", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); len(data) < n; {
		if !lines.Scan() {
			t.Fatalf("%s ends after %q: %v", topic, data, lines.Err())
		}
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			data = append(data, text)
		}
	}
	return data
}

// What is published at one relay is read at another, in one order.
func TestMembersShareTopics(t *testing.T) {
	t.Parallel()
	a := startMember(t, "a", nil)
	b := startMember(t, "b", a.invites(t))
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint("event ", i))
		[]*testMember{a, b}[i%2].testPublish(t, "scores/match-1", want[i])
	}
	for _, m := range []*testMember{a, b} {
		if diff := cmp.Diff(want, m.testRead(t, "scores/match-1", len(want))); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", m.member.Name, diff)
		}
	}
}

// A relay that stops gives its topics to the others before it ends, so that nothing has to be taken over.
func TestMemberLeaves(t *testing.T) {
	t.Parallel()
	a := startMember(t, "a", nil)
	b := startMember(t, "b", a.invites(t))
	const topics = 8
	for i := range topics {
		a.testPublish(t, fmt.Sprint("t", i), "before")
	}
	if _, _, page := a.testAdmin(t, "/metrics"); !strings.Contains(page, "\nfreshet_cluster_topics{standing=\"owned\"} ") ||
		strings.Contains(page, "\nfreshet_cluster_topics{standing=\"owned\"} 0\n") {
		t.Fatal("the relay that is to leave owns nothing: that proves nothing")
	}
	takeovers := func() string {
		_, _, page := b.testAdmin(t, "/metrics")
		_, line, _ := strings.Cut(page, "freshet_cluster_ownership_changes_total{reason=\"takeover\"} ")
		count, _, _ := strings.Cut(line, "\n")
		return count
	}
	before := takeovers()
	a.stop()
	for i := range topics {
		b.testPublish(t, fmt.Sprint("t", i), "after")
		if got := b.testRead(t, fmt.Sprint("t", i), 2); !cmp.Equal(got, []string{"before", "after"}) {
			t.Errorf("t%d: %q", i, got)
		}
	}
	if after := takeovers(); after != before {
		t.Errorf("%s topics had to be taken over, before the other left %s", after, before)
	}
}

// A relay that still joins is not sent subscribers, and says why.
func TestMemberIsNotReadyWhileItJoins(t *testing.T) {
	t.Parallel()
	c := memberConfig(t, "a")
	c.Cluster.Join = []string{"127.0.0.1:1"} // nobody: it waits for a while
	s, err := openService(c, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s.whenReady = func() { close(ready) }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if code, _, body := s.testAdmin(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "not ready: joining the cluster") {
		t.Errorf("%d: %s", code, body)
	}
	if code, _, _ := s.testAdmin(t, "/healthz"); code != http.StatusOK {
		t.Errorf("it is not even healthy: %d", code)
	}
	<-ready
	if code, _, body := s.testAdmin(t, "/readyz"); code != http.StatusOK {
		t.Errorf("%d: %s", code, body)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The key is changed while the relays run: as the README says, one relay after another, three times.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	old, next := config.FormatKey([32]byte{1, 2, 3}), config.FormatKey([32]byte{4, 5, 6})
	a := startMember(t, "a", nil)
	b := startMember(t, "b", a.invites(t))
	a.testPublish(t, "t", "0")
	n := 0
	for _, keys := range [][]string{{old, next}, {next, old}, {next}} {
		b.stop()
		b = startMember(t, "b", func(c *config.Config) { a.invites(t)(c); c.Cluster.Key = keys })
		a.stop()
		a = startMember(t, "a", func(c *config.Config) { b.invites(t)(c); c.Cluster.Key = keys })
		n++
		a.testPublish(t, "t", fmt.Sprint(n))
		if got := b.testRead(t, "t", n+1); got[n] != fmt.Sprint(n) || got[0] != "0" {
			t.Fatalf("with %d keys, round %d: %q", len(keys), n, got)
		}
	}
}

// With certificates of one's own, gossip is still the key's; and a certificate of another authority opens no link.
func TestOwnCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	a := startMember(t, "a", func(c *config.Config) { c.Cluster.TLS = ours.issue(t, "a") })
	b := startMember(t, "b", func(c *config.Config) { a.invites(t)(c); c.Cluster.TLS = ours.issue(t, "b") })
	a.testPublish(t, "t", "event")
	if got := b.testRead(t, "t", 1); got[0] != "event" {
		t.Errorf("%q", got)
	}
	thief := startMember(t, "thief", func(c *config.Config) { a.invites(t)(c); c.Cluster.TLS = theirs.issue(t, "thief") })
	status, err := thief.member.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range status.Members {
		if m.Link != nil {
			t.Errorf("a relay with another authority's certificate has a link to %s", m.Name)
		}
	}
}

// authority signs relays' certificates.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	file        string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relays"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) issue(t *testing.T, name string) config.ClusterTLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := config.ClusterTLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: a.file}
	writePEM(t, files.Cert, "CERTIFICATE", der)
	writePEM(t, files.Key, "PRIVATE KEY", private)
	return files
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
