package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is the picture of the parts (see the README): who may import whom, beside the
// standard library. The longest prefix of a package's path decides. A folder's own packages
// may import each other; cmd may import everything.
var mayImport = map[string][]string{
	"freshet/cmd":           {"*"},
	"freshet/relay":         {"freshet/relay/...", "freshet/ringbuf", "freshet/origin/sse", "golang.org/x/net/...", "golang.org/x/sys/unix", "github.com/prometheus/...", "github.com/cespare/xxhash/v2"},
	"freshet/relay/netloop": {"freshet/relay/h2", "golang.org/x/net/http2/...", "golang.org/x/net/http/httpguts", "golang.org/x/sys/unix"},
	"freshet/relay/h3":      {"freshet/relay/netloop", "github.com/quic-go/...", "golang.org/x/net/http/httpguts", "golang.org/x/sys/unix"},
	"freshet/relay/h2":      {"golang.org/x/net/http2/...", "golang.org/x/net/http/httpguts"},
	"freshet/origin":        {"freshet/ringbuf", "freshet/origin/sse", "golang.org/x/net/...", "github.com/prometheus/...", "github.com/klauspost/compress/..."},
	"freshet/origin/sse":    {},
	"freshet/cluster":       {"freshet/cluster/...", "freshet/ringbuf", "freshet/origin/sse", "golang.org/x/net/...", "github.com/prometheus/...", "github.com/hashicorp/...", "github.com/cespare/xxhash/v2", "github.com/klauspost/compress/..."},
	"freshet/ringbuf":       {"github.com/klauspost/compress/..."},
}

func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "freshet/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		path, imports := words[0], words[1:]
		allowed, ok := allowedTo(path)
		if !ok {
			t.Errorf("%s has no place in the picture: give it one here", path)
			continue
		}
		checked++
		for _, imported := range imports {
			first, _, _ := strings.Cut(imported, "/")
			standard := !strings.Contains(first, ".") && first != "freshet"
			if !standard && !slices.ContainsFunc(allowed, func(pattern string) bool { return covers(pattern, imported) }) {
				t.Errorf("%s imports %s, which it may not", path, imported)
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d packages were checked", checked)
	}
}

// allowedTo returns what the package at path may import, by the longest prefix that is known.
func allowedTo(path string) ([]string, bool) {
	for p := path; p != "."; {
		if allowed, ok := mayImport[p]; ok {
			return allowed, true
		}
		cut := strings.LastIndexByte(p, '/')
		if cut < 0 {
			break
		}
		p = p[:cut]
	}
	return nil, false
}

// covers reports whether path is what pattern names; "/..." stands for everything below.
func covers(pattern, path string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return pattern == "*" || path == root || below && strings.HasPrefix(path, root+"/")
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"*", "a", true}, {"a/b", "a/b", true}, {"a/b", "a/b/c", false}, {"a/b/...", "a/b/c", true},
		{"a/b/...", "a/b", true}, {"a/b/...", "a/bc", false}, {"a/b", "a", false},
	} {
		if got := covers(c.pattern, c.path); got != c.want {
			t.Errorf("covers(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}
