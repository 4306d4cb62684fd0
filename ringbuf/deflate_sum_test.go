package ringbuf

import (
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// TestSumOfAnyReader joins anywhere, gets texts of its own between the log's, and compares with
// counting all of it.
func TestSumOfAnyReader(t *testing.T) {
	d := newDeflater(t, Compression{})
	rapid.Check(t, func(t *rapid.T) {
		r := New(Limits{}, Position{Epoch: 1})
		add := func(label string) {
			for range rapid.IntRange(0, 20).Draw(t, label) {
				r.Append(Entry{Body: drawBody(t)})
			}
		}
		add("before")
		c := r.Last(rapid.IntRange(0, 10).Draw(t, "last"))
		r.StartDeflated(d, c, nil)
		var all []byte
		var sum Sum
		if at, ok := r.SumAt(c); ok {
			sum.Begin(at)
		}
		for range rapid.IntRange(0, 4).Draw(t, "times") {
			text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
			at, ok := r.SumAt(c)
			if !ok {
				t.Fatalf("no sum at %v", c)
			}
			sum.Text(at, text)
			all = append(all, text...)
			add("then")
			stop := c.Seq() + uint64(rapid.IntRange(0, int(r.Head().Seq-c.Seq())).Draw(t, "read"))
			all = append(all, wire(t, r, c, stop)...)
			c = CursorAfter(stop)
		}
		at, _ := r.SumAt(c)
		crc, size := sum.Total(at)
		if want := crc32.ChecksumIEEE(all); crc != want || size != uint32(len(all)) {
			t.Fatalf("the sum of %d bytes is %08x, got %08x for %d", len(all), want, crc, size)
		}
	})
}

func TestSumAtWhatIsGone(t *testing.T) {
	d := newDeflater(t, Compression{})
	r := New(Limits{Events: 2}, Position{Epoch: 1})
	r.StartDeflated(d, r.Latest(), nil)
	for range 5 {
		r.Append(Entry{Body: []byte("data: x\n")})
	}
	if _, ok := r.SumAt(CursorAfter(1)); ok {
		t.Error("there is a sum at a place whose text is evicted")
	}
	if _, ok := r.SumAt(r.Last(2)); !ok {
		t.Error("there is none at the oldest")
	}
}

func TestPowersOfX(t *testing.T) {
	for _, n := range []uint64{0, 1, 2, 1000, order - 1, order, order + 5, firstSize + 12345, 1<<63 + 7} {
		if got := multiply(power(n), powerDown(n)); got != 1<<31 {
			t.Errorf("x^%d * x^-%d = %08x", n, n, got)
		}
	}
	if a, b := power(order+5), power(5); a != b {
		t.Errorf("the order of x is wrong: %08x, %08x", a, b)
	}
}
