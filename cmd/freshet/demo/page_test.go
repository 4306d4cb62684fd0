package demo

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestPageHosts(t *testing.T) {
	h := (&Page{Origin: &Origin{}, Hosts: []string{"demo.example"}}).Handler()
	for host, want := range map[string]int{
		"127.0.0.1:8080":    200,
		"[::1]:8080":        200,
		"192.168.1.20:8080": 200,
		"localhost":         200,
		"LOCALHOST:9":       200,
		"x.localhost:8080":  200,
		"demo.example:8443": 200,
		"demo.example.":     200,
		"evil.example:8080": 421,
		"localhost.evil":    421,
		"127.0.0.1.evil":    421,
		"":                  421,
	} {
		for _, path := range []string{"/", "/demo/status", "/demo/page.js"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("GET %s for host %q: %d, want %d", path, host, w.Code, want)
			}
		}
	}
}

func TestPageAnswers(t *testing.T) {
	s := httptest.NewServer((&Page{Origin: &Origin{}}).Handler())
	defer s.Close()
	for _, c := range []struct {
		method, path string
		status       int
		kind         string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/demo/style.css", 200, "text/css; charset=utf-8"},
		{"GET", "/demo/page.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/demo/stream.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/demo/draw.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/demo/nothing.js", 404, ""},
		{"GET", "/demo/../page.go", 404, ""},
		{"GET", "/nothing", 404, ""},
		{"POST", "/", 405, ""},
		{"POST", "/demo/status", 405, ""},
	} {
		r, _ := http.NewRequest(c.method, s.URL+c.path, nil)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status || c.kind != "" && resp.Header.Get("Content-Type") != c.kind {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, resp.StatusCode, resp.Header.Get("Content-Type"), c.status, c.kind)
		}
		if !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s %s has no policy", c.method, c.path)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		subscribers func() int
		want        any
	}{
		{nil, nil},
		{func() int { return 12 }, 12.0},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/demo/status", nil)
		r.Host = "localhost"
		(&Page{Origin: &Origin{}, Subscribers: c.subscribers}).Handler().ServeHTTP(w, r)
		var got map[string]any
		if err := json.NewDecoder(w.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got["subscribers"] != c.want {
			t.Errorf("subscribers: %v, want %v", got["subscribers"], c.want)
		}
		if topics := got["topics"].([]any); len(topics) != len(Topics) {
			t.Errorf("topics: %v", topics)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control: %s", w.Header().Get("Cache-Control"))
		}
	}
}

// The page promises to need nothing from elsewhere, and its policy holds it to that.
func TestPageIsSelfContained(t *testing.T) {
	outside := regexp.MustCompile(`(?i)(src|href|url\(|import|from)[\s=("']*(https?:)?//`)
	for _, name := range []string{"index.html", "style.css", "page.js", "stream.js", "draw.js"} {
		f, err := files.Open("page/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(f)
		f.Close()
		if at := outside.FindIndex(text); at != nil {
			t.Errorf("%s asks for something outside: %s", name, text[at[0]:min(at[1]+40, len(text))])
		}
		if name == "index.html" && regexp.MustCompile(`(?i)\sstyle=|<style|\son[a-z]+=`).Match(text) {
			t.Errorf("%s has inline styles or handlers, which the policy forbids", name)
		}
	}
}
