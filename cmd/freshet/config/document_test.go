package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMistakes gives files and what is said about them, one line a mistake.
func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"every mistake in one go", `
listen:
  public: 8443
topics:
  evnets: 10
  bytes: 1 megabyte
  age: 30
colour: blue
retry: -1s
`, []string{
			`freshet.yaml:5: topics.evnets: unknown key: did you mean events?`,
			`freshet.yaml:6: topics.bytes: "1 megabyte" is not a size: write it like 64KiB, 1MiB or 4096`,
			`freshet.yaml:7: topics.age: "30" has no unit: write it like 30s or 30m`,
			`freshet.yaml:8: colour: unknown key: one of listen, tls, topics, limits, compress, publish, cors, cluster, heartbeat, stall, drain, drain_delay, retry, log, feeds`,
			`freshet.yaml:9: retry: "-1s" is negative`,
			`freshet.yaml:3: listen.public: "8443" is not HOST:PORT: write 127.0.0.1:8443 for this machine only, :8443 for every address`,
			`freshet.yaml:3: listen.public: needs a certificate: set tls.cert and tls.key, or tls.self_signed`,
		}},
		{"wrong kinds", `
listen: [a]
topics:
  events: {a: 1}
  bytes: [1]
feeds: {url: x}
cors:
  origins: [[a]]
`, []string{
			`freshet.yaml:2: listen: must be a mapping, KEY: VALUE a line, not a list`,
			`freshet.yaml:4: topics.events: must be one value, not a mapping`,
			`freshet.yaml:5: topics.bytes: must be one value, not a list`,
			`freshet.yaml:6: feeds: must be a list, one "- url: ..." a feed, not a mapping`,
			`freshet.yaml:8: cors.origins[0]: must be one value, not a list`,
			`freshet.yaml:8: cors.origins[0]: "" is not an origin: write it like https://example.com, or *`,
		}},
		{"twice", "retry: 1s\nretry: 2s\n", []string{`freshet.yaml:2: retry: is set in line 1 already`}},
		{"alias", "retry: &r 1s\nstall: *r\n", []string{`freshet.yaml:2: stall: must be one value, not an alias (*r): aliases are not read here`}},
		{"not YAML", "a: b: c\n", []string{`freshet.yaml: not YAML: mapping values are not allowed in this context`}},
		{"not YAML, with its line", "a: 1\n\tb: 2\n", []string{`freshet.yaml:2: not YAML: found a tab character that violates indentation`}},
		{"two documents", "retry: 1s\n---\nretry: 2s\n", []string{`freshet.yaml:2: a second document: a configuration is one`}},
		{"not a mapping", "hello\n", []string{`freshet.yaml:1: must be a mapping, KEY: VALUE a line, not "hello"`}},
		{"variables", "publish:\n  tokens: [\"${NOBODY}\", \"a$$b\", \"${\"]\n", []string{
			`freshet.yaml:2: publish.tokens[0]: the environment variable NOBODY is not set`,
			`freshet.yaml:2: publish.tokens[2]: "${": write ${NAME} or ${NAME:-fallback}, and $$ for a dollar sign`,
			`freshet.yaml:2: publish.tokens[0]: a token is one or more visible ASCII characters`,
			`freshet.yaml:2: publish.tokens[2]: a token is one or more visible ASCII characters`,
		}},
		{"listeners", "listen:\n  plain: off\n  admin: localhost:http\n", []string{
			`freshet.yaml:3: listen.admin: "localhost:http": the port must be a number from 0 to 65535`,
			`freshet.yaml:1: listen: public and plain are both off: nobody could subscribe`,
		}},
		{"one address twice", "listen:\n  plain: :1\n  admin: :1\n", []string{`freshet.yaml:3: listen.admin: ":1" is the address of listen.plain already`}},
		{"half a certificate", "tls:\n  cert: a.pem\n", []string{`freshet.yaml:2: tls.cert: needs tls.key too`}},
		{"a certificate for nobody", "tls:\n  self_signed: true\n", []string{
			`freshet.yaml:1: tls: a certificate, and no listener to show it: set listen.public, like :8443, or to off`,
		}},
		{"amounts", `
topics: {events: 0, bytes: 1KiB, linger: 100d}
limits: {address_share: 1.5, memory: 1, connections: 99999999999}
log: {level: loud}
`, []string{
			`freshet.yaml:2: topics.events: 0 is not between 1 and 2147483647`,
			`freshet.yaml:3: limits.connections: 99999999999 is not between 0 and 2147483647`,
			`freshet.yaml:3: limits.memory: 1 is not between 1MiB and 1048576GiB`,
			`freshet.yaml:3: limits.event_bytes: 256KiB is more than topics.bytes (1KiB): no topic could keep such an event`,
			`freshet.yaml:3: limits.address_share: 1.5 is not a share: more than 0, at most 1`,
			`freshet.yaml:2: topics.linger: 2400h0m0s is not between 1ms and 24h0m0s`,
			`freshet.yaml:4: log.level: "loud" is not one of debug, info, warn, error`,
		}},
		{"compression", "compress: {level: 10, window: 64KiB, memory: 1MiB, except: [\"\", \"a b\", \"ok/*\", \"!ok/this\", \"!\"]}\n", []string{
			`freshet.yaml:1: compress.window: 64KiB is not between 512 and 32KiB`,
			`freshet.yaml:1: compress.memory: 1MiB is not between 4MiB and 1048576GiB`,
			`freshet.yaml:1: compress.level: 10 is not between 1 and 9`,
			`freshet.yaml:1: compress.except[0]: "" is no topic's name, with * for any characters`,
			`freshet.yaml:1: compress.except[1]: "a b" is no topic's name, with * for any characters`,
			`freshet.yaml:1: compress.except[4]: "!" is no topic's name, with * for any characters`,
		}},
		{"origins", "cors:\n  origins: [https://a.example, http://b:8080, \"*\", a.example, https://a.example/, HTTPS://A.example]\n", []string{
			`freshet.yaml:2: cors.origins[3]: "a.example" is not an origin: write it like https://example.com, or *`,
			`freshet.yaml:2: cors.origins[4]: "https://a.example/" is not an origin: write it like https://example.com, or *`,
			`freshet.yaml:2: cors.origins[5]: "HTTPS://A.example" is not an origin: write it like https://example.com, or *`,
		}},
		{"feeds", `
feeds:
  - {name: a, url: ftp://x/, topic: ../etc}
  - {name: a, url: http://x/}
  - {url: http://x/, topic: a, prefix: b/}
  - {url: http://x/, prefix: b}
  - {template: http://x/}
  - {url: "http://x/{topic}", topic: a}
  - {topic: a}
  - {url: http://x/, topic: a, headers: {"a b": c}, retry: 1ms, max_event: 1, cert: x}
  - {template: "http://x/{topic}", max_pulls: 0, miss_for: 0s, miss_rate: 0}
  - {url: [https://x/, http://y/], topic: a, http3: true}
`, []string{
			`freshet.yaml:3: feeds[0].url[0]: "ftp://x/" is not a URL of the form http(s)://HOST/PATH`,
			`freshet.yaml:3: feeds[0].topic: "../etc" has the segment ".."`,
			`freshet.yaml:4: feeds[1]: needs topic, or prefix: where do its events go?`,
			`freshet.yaml:4: feeds[1].name: "a" is the name of feeds[0] already`,
			`freshet.yaml:5: feeds[2].prefix: goes without topic: either all events go to one topic, or each names its own`,
			`freshet.yaml:6: feeds[3].prefix: "b" must end in a slash, or it would also let in "bx/y"`,
			`freshet.yaml:7: feeds[4].template: "http://x/" has no {topic} in it`,
			`freshet.yaml:8: feeds[5].url[0]: holds {topic}: call it template`,
			`freshet.yaml:9: feeds[6]: needs url, or template`,
			`freshet.yaml:10: feeds[7].headers.a b: is not a header that can be sent`,
			`freshet.yaml:10: feeds[7].retry: 1ms is not between 10ms and 1h`,
			`freshet.yaml:10: feeds[7].max_event: 1 is not between 64 and 64MiB`,
			`freshet.yaml:10: feeds[7]: cert and key go together`,
			`freshet.yaml:11: feeds[8].max_pulls: 0 is not between 1 and 1000000`,
			`freshet.yaml:11: feeds[8].miss_for: 0s is not between 1ms and 1h`,
			`freshet.yaml:11: feeds[8].miss_rate: 0 is not between 1 and 1000000`,
			`freshet.yaml:12: feeds[9].http3: needs https, not "http://y/"`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadFile(t, c.file)
			if err == nil {
				t.Fatal("no mistake found")
			}
			if diff := cmp.Diff(c.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakesOutsideTheFile(t *testing.T) {
	_, err := Load(Layers{
		File:    "testdata/absent.yaml",
		Environ: []string{"FRESHET_TOPICS_AGE=soon", "FRESHET_TOPICS_EVENT=1"},
		Flags:   []Setting{{Flag: "-set", Key: "topics.ages", Text: "1h"}, {Flag: "-feed", Key: "feeds", Text: "x"}},
	})
	want := []string{
		`testdata/absent.yaml: cannot be read: no such file or directory`,
		`FRESHET_TOPICS_AGE: topics.age: "soon" is not a duration: write it like 500ms, 30s, 5m, 24h or 7d`,
		`FRESHET_TOPICS_EVENT: unknown key: did you mean FRESHET_TOPICS_EVENTS?`,
		`-set: topics.ages: unknown key: did you mean topics.age?`,
		`-feed: feeds: "x" is not URL=TOPIC`,
	}
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("%v is not Problems", err)
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExpand(t *testing.T) {
	lookup := lookupIn([]string{"A=1", "EMPTY=", "YAML=x: [y"})
	for text, want := range map[string]string{
		"plain": "plain", "${A}": "1", "a${A}b${A}": "a1b1", "$A": "$A", "$${A}": "${A}", "a$$b": "a$b",
		"${EMPTY}": "", "${EMPTY:-x}": "x", "${NONE:-}": "", "${NONE:-a b}": "a b", "${A:-x}": "1", "${YAML}": "x: [y",
	} {
		if got, err := expand(text, lookup); got != want || err != nil {
			t.Errorf("expand(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"${NONE}", "${", "${a b}", "${1}", "${}"} {
		if got, err := expand(text, lookup); err == nil {
			t.Errorf("expand(%q) = %q, want an error", text, got)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(Reference)
	f.Add("feeds:\n  - {url: [a, b], headers: {x: y}}\n")
	f.Add("a: &a [*a]\n? [x]\n: y\n<<: *a\n")
	f.Add("topics: !!binary aGVsbG8=\nretry: 1s\nretry: 2s\n")
	path := f.TempDir() + "/freshet.yaml"
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(Layers{File: path}); err != nil && err.Error() == "" {
			t.Error("a mistake without a word")
		}
	})
}
