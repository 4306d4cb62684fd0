package relay

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// access decides who may publish and end topics.
type access struct {
	// static after construction
	tokens [][sha256.Size]byte // of equal length, so that comparing tells nothing of theirs
	cross  http.CrossOriginProtection
}

func newAccess(tokens []string) *access {
	a := &access{}
	for _, t := range tokens {
		a.tokens = append(a.tokens, sha256.Sum256([]byte(t)))
	}
	return a
}

// check reports why the request may not change a topic; nil if it may.
//
// A bearer token is proof enough: a browser never adds one by itself, so a page
// that sends it was given it. Without tokens the sender's address is the proof,
// and that a browser on this machine lends to every page it shows. So whatever
// a browser sends for another site is refused, and so is what it sends to a
// name that is not this machine's, which a page may have rebound to 127.0.0.1;
// and so is what a proxy on this machine passes on for somebody else.
func (a *access) check(r *http.Request) *Problem {
	if len(a.tokens) > 0 {
		token, given := bearer(r)
		switch {
		case !given:
			return newProblem(http.StatusUnauthorized, "publishing needs a bearer token")
		case !a.known(token):
			return newProblem(http.StatusUnauthorized, "the bearer token is not one of publish.tokens")
		}
		return nil
	}
	forbidden := func(detail string) *Problem {
		p := newProblem(http.StatusForbidden, "%s", detail)
		p.Limit = "publish.tokens"
		return p
	}
	if !loopback(r.RemoteAddr) || passedOn(r.Header) {
		return forbidden("without publish.tokens only this machine may publish")
	}
	if err := a.cross.Check(r); err != nil {
		return forbidden("a page of another site may not publish")
	}
	if fromBrowser(r.Header) && !localHost(r.Host) {
		return forbidden("without publish.tokens a page may publish to localhost only")
	}
	return nil
}

// known compares with every token, in a time that does not depend on which.
func (a *access) known(token string) bool {
	sum := sha256.Sum256([]byte(token))
	found := 0
	for i := range a.tokens {
		found |= subtle.ConstantTimeCompare(sum[:], a.tokens[i][:])
	}
	return found == 1
}

// bearer returns the request's bearer token (RFC 6750, section 2.1).
func bearer(r *http.Request) (token string, given bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimLeft(token, " "), true
}

// loopback reports whether remote, as in http.Request.RemoteAddr, is this
// machine.
func loopback(remote string) bool {
	addr, ok := remoteAddr(remote)
	return ok && addr.IsLoopback()
}

func remoteAddr(remote string) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, false
	}
	return ap.Addr().Unmap().WithZone(""), true
}

// passedOn reports whether a proxy says that the request is somebody else's.
func passedOn(h http.Header) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// fromBrowser reports whether the request carries a header that browsers set
// and pages cannot.
func fromBrowser(h http.Header) bool { return h.Get("Origin") != "" || h.Get("Sec-Fetch-Site") != "" }

// localHost reports whether host, as in http.Request.Host, cannot be a name
// that somebody rebound: an IP address, or localhost (RFC 6761, section 6.3).
func localHost(host string) bool {
	name := hostName(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// hostName returns the host's name in lower case, without port, brackets and
// final dot.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
