package relay

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"freshet/ringbuf"
)

// Compress says how streams are compressed for clients that accept gzip. Each
// event is compressed once, whatever the audience.
type Compress struct {
	Level  int // of flate, 1 to 9; 0 = 7, the lowest that shortens events under 128 bytes well
	Window int // how far back an event refers, in bytes of its topic's text, 512 to 32768; 0 = 4096
	Memory int // bytes for the compressed form of all topics, beside Limits.Memory; 0 = 64 MiB

	// Except names the topics that are not compressed; "*" stands for any
	// characters, so "*" alone turns compression off. After a "!" stand topics
	// that are compressed, whatever was said before: the last that names a topic
	// counts. Name those whose events hold a secret beside text that a stranger
	// can choose: the length of the compressed stream tells how alike they are
	// (breachattack.com).
	Except []string
}

// newDeflater returns nil if no topic is ever compressed.
func (c *Compress) newDeflater() (*ringbuf.Deflater, error) {
	d, err := ringbuf.NewDeflater(ringbuf.Compression{Level: c.Level, Window: c.Window, Memory: c.Memory})
	if err != nil {
		return nil, fmt.Errorf("relay: compress: %w", err)
	}
	some := true
	for i, pattern := range c.Except {
		name, again := strings.CutPrefix(pattern, "!")
		switch {
		case name == "":
			return nil, fmt.Errorf("relay: compress.except[%d] is empty", i)
		case again:
			some = true
		case name == "*":
			some = false
		}
	}
	if !some {
		return nil, nil
	}
	return d, nil
}

// covers reports whether the topic is one of those that pattern stands for.
func covers(pattern, topic string) bool {
	head, rest, ok := strings.Cut(pattern, "*")
	if !ok {
		return pattern == topic
	}
	topic, ok = strings.CutPrefix(topic, head)
	if !ok {
		return false
	}
	for {
		var part string
		if part, rest, ok = strings.Cut(rest, "*"); !ok {
			return strings.HasSuffix(topic, part)
		}
		_, after, found := strings.Cut(topic, part) // the first place leaves most to the rest
		if !found {
			return false
		}
		topic = after
	}
}

// compresses reports whether the client's stream of the topic is compressed.
func (r *Relay) compresses(topic string, h http.Header) bool {
	if r.deflater == nil || !prefersGzip(h) {
		return false
	}
	return !r.config.Compress.excepts(topic)
}

func (c *Compress) excepts(topic string) (is bool) {
	for _, pattern := range c.Except {
		if name, again := strings.CutPrefix(pattern, "!"); covers(name, topic) {
			is = !again
		}
	}
	return is
}

// prefersGzip reports whether the client takes gzip, and likes nothing else that
// is on offer, which is no coding at all, better (RFC 9110, section 12.5.3).
func prefersGzip(h http.Header) bool {
	const unsaid = -1
	gzip, identity, others := float64(unsaid), float64(unsaid), float64(unsaid)
	for _, line := range h["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			coding, params, _ := strings.Cut(part, ";")
			q := quality(params)
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				gzip = max(gzip, q)
			case "identity":
				identity = q
			case "*":
				others = q
			}
		}
	}
	if gzip == unsaid {
		gzip = others
	}
	// What has no word about it is acceptable, but not asked for.
	return gzip > 0 && gzip >= identity
}

// quality returns the weight among the parameters: 1 if none is said, 0 if it is
// not one.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}
