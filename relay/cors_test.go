package relay

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSharing(t *testing.T) {
	for _, c := range []struct {
		name        string
		origins     []string
		origin      string
		allow, vary string
		credentials bool
	}{
		{"everybody", []string{"*"}, "https://a.example", "*", "", false},
		{"everybody, no page", []string{"*"}, "", "*", "", false},
		{"nobody", []string{}, "https://a.example", "", "", false},
		{"a named one", []string{"https://a.example"}, "https://a.example", "https://a.example", "Origin", true},
		{"another", []string{"https://a.example"}, "https://b.example", "", "Origin", false},
		{"another port", []string{"https://a.example"}, "https://a.example:444", "", "Origin", false},
		{"another scheme", []string{"https://a.example"}, "http://a.example", "", "Origin", false},
		{"no page, some named", []string{"https://a.example"}, "", "", "Origin", false},
		{"named among everybody", []string{"*", "https://a.example"}, "https://a.example", "https://a.example", "Origin", true},
		{"everybody but those named", []string{"*", "https://a.example"}, "https://b.example", "*", "Origin", false},
		{"a page without an origin", []string{"https://a.example"}, "null", "", "Origin", false},
	} {
		req := httptest.NewRequest("GET", "/events/t", nil)
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		h := make(http.Header)
		allowed := newSharing(c.origins, false).share(h, req)
		if got := h.Get("Access-Control-Allow-Origin"); got != c.allow || allowed != (c.allow != "") {
			t.Errorf("%s: allows %q, want %q", c.name, got, c.allow)
		}
		if got := h.Get("Vary"); got != c.vary {
			t.Errorf("%s: varies by %q, want %q", c.name, got, c.vary)
		}
		if got := h.Get("Access-Control-Allow-Credentials") == "true"; got != c.credentials {
			t.Errorf("%s: with credentials: %v", c.name, got)
		}
	}
}
