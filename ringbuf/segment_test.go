package ringbuf

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A segment gives back what was put, however its room was chosen, and what it takes
// from others.
func TestSegment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const first, base = 100, 5000
		s := newSegment(rapid.IntRange(0, 2000).Draw(t, "size"), first, base)
		var wires, ids []string
		var times []int64
		put := func(s *segment) bool {
			body := rapid.StringOfN(rapid.RuneFrom([]rune("xyz\n")), 0, 100, -1).Draw(t, "body")
			id := rapid.StringOfN(rapid.RuneFrom([]rune("ab-")), 0, 256, -1).Draw(t, "id")
			own := rapid.Bool().Draw(t, "own")
			ms := base + rapid.Int64Range(0, math.MaxUint32).Draw(t, "ms")
			if !s.fits(len(body)+len(id)+idMarks, ms) {
				return false
			}
			s.put([]byte(body), []byte(id), own, ms)
			wires, times = append(wires, body+"id: "+id+"\n\n"), append(times, ms)
			if !own {
				id = ""
			}
			ids = append(ids, id)
			return true
		}
		for put(s) {
		}
		if s.end+indexSize*s.n > len(s.buf) {
			t.Fatalf("%d bytes and %d entries in %d bytes", s.end, s.n, len(s.buf))
		}
		cut := 0
		if s.n > 0 {
			cut = rapid.IntRange(0, s.n-1).Draw(t, "cut")
			moved := newSegment(len(s.buf)+100, first+uint64(cut), base)
			moved.take(s, moved.first)
			s = moved
			put(s)
		}
		if s.n != len(wires)-cut {
			t.Fatalf("%d entries, want %d", s.n, len(wires)-cut)
		}
		for i := range s.n {
			e := s.event(i, Position{})
			if string(e.Wire) != wires[i+cut] || string(s.own(i)) != ids[i+cut] || s.commit(i) != times[i+cut] {
				t.Fatalf("entry %d is %q, %q, at %d; want %q, %q, at %d",
					i, e.Wire, s.own(i), s.commit(i), wires[i+cut], ids[i+cut], times[i+cut])
			}
		}
	})
}

func TestSegmentTurnsAwayWhatItCannotHold(t *testing.T) {
	s := newSegment(64, 1, 1000)
	room := len(s.buf) - indexSize
	for _, c := range []struct {
		size int
		ms   int64
		fits bool
	}{
		{room, 1000, true}, {room + 1, 1000, false},
		{10, 999, false}, {10, 1000 + math.MaxUint32, true}, {10, 1001 + math.MaxUint32, false},
		{10, math.MaxInt64, false}, {10, math.MinInt64, false},
	} {
		if got := s.fits(c.size, c.ms); got != c.fits {
			t.Errorf("%d bytes at %d fit: %v, want %v", c.size, c.ms, got, c.fits)
		}
	}
}

// Finding a segment works however unevenly events are spread over segments.
func TestFindASegment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := &view{}
		first := rapid.Uint64Range(1, math.MaxUint64/2).Draw(t, "first")
		for range rapid.IntRange(1, 60).Draw(t, "segments") {
			v.segs = append(v.segs, &segment{first: first})
			first += rapid.OneOf(rapid.Uint64Range(1, 3), rapid.Uint64Range(1, 5000)).Draw(t, "events")
		}
		for i, s := range v.segs {
			next := first
			if i+1 < len(v.segs) {
				next = v.segs[i+1].first
			}
			for _, seq := range []uint64{s.first, s.first + (next-s.first)/2, next - 1} {
				if got := v.find(seq); got != i {
					t.Fatalf("event %d is in segment %d, found %d", seq, i, got)
				}
			}
		}
	})
}

func ExampleRing() {
	r := New(Limits{Events: 4096}, Position{Epoch: 1})
	r.Append(Entry{Body: []byte("event: goal\ndata: 1:0\n"), ID: "goal-1"})
	r.Append(Entry{Body: []byte("data: half-time\n")})

	c, found := r.Find("goal-1") // a client that has seen the goal
	run, events, lost := r.Next(&c, 16<<10)
	fmt.Println(found, events, lost)
	fmt.Printf("%s", run)
	// Output:
	// known 1 0
	// data: half-time
	// id: 1-2
}
