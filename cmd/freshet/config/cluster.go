package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Cluster says which relays this one works with, and how they find and trust one another.
type Cluster struct {
	Name   string     `key:"name"`   // of this relay, unique in the cluster; empty: the host's
	Label  string     `key:"label"`  // of the cluster: relays of another are not heard
	Gossip string     `key:"gossip"` // HOST:PORT, UDP and TCP
	Links  string     `key:"links"`  // HOST:PORT, TCP
	Join   []string   `key:"join"`   // HOST or HOST:PORT of others
	Key    []string   `key:"key"`    // as "freshet key" prints it; the first is used, the second accepted
	Region string     `key:"region"`
	Role   string     `key:"role"` // any, hub, edge
	TLS    ClusterTLS `key:"tls"`
}

// ClusterTLS is a certificate for links, and the authority that signs the relays'.
type ClusterTLS struct {
	Cert string `key:"cert"` // file, PEM
	Key  string `key:"key"`  // file, PEM
	CA   string `key:"ca"`   // file, PEM
}

// On reports whether the relay is one of a cluster. What a whole fleet may have in its
// environment, a region, a role or a label, does not make one.
func (c *Cluster) On() bool {
	return c.Name != "" || c.Gossip != "" || c.Links != "" || len(c.Join) > 0 || len(c.Key) > 0 || c.TLS != ClusterTLS{}
}

// The ports of a cluster where none is named.
const (
	GossipPort = 7946
	LinksPort  = 7947
)

const (
	keyBytes  = 32
	mostName  = 128 // bytes; gossip repeats it in every packet
	mostLabel = 255 // bytes; memberlist's limit
)

// FormatKey writes a cluster's key as ParseKey reads it.
func FormatKey(key [keyBytes]byte) string { return base64.StdEncoding.EncodeToString(key[:]) }

// ParseKey reads a cluster's key: 32 bytes in base64, as "freshet key" prints them. Its
// errors do not repeat the text, which may be a key but for one letter.
func ParseKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil || strings.ContainsAny(text, "\r\n"): // which base64 would skip
		return nil, fmt.Errorf("is not a key: it is not base64 as \"freshet key\" prints it (%d characters)", len(text))
	case len(key) != keyBytes:
		return nil, fmt.Errorf("is not a key: it holds %d bytes, not %d; \"freshet key\" prints one", len(key), keyBytes)
	}
	return key, nil
}

// Keys returns the keys of a configuration that was checked.
func (c *Cluster) Keys() [][]byte {
	var keys [][]byte
	for _, text := range c.Key {
		if key, err := ParseKey(text); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

func (l *loader) checkCluster() {
	c := &l.config.Cluster
	for _, w := range []struct {
		key, text string
		most      int
	}{
		{"cluster.name", c.Name, mostName},
		{"cluster.label", c.Label, mostLabel},
		{"cluster.region", c.Region, mostName},
	} {
		switch {
		case len(w.text) > w.most:
			l.complain(w.key, fmt.Sprintf("has %d characters, more than %d", len(w.text), w.most))
		case strings.ContainsFunc(w.text, func(r rune) bool { return r <= ' ' || r > '~' }):
			l.complain(w.key, fmt.Sprintf("%q is not one word of visible ASCII characters", w.text))
		}
	}
	if roles := []string{"any", "hub", "edge"}; !slices.Contains(roles, c.Role) {
		l.complain("cluster.role", fmt.Sprintf("%q is not one of %s", c.Role, strings.Join(roles, ", ")))
	}
	for i, address := range c.Join {
		if err := checkPeer(address); err != nil {
			l.complain(fmt.Sprintf("cluster.join[%d]", i), err.Error())
		}
	}
	l.checkClusterTopics()
	l.checkClusterListen()
	l.checkClusterTrust()
}

// checkClusterTopics sees that a topic can be copied from one relay to another, which is done in one piece.
func (l *loader) checkClusterTopics() {
	const mostBytes, mostEvents = 32 << 20, 1 << 18
	c := l.config
	if !c.Cluster.On() {
		return
	}
	if c.Topics.Bytes > mostBytes {
		l.complain("topics.bytes", fmt.Sprintf("%v is more than %v, the most that relays of a cluster copy of a topic", c.Topics.Bytes, Bytes(mostBytes)))
	}
	if c.Topics.Events > mostEvents {
		l.complain("topics.events", fmt.Sprintf("%d is more than %d, the most that relays of a cluster copy of a topic", c.Topics.Events, mostEvents))
	}
}

// checkPeer refuses what cannot be another relay's address.
func checkPeer(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || strings.Contains(port, "/") { // no port, or a URL
		host, port = strings.Trim(address, "[]"), strconv.Itoa(GossipPort)
	}
	_, ipErr := netip.ParseAddr(host)
	if host == "" || ipErr != nil && strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/:,@", r) }) {
		return fmt.Errorf("%q is not HOST or HOST:PORT", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q: the port must be a number from 1 to 65535", address)
	}
	return nil
}

func (l *loader) checkClusterTrust() {
	c := &l.config.Cluster
	if len(c.Key) > 2 {
		l.complain("cluster.key", fmt.Sprintf("%d keys, at most 2: the one that is used, and another that is accepted during a rotation", len(c.Key)))
	}
	for i, text := range c.Key {
		if _, err := ParseKey(text); err != nil {
			l.complain(fmt.Sprintf("cluster.key[%d]", i), err.Error())
		} else if i > 0 && text == c.Key[0] {
			l.complain(fmt.Sprintf("cluster.key[%d]", i), "is the first key again")
		}
	}
	if t := c.TLS; t != (ClusterTLS{}) {
		for _, f := range []struct{ key, path string }{{"cert", t.Cert}, {"key", t.Key}, {"ca", t.CA}} {
			if f.path == "" {
				l.complain("cluster.tls."+f.key, "is not set: cert, key and ca go together, with ca the authority that signs relays' certificates and nothing else")
			}
		}
	}
}

// checkClusterListen also holds a cluster without secrets on this machine: anybody who
// reaches it could read and inject events.
func (l *loader) checkClusterListen() {
	c := &l.config.Cluster
	if !c.On() {
		return
	}
	for _, a := range []struct {
		key, address string
		open         bool // to whoever reaches it
		why          string
	}{
		{"cluster.gossip", c.Gossip, len(c.Key) == 0, "gossip is not encrypted"},
		{"cluster.links", c.Links, len(c.Key) == 0 && c.TLS == ClusterTLS{}, "anybody there could read and inject events"},
	} {
		if a.address == "" {
			continue // every address where there is a key, this machine's where there is none
		}
		if err := checkAddress(a.address); err != nil {
			l.complain(a.key, err.Error())
			continue
		}
		host, _, _ := net.SplitHostPort(a.address)
		ip, err := netip.ParseAddr(host)
		if err != nil && host != "" {
			l.complain(a.key, fmt.Sprintf("%q: the host must be an IP address of this machine, or empty for all of them", a.address))
			continue
		}
		if a.open && !ip.IsLoopback() {
			l.complain(a.key, fmt.Sprintf("%q is not a loopback address, and without cluster.key %s: \"freshet key\" prints a key", a.address, a.why))
		}
	}
	if c.Gossip != "" && c.Gossip == c.Links && !strings.HasSuffix(c.Links, ":0") {
		l.complain("cluster.links", fmt.Sprintf("%q is the address of cluster.gossip already", c.Links))
	}
}
