package sse

import (
	"strings"
	"testing"
)

func TestParseTopic(t *testing.T) {
	for topic, fault := range map[string]string{
		"a":                      "",
		"scores/match-42":        "",
		"A.z_0~9-/...":           "",
		strings.Repeat("a", 256): "",
		"":                       "empty",
		strings.Repeat("a", 257): "257 bytes long, the limit is 256",
		"a/":                     "empty segment",
		"/a":                     "empty segment",
		"a//b":                   "empty segment",
		".":                      `segment "."`,
		"a/../b":                 `segment ".."`,
		"a b":                    `" " at 1`,
		"caf\u00e9":              `"\xc3" at 3`,
		"a\x00":                  `"\x00" at 1`,
		"{topic}":                `"{" at 0`,
	} {
		got, err := ParseTopic(topic)
		if ValidTopic(topic) != (fault == "") || (err == nil) != (fault == "") {
			t.Errorf("%q: valid %v, error %v", topic, ValidTopic(topic), err)
			continue
		}
		if err != nil && !strings.Contains(err.Error(), fault) || err == nil && got != topic {
			t.Errorf("%q: %q, error %v, want it to say %q", topic, got, err, fault)
		}
	}
}

func TestUsableID(t *testing.T) {
	for id, want := range map[string]bool{
		"1":                      true,
		"a b":                    true,
		"\u00e9":                 true,
		strings.Repeat("x", 256): true,
		"":                       false,
		strings.Repeat("x", 257): false,
		" 1":                     false,
		"1 ":                     false,
		"\t1":                    false,
		"1\t2":                   false,
		"1\x7f":                  false,
		"1\x00":                  false,
		"\xff":                   false,
	} {
		if UsableID(id) != want {
			t.Errorf("%q: usable %v", id, !want)
		}
	}
}
