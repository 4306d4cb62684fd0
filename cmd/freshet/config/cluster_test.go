package config

import (
	"errors"
	"strings"
	"testing"
)

// aKey is 32 bytes 7.
var aKey = FormatKey([32]byte([]byte(strings.Repeat("\x07", 32))))

func TestKeysAreTakenAsTheyArePrinted(t *testing.T) {
	key, err := ParseKey(aKey)
	if err != nil || string(key) != strings.Repeat("\x07", 32) {
		t.Errorf("%q: %v, %v", aKey, key, err)
	}
	for _, text := range []string{"", "secret", aKey[1:], aKey + "=", aKey[:len(aKey)-2] + "==", " " + aKey, aKey[:40] + "\n" + aKey[40:], strings.TrimRight(aKey, "=")} {
		if key, err := ParseKey(text); err == nil {
			t.Errorf("%q is taken for the key %v", text, key)
		} else if len(text) > 4 && strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("the mistake gives the key away: %v", err)
		}
	}
}

func TestClusterIsOff(t *testing.T) {
	for text, on := range map[string]bool{
		"":                                    false,
		"cluster: {}":                         false,
		"cluster: {region: eu, role: edge}":   false,
		"cluster: {label: x}":                 false,
		"cluster: {name: a}":                  true,
		"cluster: {join: relays.example}":     true,
		"cluster: {gossip: '127.0.0.1:7946'}": true,
		"cluster: {links: '[::1]:7947'}":      true,
		"cluster: {key: " + aKey + "}":        true,
	} {
		c, err := loadFile(t, text)
		if err != nil || c.Cluster.On() != on {
			t.Errorf("%q: on is %v, %v", text, c.Cluster.On(), err)
		}
	}
}

func TestClusterFromTheEnvironment(t *testing.T) {
	c, err := Load(Layers{Environ: []string{
		"FRESHET_CLUSTER_NAME=a", "FRESHET_CLUSTER_JOIN=b, 192.0.2.1:7000,[2001:db8::1]:1,2001:db8::2",
		"FRESHET_CLUSTER_KEY=" + aKey, "FRESHET_CLUSTER_GOSSIP=:7946", "FRESHET_CLUSTER_ROLE=hub",
		"FRESHET_CLUSTER_TLS_CERT=c", "FRESHET_CLUSTER_TLS_KEY=k", "FRESHET_CLUSTER_TLS_CA=ca",
		"FRESHET_CLUSTER_PORT_7946_TCP=tcp://10.0.0.1:7946", // Kubernetes' own, of a service named freshet-cluster
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Cluster; len(got.Join) != 4 || len(got.Keys()) != 1 || got.TLS.CA != "ca" || got.Role != "hub" {
		t.Errorf("%+v", got)
	}
}

func TestClusterMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"{gossip: ':7946'}":                                     `cluster.gossip: ":7946" is not a loopback address, and without cluster.key gossip is not encrypted`,
		"{gossip: '192.0.2.1:7946'}":                            `cluster.gossip: "192.0.2.1:7946" is not a loopback address`,
		"{links: '0.0.0.0:7947'}":                               `cluster.links: "0.0.0.0:7947" is not a loopback address, and without cluster.key anybody there could read and inject events: "freshet key" prints a key`,
		"{gossip: 'relays.example:7946', key: " + aKey + "}":    `cluster.gossip: "relays.example:7946": the host must be an IP address`,
		"{gossip: '7946'}":                                      `cluster.gossip: "7946" is not HOST:PORT: write 127.0.0.1:7946`,
		"{gossip: '127.0.0.1:1', links: '127.0.0.1:1'}":         `cluster.links: "127.0.0.1:1" is the address of cluster.gossip already`,
		"{join: [a, 'b:0']}":                                    `cluster.join[1]: "b:0": the port must be a number from 1 to 65535`,
		"{join: ['http://b/']}":                                 `cluster.join[0]: "http://b/" is not HOST or HOST:PORT`,
		"{join: ['']}":                                          `cluster.join[0]: "" is not HOST or HOST:PORT`,
		"{key: [secret]}":                                       `cluster.key[0]: is not a key: it is not base64 as "freshet key" prints it (6 characters)`,
		"{key: [c2hvcnQ=]}":                                     `cluster.key[0]: is not a key: it holds 5 bytes, not 32`,
		"{key: [" + aKey + ", " + aKey + "]}":                   `cluster.key[1]: is the first key again`,
		"{key: [" + aKey + ", x, y]}":                           `cluster.key: 3 keys, at most 2`,
		"{role: owner}":                                         `cluster.role: "owner" is not one of any, hub, edge`,
		"{name: a b}":                                           `cluster.name: "a b" is not one word`,
		"{region: " + strings.Repeat("r", 129) + "}":            `cluster.region: has 129 characters, more than 128`,
		"{tls: {cert: c.pem}}":                                  `cluster.tls.key: is not set: cert, key and ca go together`,
		"{links: ':7947', tls: {cert: c, key: k, ca: a}}":       "",
		"{gossip: ':1', links: ':2', key: " + aKey + "}":        "",
		"{gossip: '127.0.0.1:0', links: '127.0.0.1:0'}":         "",
		"{gossip: '[::1]:7946', join: ['[::1]:7948'], name: a}": "",
	} {
		_, err := loadFile(t, "cluster: "+text)
		switch {
		case want == "":
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
		case err == nil || !strings.Contains(err.Error(), "freshet.yaml:1: "+want):
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// Every mistake in the section is told at once, each where it is.
func TestClusterMistakesAreToldTogether(t *testing.T) {
	_, err := loadFile(t, "cluster:\n  role: boss\n  key: x\n  join: ['b:x']\n")
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Fatalf("%v", err)
	}
	for i, where := range []string{"freshet.yaml:2", "freshet.yaml:4", "freshet.yaml:3"} {
		if problems[i].Where != where {
			t.Errorf("%v, want it at %s", problems[i], where)
		}
	}
}

// A topic is copied between relays in one piece, so that in a cluster it is bounded.
func TestClusterBoundsTopics(t *testing.T) {
	const topics = "topics: {bytes: 33MiB, events: 262145}\n"
	if _, err := loadFile(t, topics); err != nil {
		t.Errorf("without a cluster: %v", err)
	}
	_, err := loadFile(t, topics+"cluster: {name: a}\n")
	for _, want := range []string{"freshet.yaml:1: topics.bytes: 33MiB is more than 32MiB", "freshet.yaml:1: topics.events: 262145 is more than 262144"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := loadFile(t, "topics: {bytes: 32MiB, events: 262144}\ncluster: {name: a}\n"); err != nil {
		t.Error(err)
	}
}
