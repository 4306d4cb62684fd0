package sse

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct {
		event Event
		want  string
	}{
		{ev("", "", ""), "data:\n\n"},
		{ev("7", "goal", "1:0"), "event: goal\ndata: 1:0\nid: 7\n\n"},
		{Event{ID: "7", Type: "goal", Key: "k", Topic: "a/b", Data: []byte("1:0")}, "topic: a/b\nevent: goal\nkey: k\ndata: 1:0\nid: 7\n\n"},
		{ev("", "", " a\n\n b"), "data:  a\ndata:\ndata:  b\n\n"},
		{ev("", "", "a\rb\r\nc\n\rd"), "data: a\ndata: b\ndata: c\ndata:\ndata: d\n\n"},
		{ev("", "", "\n"), "data:\ndata:\n\n"},
		{ev("", "", "a\r"), "data: a\ndata:\n\n"},
		{ev(" spaced ", " x", "a"), "event:  x\ndata: a\nid:  spaced \n\n"},
	} {
		got, err := c.event.Append(nil)
		if diff := cmp.Diff(c.want, string(got)); diff != "" || err != nil {
			t.Errorf("%+v: error %v (-want +got):\n%s", c.event, err, diff)
		}
		body, err := c.event.AppendBody([]byte("before"))
		whole := string(got)
		if c.event.Topic != "" {
			_, whole, _ = strings.Cut(whole, "\n")
		}
		if err != nil || !strings.HasPrefix("before"+whole, string(body)) {
			t.Errorf("%+v: error %v, body %q", c.event, err, body)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		event       Event
		field       string
		unwritable  bool
		unpublished bool
	}{
		{Event{Type: "a\nb"}, "event", true, true},
		{Event{Type: "a\r"}, "event", true, true},
		{Event{Type: "a\x00"}, "event", false, true},
		{Event{Type: "freshet.gap"}, "event", false, true},
		{Event{Type: "freshet."}, "event", false, true},
		{Event{Type: "freshet"}, "", false, false},
		{Event{Key: "\n"}, "key", true, true},
		{Event{Key: "\x00"}, "key", false, true},
		{Event{Topic: "a\nb"}, "topic", true, true},
		{Event{ID: "1\ndata: forged"}, "id", true, true},
		{Event{ID: "1\r"}, "id", true, true},
		{Event{ID: "1\x00"}, "id", true, true},
		{Event{Data: []byte("\x00\r\nid: 1\n\n")}, "", false, false},
	} {
		check := func(what string, err error, refused bool) {
			t.Helper()
			var field *FieldError
			if errors.As(err, &field); refused != (field != nil) || field != nil && field.Field != c.field {
				t.Errorf("%s %+v: error %v, want %v naming %q", what, c.event, err, refused, c.field)
			}
		}
		b, err := c.event.Append([]byte("x"))
		check("Append", err, c.unwritable)
		if err != nil && string(b) != "x" {
			t.Errorf("%+v: a refused event left %q", c.event, b)
		}
		check("Validate", c.event.Validate(), c.unpublished)
	}
}

func TestAppendLines(t *testing.T) {
	for want, got := range map[string][]byte{
		"retry: 1500\n":   AppendRetry(nil, 1500*time.Millisecond),
		"retry: 0\n":      AppendRetry(nil, -time.Second),
		":\n":             AppendComment(nil, ""),
		": a b\n":         AppendComment(nil, "a b"),
		": a\n: data:x\n": AppendComment(nil, "a\ndata:x"),
		"id: 1-2k\n":      AppendID(nil, "1-2k"),
	} {
		if string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Data of carriage returns only must not be searched for line feeds anew at
// each of them.
func TestEncodeIsLinear(t *testing.T) {
	took := func(n int) time.Duration {
		data := []byte(strings.Repeat("\r", n))
		best := time.Hour
		for range 3 {
			start := time.Now()
			if _, err := (Event{Data: data}).Append(nil); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	if small, large := took(16<<10), took(256<<10); large > 100*small { // 16 when linear, 256 when not
		t.Errorf("16 times the data took %.0f times as long", float64(large)/float64(small))
	}
}
