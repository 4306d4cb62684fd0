// Package config is what an operator may set, and where each setting comes from.
//
// A setting is known by its key, such as topics.events. Four layers may set it,
// and the later ones win:
//
//	defaults  ->  file (YAML)  ->  environment  ->  flags
//	Default()     topics:           FRESHET_         -set topics.events=100,
//	                events: 100     TOPICS_EVENTS    or a flag of its own
//
// The layers share one reader a type, so a duration or a size is written the same
// way everywhere, and a mistake is told with the place it was made at:
//
//	freshet.yaml:12: topics.bytes: "1 megabyte" is not a size: write it like 64KiB, 1MiB or 4096
//
// [Load] never stops at the first mistake: it returns all of them, as [Problems].
// Keys that nobody knows are mistakes too. In the file, ${NAME} stands for an
// environment variable, and ${NAME:-text} for text where there is none.
//
// The package knows nothing of relays: it holds values, and the program hands
// them on. freshet.yaml beside this file is the reference: it documents every
// key and holds every default, and a test keeps it so.
package config

import (
	_ "embed"
	"time"
)

// Reference is the documented configuration file in which every key has its
// default: a file to start from.
//
//go:embed freshet.yaml
var Reference string

// Config is everything an operator may set. freshet.yaml says what each key means.
type Config struct {
	Listen   Listen   `key:"listen"`
	TLS      TLS      `key:"tls"`
	Topics   Topics   `key:"topics"`
	Limits   Limits   `key:"limits"`
	Compress Compress `key:"compress"`
	Publish  Publish  `key:"publish"`
	CORS     CORS     `key:"cors"`
	Cluster  Cluster  `key:"cluster"`

	Heartbeat  time.Duration `key:"heartbeat"`   // silence after which a stream gets a comment line
	Stall      time.Duration `key:"stall"`       // a subscriber that takes no byte for so long is closed
	Drain      time.Duration `key:"drain"`       // over how long subscribers are sent away when the relay stops
	DrainDelay time.Duration `key:"drain_delay"` // how long before that it says that it is not ready any more
	Retry      time.Duration `key:"retry"`       // base of the reconnection time that clients are told, before jitter

	Log   Log    `key:"log"`
	Feeds []Feed `key:"feeds"`
}

// Listen holds the addresses to listen on, HOST:PORT each. Empty is off.
type Listen struct {
	Public string `key:"public"` // TLS
	HTTP3  bool   `key:"http3"`  // also over UDP on the port of Public
	Plain  string `key:"plain"`  // HTTP/1.1 and h2c
	Admin  string `key:"admin"`

	AdminHosts []string `key:"admin_hosts"` // names it is reached by, besides localhost and addresses

	HTTP3Secret string `key:"http3_secret"` // what a successor tells the clients of a dead relay by
}

// TLS says which certificate the public listener shows.
type TLS struct {
	Cert       string     `key:"cert"` // file, PEM
	Key        string     `key:"key"`  // file, PEM
	SelfSigned SelfSigned `key:"self_signed"`
}

// Topics bounds what is kept of each topic, and for how long.
type Topics struct {
	Events   int           `key:"events"`
	Bytes    Bytes         `key:"bytes"`
	Age      time.Duration `key:"age"`
	Linger   time.Duration `key:"linger"`
	Forget   time.Duration `key:"forget"`
	Coalesce time.Duration `key:"coalesce"`
}

// Limits bounds what the relay as a whole takes on.
type Limits struct {
	Connections          int     `key:"connections"` // 0: from the limit of open files
	Handshakes           int     `key:"handshakes"`
	StreamsPerConnection int     `key:"streams_per_connection"`
	Subscribers          int     `key:"subscribers"`
	Topics               int     `key:"topics"`
	EventBytes           Bytes   `key:"event_bytes"`
	HeaderBytes          Bytes   `key:"header_bytes"`
	Publishes            int     `key:"publishes"`
	PublishKeys          int     `key:"publish_keys"`
	AddressShare         float64 `key:"address_share"` // of connections and subscribers, for one address
	Memory               Bytes   `key:"memory"`
}

// Compress says how streams are compressed for those who accept gzip.
type Compress struct {
	Level  int      `key:"level"`
	Window Bytes    `key:"window"`
	Memory Bytes    `key:"memory"`
	Except []string `key:"except"` // topics, * for any characters, those after a ! not
}

// Publish says who may publish.
type Publish struct {
	Tokens []string `key:"tokens"`
}

// CORS says which pages of other sites may subscribe.
type CORS struct {
	Origins []string `key:"origins"`
}

// Log says what is logged, to standard error.
type Log struct {
	Level  string `key:"level"`
	Format string `key:"format"`
}

// Feed is one origin to pull, and where its events go: exactly one of Topic,
// Prefix and Template is set.
type Feed struct {
	Name     string            `key:"name"`
	URL      []string          `key:"url"`      // tried in turn; they share their ids
	Topic    string            `key:"topic"`    // all events go here
	Prefix   string            `key:"prefix"`   // each event names its topic, which must begin so
	Template string            `key:"template"` // a URL with {topic}, pulled while somebody subscribes
	HTTP3    bool              `key:"http3"`    // spoken with the origin, whose URLs are https then
	Headers  map[string]string `key:"headers"`
	Retry    time.Duration     `key:"retry"` // base of the backoff
	Idle     time.Duration     `key:"idle_timeout"`
	MaxEvent Bytes             `key:"max_event"`
	MaxPulls int               `key:"max_pulls"` // topics of a template pulled at once
	MissFor  time.Duration     `key:"miss_for"`  // how long the origin is not asked again for what it does not have
	MissRate int               `key:"miss_rate"` // topics it does not have that it is asked for, a second
	CA       string            `key:"ca"`        // file, PEM: trusted besides the system's
	Cert     string            `key:"cert"`      // file, PEM: shown to the origin
	Key      string            `key:"key"`       // file, PEM
}

// Default returns the configuration of a relay that was told nothing.
func Default() *Config {
	return &Config{
		Listen: Listen{HTTP3: true, Plain: "127.0.0.1:8080", Admin: "127.0.0.1:8081"},
		Topics: Topics{
			Events: 4096,
			Bytes:  1 << 20,
			Age:    24 * time.Hour,
			Linger: 30 * time.Second,
			Forget: 24 * time.Hour,
		},
		Limits: Limits{
			Handshakes:           512,
			StreamsPerConnection: 1000,
			Subscribers:          1_000_000,
			Topics:               100_000,
			EventBytes:           256 << 10,
			HeaderBytes:          16 << 10,
			Publishes:            1024,
			PublishKeys:          1_000_000,
			AddressShare:         0.75,
			Memory:               256 << 20,
		},
		Compress:  Compress{Level: 7, Window: 4 << 10, Memory: 64 << 20},
		CORS:      CORS{Origins: []string{"*"}},
		Cluster:   Cluster{Role: "any"},
		Heartbeat: 15 * time.Second,
		Stall:     30 * time.Second,
		Drain:     30 * time.Second,
		Retry:     2 * time.Second,
		Log:       Log{Level: "info", Format: "text"},
	}
}

// defaultFeed is what a feed starts from.
func defaultFeed() Feed {
	return Feed{
		Retry: 2 * time.Second, Idle: 45 * time.Second, MaxEvent: 256 << 10,
		MaxPulls: 1000, MissFor: 5 * time.Second, MissRate: 50,
	}
}
