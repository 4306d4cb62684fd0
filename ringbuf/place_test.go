package ringbuf

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPlaceText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		position := rapid.Custom(func(t *rapid.T) Position {
			return Position{rapid.Uint64().Draw(t, "epoch"), rapid.Uint64().Draw(t, "seq")}
		})
		p := Place{At: position.Draw(t, "at")}
		if rapid.Bool().Draw(t, "lost") {
			p.Lost = position.Draw(t, "branch")
		}
		if q, err := ParsePlace(p.String()); err != nil || q != p {
			t.Fatalf("ParsePlace(%q) = %v, %v", p, q, err)
		}
	})
	for _, bad := range []string{"", "1", "-1", "1-", "01-1", "1-01", "A-1", "1-1~", "1-1~0-0", "1-1-1", "+1-1", "1-1 "} {
		if p, err := ParsePlace(bad); err == nil {
			t.Errorf("ParsePlace(%q) = %v, want an error", bad, p)
		}
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add("a-1")
	f.Add("zik0zj-1y2~b-3")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePlace(s); err == nil && p.String() != s {
			t.Errorf("%q reads as %q", s, p)
		}
	})
}
