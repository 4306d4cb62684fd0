package h3

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAdvertise(t *testing.T) {
	value := AltSvc(&net.UDPAddr{Port: 8443})
	if want := `h3=":8443"; ma=600`; value != want {
		t.Errorf("got %s, want %s", value, want)
	}
	handler := Advertise(value, http.NotFoundHandler())
	for _, c := range []struct {
		name  string
		major int
		tls   *tls.ConnectionState
		want  string
	}{
		{"HTTP/1.1", 1, &tls.ConnectionState{}, value},
		{"HTTP/2", 2, &tls.ConnectionState{}, value},
		{"HTTP/3", 3, &tls.ConnectionState{}, ""},
		{"h2c", 2, nil, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.ProtoMajor, r.TLS = c.major, c.tls
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if got := w.Header().Get("Alt-Svc"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
