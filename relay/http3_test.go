package relay

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// Who comes over TLS by TCP is told of HTTP/3, and nobody else is: h2c has no name to be
// proved, and HTTP/3 is there already.
func TestHTTP3IsAdvertised(t *testing.T) {
	r := serveRelay(t, Config{})
	_, port, _ := net.SplitHostPort(r.http3)
	for _, p := range r.protocols(t) {
		res, err := p.client.Get(p.url + "/events/t?from=nonsense")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		want := ""
		if p.name == "h2" || p.name == "http1-tls" {
			want = `h3=":` + port + `"; ma=600`
		}
		if got := res.Header.Get("Alt-Svc"); got != want {
			t.Errorf("%s: Alt-Svc %q, want %q", p.name, got, want)
		}
	}
}

// The limit on subscribers of one address is one over all protocols.
func TestHTTP3SharesLimits(t *testing.T) {
	r := serveRelay(t, Config{Limits: Limits{Subscribers: 4, AddressShare: 0.5}})
	byName := make(map[string]protocol)
	for _, p := range r.protocols(t) {
		byName[p.name] = p
	}
	byName["h3"].subscribe(t, "/events/t")
	byName["h2"].subscribe(t, "/events/t")
	for _, name := range []string{"h3", "h2"} {
		res, err := byName[name].client.Get(byName[name].url + "/events/t")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a third subscriber over %s: %s, want 503", name, res.Status)
		}
	}
}
