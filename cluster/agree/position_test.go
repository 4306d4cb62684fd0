package agree

import "testing"

func pos(epoch, seq uint64) Position { return Position{Epoch: epoch, Seq: seq} }

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
