package h2

import (
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// staticNames gives the indices of names in HPACK's static table (RFC 7541 appendix A) from 15 on;
// those before are pseudo-header fields.
var staticNames = func() map[string]int {
	m := make(map[string]int)
	for i, name := range [...]string{
		"accept-charset", "accept-encoding", "accept-language", "accept-ranges", "accept",
		"access-control-allow-origin", "age", "allow", "authorization", "cache-control",
		"content-disposition", "content-encoding", "content-language", "content-length",
		"content-location", "content-range", "content-type", "cookie", "date", "etag", "expect",
		"expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
		"if-unmodified-since", "last-modified", "link", "location", "max-forwards",
		"proxy-authenticate", "proxy-authorization", "range", "referer", "refresh", "retry-after",
		"server", "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent",
		"vary", "via", "www-authenticate",
	} {
		m[name] = 15 + i
	}
	return m
}()

// AppendFields appends the header block of a response: its status, unless that is 0 as in
// trailers, and fields, whose names are in lower case. It uses HPACK's static table only,
// so that any connection's decoder takes the block, and is changed by none.
func AppendFields(dst []byte, status int, fields []hpack.HeaderField) []byte {
	switch status {
	case 0:
	case 200:
		dst = append(dst, 0x80|8)
	case 204:
		dst = append(dst, 0x80|9)
	case 206:
		dst = append(dst, 0x80|10)
	case 304:
		dst = append(dst, 0x80|11)
	case 400:
		dst = append(dst, 0x80|12)
	case 404:
		dst = append(dst, 0x80|13)
	case 500:
		dst = append(dst, 0x80|14)
	default:
		dst = append(dst, 8, 3) // name of index 8; a value of 3 octets
		dst = strconv.AppendInt(dst, int64(status), 10)
	}
	for _, f := range fields {
		dst = appendField(dst, f)
	}
	return dst
}

// appendField appends a literal without indexing, or one that must never be indexed (RFC
// 7541 6.2.2 and 6.2.3).
func appendField(dst []byte, f hpack.HeaderField) []byte {
	var kind byte
	if f.Sensitive {
		kind = 0x10
	}
	if i := staticNames[f.Name]; i != 0 {
		dst = appendInteger(dst, kind, 4, uint64(i))
	} else {
		dst = appendString(append(dst, kind), f.Name)
	}
	return appendString(dst, f.Value)
}

func appendString(dst []byte, s string) []byte {
	if n := hpack.HuffmanEncodeLength(s); n < uint64(len(s)) {
		return hpack.AppendHuffmanString(appendInteger(dst, 0x80, 7, n), s)
	}
	return append(appendInteger(dst, 0, 7, uint64(len(s))), s...)
}

// appendInteger appends an integer with a prefix of so many bits, RFC 7541 5.1.
func appendInteger(dst []byte, kind byte, bits uint, v uint64) []byte {
	full := uint64(1)<<bits - 1
	if v < full {
		return append(dst, kind|byte(v))
	}
	dst = append(dst, kind|byte(full))
	for v -= full; v >= 0x80; v >>= 7 {
		dst = append(dst, 0x80|byte(v))
	}
	return append(dst, byte(v))
}
