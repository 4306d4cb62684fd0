package netloop

import (
	"strings"
	"testing"
)

func TestFirstLine(t *testing.T) {
	tests := []struct {
		come    string
		done    bool
		isError bool
	}{
		{"GET / HTTP/1.1\r\nHost: x\r\n", true, false},
		{"POST /events/a HTTP/1.0\n", true, false},
		{"\r\nGET / HTTP/1.1\r\n", true, false}, // RFC 9112 2.2: an empty line before is let pass
		{"GET / HTTP/1.1", false, false},
		{"P", false, false},
		{strings.Repeat("x", 101), true, false}, // net/http says that it is too long
		{"INVALID CONNECTION PREFACE\r\n\r\n", true, true},
		{"\x16\x03\x01\n", true, true}, // TLS on the plain port
	}
	for _, test := range tests {
		done, err := firstLine([]byte(test.come), 100)
		if done != test.done || (err != nil) != test.isError {
			t.Errorf("firstLine(%.30q) = %v, %v", test.come, done, err)
		}
	}
}
