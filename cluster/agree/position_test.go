package agree

import (
	"testing"

	"pgregory.net/rapid"
)

func pos(epoch, seq uint64) Position { return Position{Epoch: epoch, Seq: seq} }

func TestPlaceText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		position := rapid.Custom(func(t *rapid.T) Position {
			return pos(rapid.Uint64().Draw(t, "epoch"), rapid.Uint64().Draw(t, "seq"))
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

func TestEpochsNeverRepeat(t *testing.T) {
	seen := uint64(0)
	for i := range 1000 {
		next := nextEpoch(seen, 1000+int64(i/100), 7) // a hundred in a second
		if next <= seen || next&0xffff != 7 {
			t.Fatalf("epoch %x after %x", next, seen)
		}
		seen = next
	}
	if e := nextEpoch(seen, 1, 7); e <= seen {
		t.Errorf("a clock that was set back draws %x after %x", e, seen)
	}
}
