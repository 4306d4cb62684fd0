package main

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"freshet/cmd/freshet/config"
	"freshet/relay"
)

// TestRelayConfigIsComplete makes every setting of the relay differ from its zero, and
// wants to find it there: a limit that is documented and handed on to nobody would be none.
func TestRelayConfigIsComplete(t *testing.T) {
	c := config.Default()
	c.Topics.Coalesce = time.Millisecond
	c.Limits.Connections = 1
	c.DrainDelay = time.Second
	c.Publish.Tokens = []string{"a"}
	c.Compress.Except = []string{"c"}
	c.Listen.AdminHosts = []string{"b"}
	rc := reflect.ValueOf(relayConfig(c))
	// These are the service's to set, or the cluster's.
	others := []string{"Public", "HTTP3", "TLS", "Plain", "AdminListener", "Pages", "AdminPages", "Upstream", "Committer", "Logs", "Ready", "Log", "Metrics"}
	for i := range rc.NumField() {
		name := rc.Type().Field(i).Name
		field := rc.Field(i)
		if slices.Contains(others, name) {
			continue
		}
		if field.IsZero() {
			t.Errorf("%s is not set", name)
		}
		if field.Kind() != reflect.Struct {
			continue
		}
		for j := range field.NumField() {
			if field.Field(j).IsZero() {
				t.Errorf("%s.%s is not set", name, field.Type().Field(j).Name)
			}
		}
	}
}

// TestNoOriginsMeansNone guards a difference that is easily lost: to the relay, nil is
// everybody.
func TestNoOriginsMeansNone(t *testing.T) {
	c := config.Default()
	c.CORS.Origins = nil
	if got := relayConfig(c).Origins; got == nil {
		t.Error("no origins in the file, and the relay takes it for all")
	}
}

func TestDefaultsMakeARelay(t *testing.T) {
	if _, err := relay.New(relayConfig(config.Default())); err != nil {
		t.Error(err)
	}
}
