package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// loadFile loads text as the file freshet.yaml under the given variables.
func loadFile(t *testing.T, text string, environ ...string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "freshet.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Layers{File: path, Environ: environ})
}

func TestReferenceIsTheDefaults(t *testing.T) {
	got, err := loadFile(t, Reference)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	got.Publish.Tokens, got.Listen.AdminHosts, got.Feeds = nil, nil, nil
	got.Cluster.Join, got.Cluster.Key = nil, nil // [] and nothing are the same here
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("freshet.yaml differs from the defaults (-default +file):\n%s", diff)
	}
}

// TestReferenceHasEveryKey makes sure that the test above compares what the file says:
// every value changed, the configuration must differ from the defaults in every key.
func TestReferenceHasEveryKey(t *testing.T) {
	sections := []string{""}
	line := regexp.MustCompile(`^( *)([a-z0-9_]+):`)
	in := map[string]bool{}
	for _, text := range strings.Split(Reference, "\n") {
		if m := line.FindStringSubmatch(text); m != nil {
			sections = append(sections[:len(m[1])/2], m[2])
			in[strings.Join(sections, ".")] = true
			if !strings.Contains(text, "#") && !strings.HasSuffix(text, ":") && m[2] != "feeds" {
				t.Errorf("not documented: %s", text)
			}
		}
	}
	for _, k := range Keys() {
		if !in[k] {
			t.Errorf("freshet.yaml has no line for %s", k)
		}
	}
}

func TestReferenceFeedsExample(t *testing.T) {
	_, example, ok := strings.Cut(Reference, "\n#feeds:\n")
	if !ok {
		t.Fatal("no example of feeds in the reference")
	}
	example = "feeds:\n" + regexp.MustCompile(`(?m)^#`).ReplaceAllString(example, "")
	got, err := loadFile(t, example, "ORIGIN_TOKEN=secret")
	if err != nil {
		t.Fatal(err)
	}
	first := defaultFeed()
	first.Name, first.URL, first.Topic = "scores", []string{"https://origin.example/scores"}, "scores/all"
	first.Headers = map[string]string{"Authorization": "Bearer secret"}
	second := defaultFeed()
	second.URL, second.Prefix = []string{"https://origin.example/all"}, "tickers/"
	third := defaultFeed()
	third.Template, third.Prefix = "https://origin.example/live/{topic}", "live/"
	if diff := cmp.Diff([]Feed{first, second, third}, got.Feeds); diff != "" {
		t.Errorf("the example's feeds, and that of a feed's defaults (-want +got):\n%s", diff)
	}
}

func TestLayersWinInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, []byte("topics: {events: 1, bytes: 300KiB, age: 1h}\nretry: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(Layers{
		File:    path,
		Environ: []string{"FRESHET_TOPICS_EVENTS=2", "FRESHET_TOPICS_BYTES=400KiB", "PATH=/bin"},
		Flags: []Setting{
			{Flag: "-set", Key: "topics.events", Text: "3"},
			{Flag: "-set", Key: "publish.tokens", Text: "a, b"},
			{Flag: "-self-signed", Key: "tls.self_signed", Text: "true"},
			{Flag: "-public", Key: "listen.public", Text: ":8443"},
			{Flag: "-plain", Key: "listen.plain", Text: "off"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Topics.Events, want.Topics.Bytes, want.Topics.Age, want.Retry = 3, 400<<10, time.Hour, 5*time.Second
	want.Publish.Tokens = []string{"a", "b"}
	want.TLS.SelfSigned.On, want.Listen.Public, want.Listen.Plain = true, ":8443", ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryKeyHasAVariable(t *testing.T) {
	for _, k := range Keys() {
		if injected.MatchString(Variable(k)) {
			t.Errorf("%s would be taken for one of Kubernetes' own variables", Variable(k))
		}
		if _, err := Load(Layers{Environ: []string{Variable(k) + "=\x00"}}); err == nil && k != "tls.cert" && k != "tls.key" && k != "listen.admin_hosts" {
			t.Errorf("%s=NUL is no mistake: is the variable read?", Variable(k))
		}
	}
	if _, err := Load(Layers{Environ: []string{
		"FRESHET_PUBLISH_SERVICE_HOST=10.0.0.1", "FRESHET_PUBLISH_PORT_8080_TCP_ADDR=10.0.0.1",
		"FRESHET_PORT=tcp://10.0.0.1", "FRESHET_URL=http://localhost", "FRESHET_TOKEN=x",
	}}); err != nil {
		t.Errorf("variables that are not keys: %v", err)
	}
}

func TestFeedFlagsAdd(t *testing.T) {
	got, err := Load(Layers{Flags: []Setting{
		{Flag: "-feed", Key: "feeds", Text: "https://a.example/?x=1=scores/all"},
		{Flag: "-feed", Key: "feeds", Text: "https://b.example/=tickers/"},
		{Flag: "-feed", Key: "feeds", Text: "https://c.example/{topic}=*"},
		{Flag: "-feed", Key: "feeds", Text: "https://d.example/{topic}=live/"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	type short struct{ URL, Topic, Prefix, Template string }
	var feeds []short
	for _, f := range got.Feeds {
		feeds = append(feeds, short{strings.Join(f.URL, " "), f.Topic, f.Prefix, f.Template})
	}
	if diff := cmp.Diff([]short{
		{URL: "https://a.example/?x=1", Topic: "scores/all"},
		{URL: "https://b.example/", Prefix: "tickers/"},
		{Template: "https://c.example/{topic}"},
		{Template: "https://d.example/{topic}", Prefix: "live/"},
	}, feeds); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSelfSignedForms(t *testing.T) {
	for text, want := range map[string]SelfSigned{
		"self_signed: true":             {On: true},
		"self_signed: false":            {},
		"self_signed: [a.example, b]":   {On: true, Names: []string{"a.example", "b"}},
		"self_signed: relay.example":    {On: true, Names: []string{"relay.example"}},
		"self_signed:":                  {},
		"self_signed: ${NAMES}":         {On: true, Names: []string{"x", "y"}},
		"self_signed: ${NAUGHT:-false}": {},
	} {
		got, err := loadFile(t, "listen: {public: ':8443'}\ntls:\n  "+text+"\n", "NAMES=x,y", "FRESHET_LISTEN_PUBLIC=off")
		if err != nil || !cmp.Equal(got.TLS.SelfSigned, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, got.TLS.SelfSigned, err, want)
		}
	}
}
