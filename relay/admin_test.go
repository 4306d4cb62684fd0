package relay

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAdmin(t *testing.T) {
	var ready error
	r := newTestRelay(t, Config{
		Ready:      func() error { return ready },
		AdminHosts: []string{"relay.example"},
		AdminPages: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, "more") }),
	})
	get := func(host, path string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("GET", path, nil)
		req.Host = host
		w := httptest.NewRecorder()
		r.Admin().ServeHTTP(w, req)
		return w
	}
	for _, c := range []struct {
		host, path string
		status     int
		says       string
	}{
		{"127.0.0.1:8081", "/healthz", 200, "ok"},
		{"localhost", "/readyz", 200, "ready"},
		{"relay-1:8081", "/metrics", 200, "freshet_relay_subscribers 0"},
		{"[::1]:8081", "/debug/pprof/", 200, "goroutine"},
		{"10.1.2.3:8081", "/debug/pprof/cmdline", 200, ""},
		{"relay.example:8081", "/healthz", 200, "ok"},
		{"relay.example.:8081", "/healthz", 200, "ok"},
		{"localhost", "/cluster", 200, "more"},
		{"evil.example:8081", "/healthz", 421, "evil.example"},
		{"evil.example:8081", "/debug/pprof/", 421, ""},
		{"evil.example", "/cluster", 421, ""},
		{"127.0.0.1.evil.example", "/metrics", 421, ""},
	} {
		if w := get(c.host, c.path); w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s%s: %d %.200s", c.host, c.path, w.Code, w.Body)
		}
	}
	ready = errors.New("not yet")
	if w := get("localhost", "/readyz"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "not yet") {
		t.Errorf("not ready: %d %s", w.Code, w.Body)
	}
	if w := get("localhost", "/healthz"); w.Code != http.StatusOK {
		t.Errorf("not ready is not ill: %d", w.Code)
	}
	ready = nil
	r.leave()
	if w := get("localhost", "/readyz"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("draining: %d", w.Code)
	}
}
