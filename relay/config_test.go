package relay

import (
	"net"
	"strings"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	c, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	wantTopics := Topics{Events: 4096, Bytes: 1 << 20, Age: 24 * time.Hour, Linger: 30 * time.Second, Forget: 24 * time.Hour}
	if c.Topics != wantTopics {
		t.Errorf("topics: %+v", c.Topics)
	}
	wantLimits := Limits{Handshakes: 512, StreamsPerConnection: 1000, Subscribers: 1_000_000, Topics: 100_000, EventBytes: 256 << 10,
		HeaderBytes: 16 << 10, Publishes: 1024, PublishKeys: 1_000_000, AddressShare: 0.75, Memory: 256 << 20}
	if c.Limits.Connections < 1 {
		t.Errorf("limits.connections: %d", c.Limits.Connections)
	}
	wantLimits.Connections = c.Limits.Connections
	if c.Limits != wantLimits {
		t.Errorf("limits: %+v", c.Limits)
	}
	if c.Heartbeat != 15*time.Second || c.Stall != 30*time.Second || c.Drain != 30*time.Second || c.Retry != 2*time.Second {
		t.Errorf("times: %v %v %v %v", c.Heartbeat, c.Stall, c.Drain, c.Retry)
	}
	if len(c.Origins) != 1 || c.Origins[0] != "*" {
		t.Errorf("origins: %q", c.Origins)
	}
}

func TestConfigMistakes(t *testing.T) {
	for _, c := range []struct {
		config Config
		says   string
	}{
		{Config{Topics: Topics{Events: -1}}, "topics.events"},
		{Config{Topics: Topics{Coalesce: -1}}, "topics.coalesce"},
		{Config{Limits: Limits{Publishes: -1}}, "limits.publishes"},
		{Config{Limits: Limits{AddressShare: 1.5}}, "limits.address_share"},
		{Config{Limits: Limits{Memory: 1 << 20}, Topics: Topics{Bytes: 2 << 20}}, "limits.memory"},
		{Config{Stall: -time.Second}, "stall"},
		{Config{DrainDelay: -1}, "drain_delay"},
		{Config{Public: &net.TCPListener{}}, "TLS"},
		{Config{Origins: []string{"https://a.example", "b.example"}}, "cors.origins[1]"},
		{Config{Origins: []string{"https://a.example/"}}, "cors.origins[0]"},
		{Config{PublishTokens: []string{""}}, "publish.tokens[0]"},
	} {
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want an error about %s", err, c.says)
		}
	}
}
