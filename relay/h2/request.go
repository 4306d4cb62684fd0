package h2

import (
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// validRequest reports whether a header list is a request by RFC 9113 8.2 and 8.3, and its
// content-length, -1 if it has none. The Framer has seen to names, to characters of values, and that
// pseudo-header fields are known, come first and once.
func validRequest(fields []hpack.HeaderField) (length int64, ok bool) {
	var method, scheme, authority, path, host string
	var hasAuthority, hasPath, hasScheme bool
	length = -1
	for _, f := range fields {
		switch f.Name {
		case ":method":
			method = f.Value
		case ":scheme":
			scheme, hasScheme = f.Value, true
		case ":authority":
			authority, hasAuthority = f.Value, true
		case ":path":
			path, hasPath = f.Value, true
		case ":status", ":protocol": // :protocol: RFC 8441 is not offered
			return 0, false
		case "host":
			if host != "" && host != f.Value {
				return 0, false
			}
			host = f.Value
		case "content-length":
			n, err := strconv.ParseUint(f.Value, 10, 63)
			if err != nil || f.Value[0] == '+' || length >= 0 && length != int64(n) {
				return 0, false
			}
			length = int64(n)
		case "te":
			if f.Value != "trailers" {
				return 0, false
			}
		case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			return 0, false // 8.2.2
		}
		if !trimmed(f.Value) {
			return 0, false // 8.2.1
		}
	}
	// 8.3.1: Host does not name another place than :authority does.
	if hasAuthority && host != "" && !strings.EqualFold(host, authority) || strings.Contains(authority, "@") {
		return 0, false
	}
	if !httpguts.ValidHeaderFieldName(method) { // a token, as names are
		return 0, false
	}
	if method == "CONNECT" { // 8.5
		return length, authority != "" && !hasScheme && !hasPath
	}
	return length, scheme != "" && validPath(method, path)
}

func validPath(method, path string) bool {
	if path == "" || path[0] != '/' && (path != "*" || method != "OPTIONS") {
		return false
	}
	for i := range len(path) {
		if path[i] <= ' ' || path[i] == 0x7f {
			return false
		}
	}
	return true
}

func validTrailers(fields []hpack.HeaderField) bool {
	for _, f := range fields {
		if f.IsPseudo() || !trimmed(f.Value) {
			return false
		}
	}
	return true
}

// trimmed reports whether a value neither begins nor ends with white space.
func trimmed(v string) bool {
	return v == "" || !blank(v[0]) && !blank(v[len(v)-1])
}

func blank(b byte) bool { return b == ' ' || b == '\t' }
