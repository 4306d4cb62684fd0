package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Layers is what may set a configuration, besides the defaults.
type Layers struct {
	File    string    // path of a YAML file; empty: none
	Environ []string  // NAME=value each, as os.Environ has them
	Flags   []Setting // in the order given; the last one wins
}

// Setting is a key set by a flag.
type Setting struct {
	Flag string // "-public", for messages
	Key  string // "listen.public"; "feeds" adds to the feeds there are, all others replace
	Text string
}

// Load reads the layers into one configuration and checks it as a whole.
// An error is always [Problems]; the configuration is then incomplete.
func Load(layers Layers) (*Config, error) {
	l := &loader{config: Default(), origin: map[string]string{}}
	if layers.File != "" {
		l.file(layers.File, layers.Environ)
	}
	l.environ(layers.Environ)
	l.flags(layers.Flags)
	l.check()
	if len(l.problems) > 0 {
		return l.config, l.problems
	}
	return l.config, nil
}

// loader is one configuration while it is put together.
type loader struct {
	config   *Config
	origin   map[string]string // by key, who set it last: "freshet.yaml:12"
	problems Problems
}

// complain records a mistake in key, at the place where it was set.
func (l *loader) complain(key, text string) {
	l.problems = append(l.problems, Problem{Where: l.where(key), Key: key, Text: text})
}

// where is the place that key was set at, or the nearest section around it.
func (l *loader) where(key string) string {
	for {
		if place, ok := l.origin[key]; ok {
			return place
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return ""
		}
		key = key[:cut]
	}
}

// file reads the YAML file at path.
func (l *loader) file(path string, environ []string) {
	text, err := os.ReadFile(path)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		l.problems = append(l.problems, Problem{Where: path, Text: "cannot be read: " + err.Error()})
		return
	}
	doc := &document{loader: l, name: filepath.Base(path), lookup: lookupIn(environ)}
	doc.read(text)
}

// injected are the variables that Kubernetes sets for a service named freshet-something;
// they look like ours and are not.
var injected = regexp.MustCompile(`_(SERVICE_(HOST|PORT)|PORT)(_|$)`)

// environ reads the variables that set keys. A variable that begins with the name of
// one of our sections and names none of its keys is a mistake; any other is not ours.
func (l *loader) environ(environ []string) {
	known := keys(l.config)
	variables := make([]string, len(known))
	sections := map[string]bool{}
	for i, k := range known {
		variables[i] = Variable(k.path)
		if section, _, ok := strings.Cut(k.path, "."); ok {
			sections[Variable(section)+"_"] = true
		}
	}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(entry, "=")
		i := slices.Index(variables, name)
		if i < 0 {
			for section := range sections {
				if strings.HasPrefix(name, section) && !injected.MatchString(name) {
					l.problems = append(l.problems, Problem{Where: name, Text: unknownKey(name, variables)})
				}
			}
			continue
		}
		l.text(known[i], name, text)
	}
}

// flags applies the flags.
func (l *loader) flags(settings []Setting) {
	known := keys(l.config)
	for _, s := range settings {
		i := slices.IndexFunc(known, func(k key) bool { return k.path == s.Key })
		if i < 0 {
			l.problems = append(l.problems, Problem{Where: s.Flag, Key: s.Key, Text: unknownKey(s.Key, Keys())})
			continue
		}
		feeds := l.config.Feeds
		l.text(known[i], s.Flag, s.Text)
		if s.Key == "feeds" {
			l.config.Feeds = append(slices.Clip(feeds), l.config.Feeds...)
		}
	}
}

// text sets one key from its text form.
func (l *loader) text(k key, where, text string) {
	l.origin[k.path] = where
	if err := setText(k.value, text); err != nil {
		l.complain(k.path, err.Error())
	}
}

// lookupIn returns a function that finds a variable of environ.
func lookupIn(environ []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, entry := range environ {
			if n, text, ok := strings.Cut(entry, "="); ok && n == name {
				return text, true
			}
		}
		return "", false
	}
}
