package h2

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

// TestAppendFields decodes what was encoded with a decoder that has no dynamic table.
func TestAppendFields(t *testing.T) {
	decoder := hpack.NewDecoder(0, nil)
	names := []string{"content-type", "www-authenticate", "accept-charset", "x-accel-buffering", "freshet-offset", ""}
	rapid.Check(t, func(t *rapid.T) {
		status := rapid.OneOf(rapid.SampledFrom([]int{0, 200, 204, 206, 304, 400, 404, 500}), rapid.IntRange(100, 999)).Draw(t, "status")
		var fields, want []hpack.HeaderField
		if status != 0 {
			want = append(want, hpack.HeaderField{Name: ":status", Value: itoa(uint32(status))})
		}
		for range rapid.IntRange(0, 10).Draw(t, "fields") {
			f := hpack.HeaderField{
				Name:      rapid.OneOf(rapid.SampledFrom(names), rapid.StringN(1, 200, 300)).Draw(t, "name"),
				Value:     rapid.StringN(0, 200, 5000).Draw(t, "value"),
				Sensitive: rapid.Bool().Draw(t, "sensitive"),
			}
			fields = append(fields, f)
		}
		want = append(want, fields...)
		dst := []byte("before")
		dst = AppendFields(dst, status, fields)
		block, ok := strings.CutPrefix(string(dst), "before")
		if !ok {
			t.Fatal("what was there is gone")
		}
		got, err := decoder.DecodeFull([]byte(block))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// TestStaticNames compares our table of names with hpack's, which it does not export.
func TestStaticNames(t *testing.T) {
	decoder := hpack.NewDecoder(0, nil)
	for i := 15; i <= 61; i++ {
		f, err := decoder.DecodeFull([]byte{0x80 | byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		if got := staticNames[f[0].Name]; got != i {
			t.Errorf("%s has index %d; want %d", f[0].Name, got, i)
		}
	}
	if len(staticNames) != 61-14 {
		t.Errorf("%d names", len(staticNames))
	}
}

func TestFieldsAreSmall(t *testing.T) {
	fields := []hpack.HeaderField{
		{Name: "content-type", Value: "text/event-stream"},
		{Name: "cache-control", Value: "no-store, no-transform"},
		{Name: "x-accel-buffering", Value: "no"},
		{Name: "vary", Value: "accept-encoding"},
	}
	if n := len(AppendFields(nil, 200, fields)); n > 70 {
		t.Errorf("a subscriber's header block takes %d octets", n)
	}
	dst := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() { AppendFields(dst, 200, fields) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
