package netloop

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// newRequest makes the http.Request of fields, which h2 has found valid, or says with which status
// they are refused.
func (c *conn) newRequest(fields []hpack.HeaderField, end bool) (r *http.Request, status int) {
	r = &http.Request{
		Proto: "HTTP/2.0", ProtoMajor: 2,
		Header:     make(http.Header, len(fields)),
		Body:       http.NoBody,
		RemoteAddr: c.remote.String(),
	}
	// One array for the values of all fields that come once, which nearly all do.
	values := make([]string, len(fields))
	var path string
	for i, f := range fields {
		switch f.Name {
		case ":method":
			r.Method = f.Value
			continue
		case ":authority":
			r.Host = f.Value
			continue
		case ":path":
			path = f.Value
			continue
		case ":scheme":
			continue
		case "host":
			if r.Host == "" {
				r.Host = f.Value
			}
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if old := r.Header[name]; old == nil {
			values[i] = f.Value
			r.Header[name] = values[i : i+1 : i+1]
		} else if name == "Cookie" {
			old[0] += "; " + f.Value // RFC 9113 8.2.3
		} else {
			r.Header[name] = append(old, f.Value)
		}
	}
	if path == "" {
		return nil, http.StatusNotImplemented // CONNECT
	}
	if !end {
		r.ContentLength = -1
		if v := r.Header.Get("Content-Length"); v != "" {
			r.ContentLength, _ = strconv.ParseInt(v, 10, 64)
		}
	}
	r.RequestURI = path
	if path == "*" {
		r.URL = &url.URL{Path: "*"}
	} else {
		if !strings.HasPrefix(path, "/") {
			return nil, http.StatusBadRequest
		}
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return nil, http.StatusBadRequest
		}
		r.URL = u
	}
	if c.secure != nil {
		state := c.secure.ConnectionState()
		r.TLS = &state
	}
	return r, 0
}
