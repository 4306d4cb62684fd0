package relay

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAccess(t *testing.T) {
	const (
		here  = "127.0.0.1:1234"
		there = "192.0.2.7:1234"
	)
	for _, c := range []struct {
		name         string
		tokens       []string
		remote, host string
		header       []string
		status       int // 0 = may
	}{
		{"this machine", nil, here, "localhost:8080", nil, 0},
		{"this machine by IPv6", nil, "[::1]:1", "[::1]:8080", nil, 0},
		{"this machine, mapped", nil, "[::ffff:127.0.0.1]:1", "127.0.0.1", nil, 0},
		{"this machine by any name, no browser", nil, here, "relay.example", nil, 0},
		{"another machine", nil, there, "relay.example", nil, 403},
		{"no address", nil, "", "localhost", nil, 403},
		{"a proxy's client", nil, here, "localhost", []string{"X-Forwarded-For", "127.0.0.1"}, 403},
		{"another proxy's client", nil, here, "localhost", []string{"Forwarded", "for=192.0.2.1"}, 403},
		{"a page from here", nil, here, "localhost:8080", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:8080"}, 0},
		{"a page from here, by name", nil, here, "demo.localhost:8080", []string{"Sec-Fetch-Site", "same-origin"}, 0},
		{"a page from elsewhere", nil, here, "localhost:8080", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"a page from another port", nil, here, "localhost:8080", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:3000"}, 403},
		{"a page in an old browser", nil, here, "localhost:8080", []string{"Origin", "https://evil.example"}, 403},
		{"a page at a rebound name", nil, here, "evil.example:8080", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example:8080"}, 403},
		{"a page at a rebound name, old browser", nil, here, "evil.example:8080", []string{"Origin", "http://evil.example:8080"}, 403},

		{"a token", []string{"a", "bb"}, there, "relay.example", []string{"Authorization", "Bearer bb"}, 0},
		{"a token, another case", []string{"a"}, there, "relay.example", []string{"Authorization", "BEARER  a"}, 0},
		{"a token from a page", []string{"a"}, there, "relay.example", []string{"Authorization", "Bearer a", "Sec-Fetch-Site", "cross-site"}, 0},
		{"no token, though from here", []string{"a"}, here, "localhost", nil, 401},
		{"a wrong token", []string{"a"}, here, "localhost", []string{"Authorization", "Bearer aa"}, 401},
		{"an empty token", []string{"a"}, here, "localhost", []string{"Authorization", "Bearer "}, 401},
		{"another scheme", []string{"a"}, here, "localhost", []string{"Authorization", "Basic a"}, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newTestRelay(t, Config{PublishTokens: c.tokens})
			for _, method := range []string{"POST", "DELETE"} {
				req := httptest.NewRequest(method, "/events/t", nil)
				req.RemoteAddr, req.Host = c.remote, c.host
				for i := 0; i < len(c.header); i += 2 {
					req.Header.Set(c.header[i], c.header[i+1])
				}
				w := httptest.NewRecorder()
				r.Handler().ServeHTTP(w, req)
				want := c.status
				if want == 0 {
					want = map[string]int{"POST": http.StatusCreated, "DELETE": http.StatusNoContent}[method]
				}
				if w.Code != want {
					t.Errorf("%s: %d %s, want %d", method, w.Code, w.Body, want)
				}
				if auth := w.Header().Get("WWW-Authenticate"); (w.Code == 401) != (auth == "Bearer") {
					t.Errorf("%s: %d with WWW-Authenticate %q", method, w.Code, auth)
				}
			}
		})
	}
}
