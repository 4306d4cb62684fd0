package relay

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is everything a relay can be told. The zero value is a relay that
// listens nowhere and can be asked through its Handler. It is read once, by
// New, and must not change after.
type Config struct {
	// Where it listens. The relay owns the listeners from Run on and closes
	// them. A nil listener is not served.

	Public        net.Listener   // HTTP/1.1 and HTTP/2 over TLS; needs TLS
	TLS           *tls.Config    // certificates for Public; the relay sets NextProtos on a copy
	Plain         net.Listener   // HTTP/1.1, and HTTP/2 with prior knowledge (h2c)
	HTTP3         net.PacketConn // HTTP/3, which answers on the other listeners advertise; needs TLS
	AdminListener net.Listener   // health, metrics, profiles

	// HTTP3Secret lets clients of a relay that died learn of it from its successor;
	// see h3.Server.Secret. nil = they wait for their idle timeout.
	HTTP3Secret []byte

	// Pages answers requests on the public listeners outside /events.
	// nil = 404.
	Pages http.Handler
	// AdminPages answers requests on the admin listener that the relay itself
	// has no answer to. Host is checked before. nil = 404.
	AdminPages http.Handler
	// AdminHosts are names the admin listener is reached by besides localhost,
	// IP addresses and names without a dot. Any other Host is refused, so that
	// a page cannot reach it by rebinding a name of its own.
	AdminHosts []string

	// Where events come from and who commits them. nil = this relay, alone.

	Upstream  Upstream
	Committer Committer
	Logs      Logs // brings and commits all topics; there is no other Committer then
	// Ready says why the relay should not be sent subscribers now, nil if it
	// should. It is asked by each subscribe request, so it must be cheap.
	// nil = always ready.
	Ready func() error

	// What is kept, and for how long.

	Topics   Topics
	Limits   Limits
	Compress Compress

	// PublishTokens are the bearer tokens that may publish and end topics.
	// None = loopback addresses only, and nothing a browser sends for another
	// site.
	PublishTokens []string
	// Origins are the pages of other sites that may subscribe: origins such as
	// "https://example.com", which may send credentials, or "*" for all,
	// which may not. nil = {"*"}, empty = none.
	Origins []string

	// Times.

	Heartbeat time.Duration // silence after which a stream gets a comment line; 0 = 15 s
	Stall     time.Duration // a subscriber that takes no byte for this long is closed; 0 = 30 s
	Drain     time.Duration // over how long subscribers are sent away; 0 = 30 s
	Retry     time.Duration // base of the jittered retry that clients are told; 0 = 2 s
	// DrainDelay is how long a relay that is asked to stop goes on before it
	// drains, so that load balancers see that it is not ready any more. 0 = it
	// drains at once.
	DrainDelay time.Duration

	// What it tells.

	Log     *slog.Logger         // nil = discard
	Metrics *prometheus.Registry // the relay registers its own here, and /metrics shows all of it; nil = one of its own
}

// Topics bounds what is kept of each topic, and for how long.
type Topics struct {
	Events int           // at most so many events; 0 = 4,096
	Bytes  int           // at most so many bytes of events; 0 = 1 MiB
	Age    time.Duration // no event older than this; 0 = 24 h
	Linger time.Duration // how long its upstream is followed after the last subscriber left; 0 = 30 s
	Forget time.Duration // how long head and newest id of an unused topic are known; 0 = 24 h
	// Coalesce holds a wake-up back for at most this long, so that more
	// events share it. 0 = none is held back.
	Coalesce time.Duration
}

// Limits bounds what the relay as a whole takes on. Each is named limits.* in
// the configuration, in metrics, and in the answer of whoever meets it.
type Limits struct {
	Connections          int     // open at once; 0 = what the limit of file descriptors leaves
	Handshakes           int     // connections on their way to their first request; 0 = 512
	StreamsPerConnection int     // HTTP/2 streams a connection; 0 = 1,000
	Subscribers          int     // at once; 0 = 1,000,000
	Topics               int     // known at once, idle ones too; 0 = 100,000
	EventBytes           int     // one event's fields together; 0 = 256 KiB
	HeaderBytes          int     // one request's header; 0 = 16 KiB
	Publishes            int     // publish requests at once, endless ones too; 0 = 1,024
	PublishKeys          int     // publish keys remembered; 0 = 1,000,000
	AddressShare         float64 // of Connections, Handshakes and Subscribers, for one address; 0 = 0.75
	Memory               int     // bytes of events over all topics; 0 = 256 MiB
}

