package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"freshet/origin"
	"freshet/origin/sse"
)

// An origin team publishes over HTTP/3, and a second relay pulls the first one's topic over HTTP/3; the first relay
// is killed and comes back, and both go on: the second finds out by the stateless reset that answers its next request.
func TestStoryOriginHTTP3(t *testing.T) {
	t.Parallel()
	files := newCertificateFiles(t)
	files.write("localhost")
	public, plain, admin := "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	start := func() *program {
		t.Helper()
		p, err := startProgram(context.Background(), nil, "", "run", "-public", public, "-plain", plain, "-admin", admin,
			"-set", "tls.cert="+files.cert, "-set", "tls.key="+files.key, "-set", "listen.http3_secret="+strings.Repeat("s", 32),
			"-set", "heartbeat=200ms", "-set", "drain=100ms", "-set", "log.level=warn")
		if err != nil || p.ready == "" {
			t.Fatal(err, p.output)
		}
		t.Cleanup(func() { _ = p.stop() })
		return p
	}
	first := start()
	at := strings.Replace(first.url("public"), "127.0.0.1", "localhost", 1)
	public = strings.Replace(strings.TrimPrefix(at, "https://"), "localhost", "127.0.0.1", 1)
	plain, admin = strings.TrimPrefix(first.url("plain"), "http://"), strings.TrimPrefix(first.url("admin"), "http://")

	pull := filepath.Join(t.TempDir(), "freshet.yaml")
	if err := os.WriteFile(pull, fmt.Appendf(nil, "feeds: [{url: %s/events/scores, topic: scores, http3: true, ca: %s, idle_timeout: 1s, retry: 50ms}]\n", at, files.cert), 0o600); err != nil {
		t.Fatal(err)
	}
	second := startRelay(t, "-config", pull, "-plain", "127.0.0.1:0")
	listening, err := http.Get(second.url("plain") + "/events/scores")
	if err != nil {
		t.Fatal(err)
	}
	defer listening.Body.Close()
	events := sse.NewReader(listening.Body)
	want := func(data string) {
		t.Helper()
		for e, err := range events.All() {
			if err != nil {
				t.Fatalf("waiting for %q: %v", data, err)
			}
			if !e.Control() {
				if string(e.Data) != data {
					t.Fatalf("got %q, want %q", e.Data, data)
				}
				return
			}
		}
	}

	client := overHTTP3(&tls.Config{InsecureSkipVerify: true})
	defer client.CloseIdleConnections()
	publisher := &origin.Publisher{Relays: []string{at}, Client: client, Retry: time.Millisecond, MaxRetry: 20 * time.Millisecond, AttemptTimeout: 2 * time.Second}
	publish := func(data string) {
		t.Helper()
		if _, err := publisher.Publish(t.Context(), "scores", origin.Event{Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
		want(data)
	}
	waitFor(t, "the feed is pulled over HTTP/3", func() bool {
		return metricOf(t, first.url("admin"), "freshet_relay_http3_subscribers") == "1"
	})
	publish("one")
	stream := publisher.Stream("scores")
	for i := range 300 {
		if _, err := stream.Send(t.Context(), origin.Event{Data: []byte(strconv.Itoa(i))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		want(strconv.Itoa(i))
	}

	_ = first.command.Process.Signal(syscall.SIGKILL)
	<-first.ended
	began := time.Now()
	first = start()
	waitFor(t, "the feed is pulled again", func() bool {
		return metricOf(t, first.url("admin"), "freshet_relay_http3_subscribers") == "1"
	})
	t.Logf("the feed is pulled again after %v", time.Since(began).Round(time.Millisecond))
	publish("two")
	if _, err := stream.Send(t.Context(), origin.Event{Data: []byte("three")}); err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("three")
}

// waitFor waits until the condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for patience := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(patience) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
