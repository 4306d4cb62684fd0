package ringbuf

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPositionText(t *testing.T) {
	for text, want := range map[string]Position{
		"0-0":                         {0, 0},
		"1-z":                         {1, 35},
		"a-10":                        {10, 36},
		"oxyydezgg-rs":                {70368744177664, 1000},
		"3w5e11264sgsf-3w5e11264sgsf": {math.MaxUint64, math.MaxUint64},
	} {
		got, err := ParsePosition(text)
		if err != nil || got != want {
			t.Errorf("ParsePosition(%q) = %v, %v; want %v", text, got, err, want)
		}
		if want.String() != text {
			t.Errorf("%d-%d is written %q, want %q", want.Epoch, want.Seq, want, text)
		}
		if b, err := want.AppendText([]byte("id: ")); string(b) != "id: "+text || err != nil {
			t.Errorf("AppendText gives %q, %v", b, err)
		}
	}
	for _, text := range []string{
		"", "-", "1", "1-", "-1", "1-1-1", "01-1", "1-01", "00-1", "A-1", "1-A", "+1-1", "1-+1", "1--1", " 1-1", "1-1 ", "1 -1",
		"1_0-1", "1-1\n", "é-1", "1\u20111", "goal", "3w5e11264sgsg-1", "1-3w5e11264sgsg", "zzzzzzzzzzzzz-1",
		"10000000000000-1", "0000000000000000000000000000-1",
	} {
		if p, err := ParsePosition(text); !errors.Is(err, ErrPosition) || p != (Position{}) {
			t.Errorf("ParsePosition(%q) = %v, %v; want %v", text, p, err, ErrPosition)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"0-0", "kz3q9f2abc-1", "3w5e11264sgsf-0", "01-1", "1-", "-", "A-b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		if err == nil && p.String() != s {
			t.Errorf("%q is read as %q", s, p)
		}
	})
}

func TestPositionRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Position{rapid.Uint64().Draw(t, "epoch"), rapid.Uint64().Draw(t, "seq")}
		if got, err := ParsePosition(want.String()); err != nil || got != want {
			t.Fatalf("%v is read as %v, %v", want, got, err)
		}
	})
}

func TestLineageKnowsEachEpochsPart(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 10})
	add(r, 3)    // 10: 1 to 3
	r.Begin(20)  // empty, so replaced
	r.Begin(21)  //
	add(r, 2)    // 21: 4 and 5
	r.Begin(300) //
	if diff := cmp.Diff([]Branch{{10, 1}, {21, 4}, {300, 6}}, r.Lineage()); diff != "" {
		t.Fatal(diff)
	}
	for id, want := range map[Position]Found{
		{10, 0}: Known, {10, 1}: Known, {10, 3}: Known, {10, 4}: Unknown, {10, 9}: Unknown,
		{20, 4}: Unknown, {21, 3}: Unknown, {21, 4}: Known, {21, 5}: Known, {21, 6}: Unknown,
		{300, 5}: Unknown, {300, 6}: Ahead, {300, 99}: Ahead,
		{301, 6}: Ahead, {301, 5}: Unknown, {299, 6}: Unknown, {1, 1}: Unknown,
	} {
		c, got := r.Find(id.String())
		if got != want {
			t.Errorf("Find(%d-%d) says %v, want %v", id.Epoch, id.Seq, got, want)
		}
		if got == Known && c.Seq() != id.Seq || got == Unknown && c != r.Oldest() || got == Ahead && c != r.Latest() {
			t.Errorf("Find(%d-%d) goes on after %d", id.Epoch, id.Seq, c.Seq())
		}
	}
	if r.Head() != (Position{21, 5}) {
		t.Errorf("a new epoch moved the head to %v", r.Head())
	}
	for _, epoch := range []uint64{300, 299, 21, 0} {
		if r.Begin(epoch) {
			t.Errorf("epoch %d began after 300", epoch)
		}
	}
}

func TestTheFirstEpochMayEndBeforeItsFirstEvent(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 10})
	r.Begin(20)
	if c, found := r.Find("a-0"); found != Known || c != r.Latest() {
		t.Errorf("the head of a fresh topic is %v", found)
	}
	add(r, 1)
	if got, want := r.Head(), (Position{20, 1}); got != want {
		t.Errorf("head %v, want %v", got, want)
	}
	if c, found := r.Find("a-0"); found != Known || c.Seq() != 0 {
		t.Errorf("the place before the first event is %v", found)
	}
}

func TestLineageIsBounded(t *testing.T) {
	r := New(Limits{Events: 5}, Position{Epoch: 1})
	for epoch := uint64(2); epoch < 1000; epoch++ {
		r.Begin(epoch)
		add(r, 1)
		if n := len(r.Lineage()); n > maxLineage {
			t.Fatalf("%d branches", n)
		}
		// Whatever is kept must be findable in its own epoch.
		for c := r.Oldest(); c != r.Latest(); {
			e, _, _ := r.Step(&c)
			if e.At.Epoch != e.At.Seq+1 {
				t.Fatalf("event %d is in epoch %d", e.At.Seq, e.At.Epoch)
			}
		}
	}
	if n := len(r.Lineage()); n != maxLineage {
		t.Errorf("%d branches remembered, want %d", n, maxLineage)
	}

	all := New(Limits{}, Position{Epoch: 1})
	for epoch := uint64(2); epoch < 200; epoch++ {
		add(all, 1)
		all.Begin(epoch)
	}
	if n := len(all.Lineage()); n != 199 {
		t.Errorf("%d branches, want 199: their events are kept", n)
	}
}

func TestNewTakesALineageThatLeadsToItsHead(t *testing.T) {
	good := []Branch{{10, 1}, {21, 4}, {300, 6}}
	for _, head := range []Position{{300, 6}, {300, 60}, {21, 5}} {
		if got := New(Limits{}, head, good...).Lineage(); !slices.Equal(got, good) {
			t.Errorf("head %v: lineage %v, want %v", head, got, good)
		}
	}
	for _, bad := range [][]Branch{
		nil,
		{{10, 1}, {21, 4}},           // another epoch at the head
		{{10, 1}, {21, 4}, {300, 9}}, // begins after the head
		{{10, 1}, {21, 4}, {20, 5}, {300, 6}},
		{{10, 1}, {21, 4}, {22, 4}, {300, 6}},
		{{10, 1}, {21, 4}, {300, 3}},
		{{10, 0}, {300, 6}},
	} {
		want := []Branch{{300, 1}}
		if got := New(Limits{}, Position{300, 7}, bad...).Lineage(); !slices.Equal(got, want) {
			t.Errorf("lineage %v is taken as %v, want %v", bad, got, want)
		}
	}
	branches := slices.Clone(good)
	r := New(Limits{}, Position{300, 7}, branches...)
	branches[0].Epoch = 99
	r.Lineage()[1].Epoch = 99
	if !slices.Equal(r.Lineage(), good) {
		t.Error("the caller can change the lineage from outside")
	}
}