// withDefaults returns the configuration with every zero replaced by its
// meaning, or an error that names what cannot be.
func (c Config) withDefaults() (Config, error) {
	def(&c.Topics.Events, 4096)
	def(&c.Topics.Bytes, 1<<20)
	def(&c.Topics.Age, 24*time.Hour)
	def(&c.Topics.Linger, 30*time.Second)
	def(&c.Topics.Forget, 24*time.Hour)
	def(&c.Limits.Handshakes, 512)
	def(&c.Limits.StreamsPerConnection, 1000)
	def(&c.Limits.Subscribers, 1_000_000)
	def(&c.Limits.Topics, 100_000)
	def(&c.Limits.EventBytes, 256<<10)
	def(&c.Limits.HeaderBytes, 16<<10)
	def(&c.Limits.Publishes, 1024)
	def(&c.Limits.PublishKeys, 1_000_000)
	def(&c.Limits.AddressShare, 0.75)
	def(&c.Limits.Memory, 256<<20)
	def(&c.Heartbeat, 15*time.Second)
	def(&c.Stall, 30*time.Second)
	def(&c.Drain, 30*time.Second)
	def(&c.Retry, 2*time.Second)
	if c.Limits.Connections == 0 {
		c.Limits.Connections = connectionsFromDescriptors()
	}
	if c.Origins == nil {
		c.Origins = []string{"*"}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	return c, c.validate()
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) validate() error {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"topics.events", int64(c.Topics.Events)},
		{"topics.bytes", int64(c.Topics.Bytes)},
		{"topics.age", int64(c.Topics.Age)},
		{"topics.linger", int64(c.Topics.Linger)},
		{"topics.forget", int64(c.Topics.Forget)},
		{"limits.connections", int64(c.Limits.Connections)},
		{"limits.handshakes", int64(c.Limits.Handshakes)},
		{"limits.streams_per_connection", int64(c.Limits.StreamsPerConnection)},
		{"limits.subscribers", int64(c.Limits.Subscribers)},
		{"limits.topics", int64(c.Limits.Topics)},
		{"limits.event_bytes", int64(c.Limits.EventBytes)},
		{"limits.header_bytes", int64(c.Limits.HeaderBytes)},
		{"limits.publishes", int64(c.Limits.Publishes)},
		{"limits.publish_keys", int64(c.Limits.PublishKeys)},
		{"limits.memory", int64(c.Limits.Memory)},
		{"heartbeat", int64(c.Heartbeat)},
		{"stall", int64(c.Stall)},
		{"drain", int64(c.Drain)},
		{"retry", int64(c.Retry)},
	} {
		if f.value < 0 {
			return fmt.Errorf("relay: %s is negative", f.name)
		}
	}
	if c.DrainDelay < 0 {
		return fmt.Errorf("relay: drain_delay is negative")
	}
	if c.Topics.Coalesce < 0 {
		return fmt.Errorf("relay: topics.coalesce is negative")
	}
	if s := c.Limits.AddressShare; s < 0 || s > 1 || math.IsNaN(s) {
		return fmt.Errorf("relay: limits.address_share is %v, not between 0 and 1", s)
	}
	if c.Limits.Memory < c.Topics.Bytes {
		return fmt.Errorf("relay: limits.memory (%d) is less than one topic's topics.bytes (%d)", c.Limits.Memory, c.Topics.Bytes)
	}
	if (c.Public != nil || c.HTTP3 != nil) && c.TLS == nil {
		return fmt.Errorf("relay: the public listener has no TLS configuration")
	}
	for i, o := range c.Origins {
		if err := validOrigin(o); err != nil {
			return fmt.Errorf("relay: cors.origins[%d]: %w", i, err)
		}
	}
	for i, t := range c.PublishTokens {
		if t == "" {
			return fmt.Errorf("relay: publish.tokens[%d] is empty", i)
		}
	}
	return nil
}
