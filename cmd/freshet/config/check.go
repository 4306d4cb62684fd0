package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check finds what is wrong with the values themselves, and with how they go together.
func (l *loader) check() {
	l.checkListen()
	l.checkTLS()
	l.checkAmounts()
	l.checkWords()
	l.checkCluster()
	names := map[string]int{}
	for i := range l.config.Feeds {
		l.checkFeed(fmt.Sprintf("feeds[%d]", i), &l.config.Feeds[i])
		if name := l.config.Feeds[i].Name; name != "" {
			if first, ok := names[name]; ok {
				l.complain(fmt.Sprintf("feeds[%d].name", i), fmt.Sprintf("%q is the name of feeds[%d] already", name, first))
				continue
			}
			names[name] = i
		}
	}
}

func (l *loader) checkListen() {
	listen := &l.config.Listen
	taken := map[string]string{}
	for _, a := range []struct {
		key     string
		address *string
	}{
		{"listen.public", &listen.Public},
		{"listen.plain", &listen.Plain},
		{"listen.admin", &listen.Admin},
	} {
		if *a.address == "off" {
			*a.address = ""
		}
		if *a.address == "" {
			continue
		}
		if err := checkAddress(*a.address); err != nil {
			l.complain(a.key, err.Error())
			continue
		}
		other, ok := taken[*a.address]
		if ok && !strings.HasSuffix(*a.address, ":0") {
			l.complain(a.key, fmt.Sprintf("%q is the address of %s already", *a.address, other))
		}
		taken[*a.address] = a.key
	}
	if secret := len(listen.HTTP3Secret); secret > 0 && secret < leastSecret {
		l.complain("listen.http3_secret", fmt.Sprintf("has %d characters, fewer than %d", secret, leastSecret))
	}
	if listen.Public == "" && listen.Plain == "" {
		l.complain("listen", "public and plain are both off: nobody could subscribe")
	}
}

// leastSecret is how long listen.http3_secret must be, in bytes.
const leastSecret = 32

// checkAddress refuses what cannot be listened on, and says what was probably meant.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		if _, err := strconv.ParseUint(address, 10, 16); err == nil {
			return fmt.Errorf("%q is not HOST:PORT: write 127.0.0.1:%s for this machine only, :%s for every address", address, address, address)
		}
		return fmt.Errorf("%q is not HOST:PORT", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port must be a number from 0 to 65535", address)
	}
	return nil
}

func (l *loader) checkTLS() {
	t := &l.config.TLS
	_, decided := l.origin["listen.public"]
	switch {
	case t.Cert != "" && t.Key == "":
		l.complain("tls.cert", "needs tls.key too")
	case t.Key != "" && t.Cert == "":
		l.complain("tls.key", "needs tls.cert too")
	case t.SelfSigned.On && t.Cert != "":
		l.complain("tls.self_signed", "goes without tls.cert and tls.key: there is one certificate")
	case l.config.Listen.Public != "" && t.Cert == "" && !t.SelfSigned.On:
		l.complain("listen.public", "needs a certificate: set tls.cert and tls.key, or tls.self_signed")
	case l.config.Listen.Public == "" && !decided && (t.Cert != "" || t.SelfSigned.On):
		l.complain("tls", "a certificate, and no listener to show it: set listen.public, like :8443, or to off")
	}
}

