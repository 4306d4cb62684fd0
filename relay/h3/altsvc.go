package h3

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

// AltSvcAge is for how long clients remember where HTTP/3 is. Minutes: a client that remembers a port
// which is not reachable any more tries it in vain, and one that starts on HTTP/2 is told
// again with every answer.
const AltSvcAge = 10 * time.Minute

// AltSvc is the value of the Alt-Svc header (RFC 7838 3) that tells the clients of a TCP listener of
// the same host that there is HTTP/3 on this address's port.
func AltSvc(udp net.Addr) string {
	_, port, err := net.SplitHostPort(udp.String())
	if err != nil {
		return ""
	}
	return `h3=":` + port + `"; ma=` + strconv.Itoa(int(AltSvcAge/time.Second))
}

// Advertise adds the Alt-Svc header to every answer of next that is not HTTP/3 itself and came over
// TLS: browsers take it from no other.
func Advertise(altSvc string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && r.ProtoMajor < 3 {
			w.Header().Set("Alt-Svc", altSvc)
		}
		next.ServeHTTP(w, r)
	})
}
