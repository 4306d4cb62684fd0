package main

import (
	"context"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"freshet/cmd/freshet/config"
	"freshet/origin"
	"freshet/relay"
)

// unwanted takes no event: these feeds bring none.
type unwanted struct{ origin.Sink }

func TestFeedsFollowTheRightTemplate(t *testing.T) {
	asked := make(chan string, 10)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path + " " + r.Header.Get("Authorization")
		http.NotFound(w, r)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}

	headers := map[string]string{"authorization": "Bearer secret"}
	f, err := openFeeds([]config.Feed{
		{Template: server.URL + "/all/{topic}", CA: ca, Headers: headers},
		{Template: server.URL + "/live/{topic}", Prefix: "live/", CA: ca},
		{Template: server.URL + "/football/{topic}", Prefix: "live/football/", CA: ca},
		{URL: []string{server.URL}, Topic: "news"},
		{URL: []string{server.URL}, Prefix: "tickers/"},
	}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.connect(unwanted{}, nil); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]string{
		"a":               "/all/a Bearer secret",
		"live/chess":      "/live/live/chess ",
		"live/football/1": "/football/live/football/1 ",
		"newspaper":       "/all/newspaper Bearer secret",
	} {
		err := f.Follow(t.Context(), topic, "", func() { t.Errorf("%s: opened", topic) })
		var status relay.Status
		if !errors.As(err, &status) || status.HTTPStatus() != 404 {
			t.Errorf("%s: %v, want the origin's 404", topic, err)
			continue
		}
		if got := <-asked; got != want {
			t.Errorf("%s: the origin was asked for %q, want %q", topic, got, want)
		}
	}
	for _, topic := range []string{"news", "tickers/a"} { // brought by feeds that run anyway
		if err := f.Follow(t.Context(), topic, "", func() {}); err != nil || len(asked) > 0 {
			t.Errorf("%s: %v, and %d requests", topic, err, len(asked))
		}
	}
}

func TestFeedsAreNamed(t *testing.T) {
	f, err := openFeeds([]config.Feed{
		{URL: []string{"http://origin.test/"}, Topic: "a"},
		{URL: []string{"http://origin.test/"}, Topic: "b", Name: "scores"},
	}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, source := range f.steady {
		names = append(names, source.Name)
	}
	if want := []string{"feeds[0]", "scores"}; !slices.Equal(names, want) {
		t.Errorf("named %q, want %q", names, want)
	}
}

func TestFeedsStopWithTheirContext(t *testing.T) {
	f, err := openFeeds([]config.Feed{
		{URL: []string{"http://127.0.0.1:1/"}, Topic: "a", Retry: time.Hour},
		{URL: []string{"http://127.0.0.1:1/"}, Topic: "b", Retry: time.Hour},
	}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.connect(unwanted{}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Every number of a feed's configuration is some source's.
func TestFeedSettingsArrive(t *testing.T) {
	source, err := newSource(config.Feed{
		URL: []string{"http://a.test/", "http://b.test/"}, Prefix: "p/", Headers: map[string]string{"x-a": "b"},
		Retry: 1, Idle: 2, MaxEvent: 3, MaxPulls: 4, MissFor: 5, MissRate: 6,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{len(source.URLs), source.Prefix, source.Header.Get("X-A"), source.Retry, source.IdleTimeout, source.MaxEvent, source.MaxPulls, source.MissFor, source.MissRate}
	want := []any{2, "p/", "b", time.Duration(1), time.Duration(2), 3, 4, time.Duration(5), 6}
	if !slices.Equal(got, want) {
		t.Errorf("the source has %v, want %v", got, want)
	}
}
