package sse

import (
	"fmt"
	"unicode/utf8"
)

// Bounds on names, in bytes.
const (
	MaxTopic = 256
	MaxID    = 256
)

// UsableID reports whether an id can come back in a Last-Event-ID header as it
// is: 1 to 256 bytes of valid UTF-8, no controls (RFC 9110, section 5.5), and no
// blank at either end, where header parsers strip it.
func UsableID(id string) bool {
	if id == "" || len(id) > MaxID || id[0] == ' ' || id[len(id)-1] == ' ' {
		return false
	}
	for i := 0; i < len(id); i++ {
		if id[i] < ' ' || id[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(id)
}

// ValidTopic reports whether s is the name of a topic.
func ValidTopic(s string) bool { return topicFault(s) == "" }

// ParseTopic returns s if it is the name of a topic, else an error that says
// what is wrong with it. A topic is 1 to 256 bytes: segments of letters, digits
// and "._~-" joined by "/", no segment empty, "." or "..".
func ParseTopic(s string) (string, error) {
	if fault := topicFault(s); fault != "" {
		return "", &FieldError{Field: "topic", Reason: fault}
	}
	return s, nil
}

func topicFault(s string) string {
	if s == "" {
		return "is empty"
	}
	if len(s) > MaxTopic {
		return fmt.Sprintf("is %d bytes long, the limit is %d", len(s), MaxTopic)
	}
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '/' {
			if !topicByte[s[i]] {
				return fmt.Sprintf("has the byte %q at %d; allowed are letters, digits and ._~- in segments joined by /", s[i:i+1], i)
			}
			continue
		}
		switch s[start:i] {
		case "":
			return "has an empty segment"
		case ".", "..":
			return fmt.Sprintf("has the segment %q", s[start:i])
		}
		start = i + 1
	}
	return ""
}

var topicByte = func() (ok [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-") {
		ok[c] = true
	}
	return ok
}()