// checkAmounts holds the numbers within what the relay can do.
func (l *loader) checkAmounts() {
	c := l.config
	for _, a := range []struct {
		key   string
		value int
		least int
	}{
		{"topics.events", c.Topics.Events, 1},
		{"limits.connections", c.Limits.Connections, 0},
		{"limits.handshakes", c.Limits.Handshakes, 1},
		{"limits.streams_per_connection", c.Limits.StreamsPerConnection, 1},
		{"limits.subscribers", c.Limits.Subscribers, 1},
		{"limits.topics", c.Limits.Topics, 1},
		{"limits.publishes", c.Limits.Publishes, 1},
		{"limits.publish_keys", c.Limits.PublishKeys, 1},
	} {
		if a.value < a.least || a.value > 1<<31-1 {
			l.complain(a.key, fmt.Sprintf("%d is not between %d and %d", a.value, a.least, 1<<31-1))
		}
	}
	for _, a := range []struct {
		key                string
		value, least, most Bytes
	}{
		{"topics.bytes", c.Topics.Bytes, 1 << 10, 1 << 40},
		{"limits.event_bytes", c.Limits.EventBytes, 64, 64 << 20},
		{"limits.header_bytes", c.Limits.HeaderBytes, 1 << 10, 1 << 20},
		{"limits.memory", c.Limits.Memory, 1 << 20, 1 << 50},
		{"compress.window", c.Compress.Window, 512, 32 << 10},
		{"compress.memory", c.Compress.Memory, 4 << 20, 1 << 50},
	} {
		if a.value < a.least || a.value > a.most {
			l.complain(a.key, fmt.Sprintf("%v is not between %v and %v", a.value, a.least, a.most))
		}
	}
	if level := c.Compress.Level; level < 1 || level > 9 {
		l.complain("compress.level", fmt.Sprintf("%d is not between 1 and 9", level))
	}
	if c.Limits.EventBytes > c.Topics.Bytes {
		l.complain("limits.event_bytes", fmt.Sprintf("%v is more than topics.bytes (%v): no topic could keep such an event", c.Limits.EventBytes, c.Topics.Bytes))
	}
	if share := c.Limits.AddressShare; !(share > 0 && share <= 1) {
		l.complain("limits.address_share", fmt.Sprintf("%v is not a share: more than 0, at most 1", share))
	}
	for _, a := range []struct {
		key         string
		value       time.Duration
		least, most time.Duration
	}{
		{"topics.age", c.Topics.Age, time.Second, 366 * 24 * time.Hour},
		{"topics.linger", c.Topics.Linger, time.Millisecond, 24 * time.Hour},
		{"topics.forget", c.Topics.Forget, time.Second, 366 * 24 * time.Hour},
		{"topics.coalesce", c.Topics.Coalesce, 0, time.Minute},
		{"heartbeat", c.Heartbeat, 100 * time.Millisecond, time.Hour},
		{"stall", c.Stall, time.Second, time.Hour},
		{"drain", c.Drain, time.Millisecond, time.Hour},
		{"drain_delay", c.DrainDelay, 0, time.Hour},
		{"retry", c.Retry, 10 * time.Millisecond, time.Hour},
	} {
		if a.value < a.least || a.value > a.most {
			l.complain(a.key, fmt.Sprintf("%v is not between %v and %v", a.value, a.least, a.most))
		}
	}
}

func (l *loader) checkWords() {
	c := l.config
	for i, token := range c.Publish.Tokens {
		// RFC 6750, section 2.1: what can stand behind "Bearer".
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			l.complain(fmt.Sprintf("publish.tokens[%d]", i), "a token is one or more visible ASCII characters")
		}
	}
	for i, pattern := range c.Compress.Except {
		if strings.TrimPrefix(pattern, "!") == "" || strings.ContainsFunc(pattern, func(r rune) bool { return r <= ' ' || r > '~' }) {
			l.complain(fmt.Sprintf("compress.except[%d]", i), fmt.Sprintf("%q is no topic's name, with * for any characters", pattern))
		}
	}
	for i, origin := range c.CORS.Origins {
		if origin != "*" && !isOrigin(origin) {
			l.complain(fmt.Sprintf("cors.origins[%d]", i), fmt.Sprintf("%q is not an origin: write it like https://example.com, or *", origin))
		}
	}
	for _, w := range []struct {
		key, word string
		known     []string
	}{
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
	} {
		if !slices.Contains(w.known, w.word) {
			l.complain(w.key, fmt.Sprintf("%q is not one of %s", w.word, strings.Join(w.known, ", ")))
		}
	}
}

// isOrigin tells a serialised origin, as a browser sends it: scheme, host, and a port
// where it is not the scheme's own.
// https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == text &&
		strings.ToLower(text) == text
}
