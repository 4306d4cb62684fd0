package relay

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
)

// sharing is which pages of other sites may read what the relay answers
// (WHATWG Fetch, section 3.3).
type sharing struct {
	// static after construction
	everyone bool     // without credentials
	origins  []string // with credentials
	methods  string   // that a preflight allows
}

func newSharing(origins []string, tokens bool) *sharing {
	s := &sharing{methods: "GET, HEAD"}
	if tokens {
		s.methods = "GET, HEAD, POST, DELETE" // else no page of another site publishes
	}
	for _, o := range origins {
		if o == "*" {
			s.everyone = true
		} else {
			s.origins = append(s.origins, o)
		}
	}
	return s
}

// share sets what lets the page that sent the request read the answer. It
// leaves everything to the browser's refusal where the page may not.
func (s *sharing) share(h http.Header, r *http.Request) (allowed bool) {
	if len(s.origins) > 0 {
		h.Add("Vary", "Origin")
	}
	origin := r.Header.Get("Origin")
	switch {
	case origin != "" && slices.Contains(s.origins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	case s.everyone:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		return false
	}
	return true
}

// preflight answers an OPTIONS request.
func (s *sharing) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Allow", allMethods)
	if s.share(h, r) && r.Header.Get("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", s.methods)
		// Clients that are not the browser's own EventSource set these.
		h.Set("Access-Control-Allow-Headers", "Accept, Authorization, Cache-Control, Content-Type, Freshet-Offset, Idempotency-Key, Last-Event-ID")
		h.Set("Access-Control-Max-Age", "86400")
	}
	w.WriteHeader(http.StatusNoContent)
}

// validOrigin reports why o is neither "*" nor an origin as RFC 6454, section
// 6.2, serializes it, which is how browsers send it and how it is compared.
func validOrigin(o string) error {
	if o == "*" {
		return nil
	}
	u, err := url.Parse(o)
	if err != nil {
		return err
	}
	if u.Scheme == "" || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("an origin is written like https://example.com, or *")
	}
	return nil
}
