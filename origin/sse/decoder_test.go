package sse

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// decodeAll feeds the text in the given chunks.
func decodeAll(d *Decoder, chunks ...string) (events []Event) {
	for _, c := range chunks {
		var ev Event
		p := []byte(c)
		d.Feed(p)
		for d.Next(&ev) {
			events = append(events, ev.Clone())
		}
		for i := range p { // the chunk is the caller's again
			p[i] = '#'
		}
	}
	return events
}

func ev(id, typ, data string) Event { return Event{ID: id, Type: typ, Data: []byte(data)} }

var decodings = []struct {
	name   string
	text   string
	want   []Event
	lastID string
}{
	{"nothing", "", nil, ""},
	{"one", "data: a\n\n", []Event{ev("", "", "a")}, ""},
	{"line ends", "data: a\r\rdata: b\r\n\r\ndata: c\n\ndata: d\r\n\rdata: e\n\r\n", []Event{ev("", "", "a"), ev("", "", "b"), ev("", "", "c"), ev("", "", "d"), ev("", "", "e")}, ""},
	{"LF CR is two ends", "data: a\n\rdata: b\n\n", []Event{ev("", "", "a"), ev("", "", "b")}, ""},
	{"lines of data", "data: YHOO\ndata: +2\ndata: 10\n\n", []Event{ev("", "", "YHOO\n+2\n10")}, ""},
	{"empty data", "data\n\ndata\ndata\n\ndata:", []Event{ev("", "", ""), ev("", "", "\n")}, ""},
	{"one space goes", "data:test\n\ndata: test\n\ndata:  test\n\ndata:\ttest\n\n", []Event{ev("", "", "test"), ev("", "", "test"), ev("", "", " test"), ev("", "", "\ttest")}, ""},
	{"first colon", "data:a:b: c\n\n", []Event{ev("", "", "a:b: c")}, ""},
	{"comments", ": hello\n:\ndata: a\n:b\n\n:c\n\n", []Event{ev("", "", "a")}, ""},
	{"names are exact", "Data: a\ndata : b\n data: c\ndata: d\n\n", []Event{ev("", "", "d")}, ""},
	{"type", "event: a\nevent: b\ndata: 1\n\ndata: 2\n\n", []Event{ev("", "b", "1"), ev("", "", "2")}, ""},
	{"type without data is forgotten", "event: a\n\ndata: 1\n\n", []Event{ev("", "", "1")}, ""},
	{"id stays with its block", "id: 1\ndata: a\n\ndata: b\n\n", []Event{ev("1", "", "a"), ev("", "", "b")}, "1"},
	{"id without data counts", "id: 1\n\ndata: b\n\n", []Event{ev("", "", "b")}, "1"},
	{"empty id resets", "id: 1\ndata: a\n\nid\ndata: b\n\n", []Event{ev("1", "", "a"), ev("", "", "b")}, ""},
	{"NUL in id is ignored", "id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n", []Event{ev("1", "", "a"), ev("", "", "b")}, "1"},
	{"NUL in id leaves the block's own", "id: 1\nid: 2\x00\ndata: a\n\n", []Event{ev("1", "", "a")}, "1"},
	{"last id wins", "id: 1\nid: 2\ndata: a\n\n", []Event{ev("2", "", "a")}, "2"},
	{"cut block is dropped with its id", "id: 1\ndata: a\n\nid: 2\ndata: b\n", []Event{ev("1", "", "a")}, "1"},
	{"byte order mark", "\xEF\xBB\xBFdata: a\n\n", []Event{ev("", "", "a")}, ""},
	{"only one mark", "\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\ndata: b\n\n", []Event{ev("", "", "b")}, ""},
	{"half a mark", "\xEF\xBBdata: a\n\ndata: b\n\n", []Event{ev("", "", "b")}, ""},
	{"mark in the middle is text", "data: \xEF\xBB\xBFa\n\n", []Event{ev("", "", "\uFEFFa")}, ""},
	{"extension fields", "topic: a/b\nkey: k\ndata: 1\n\ndata: 2\n\n", []Event{{Topic: "a/b", Key: "k", Data: []byte("1")}, ev("", "", "2")}, ""},
	{"invalid UTF-8", "event: \xff\nid: \xC3\ndata: \xE2\x82|\xF0\x80\x80|\xED\xA0\x80|\xF4\x8F\xBF|\xC0\xAF\n\n",
		[]Event{ev("\uFFFD", "\uFFFD", "\uFFFD|\uFFFD\uFFFD\uFFFD|\uFFFD\uFFFD\uFFFD|\uFFFD|\uFFFD\uFFFD")}, "\uFFFD"},
	{"line end inside a character", "data: \xE2\x82\ndata: \xAC\n\n", []Event{ev("", "", "\uFFFD\n\uFFFD")}, ""},
}

func TestDecode(t *testing.T) {
	for _, c := range decodings {
		t.Run(c.name, func(t *testing.T) {
			for name, chunks := range map[string][]string{"whole": {c.text}, "bytes": strings.Split(c.text, "")} {
				if name == "bytes" { // Split goes by characters
					chunks = nil
					for i := range len(c.text) {
						chunks = append(chunks, c.text[i:i+1], "")
					}
				}
				var d Decoder
				if diff := cmp.Diff(c.want, decodeAll(&d, chunks...)); diff != "" {
					t.Errorf("%s: events (-want +got):\n%s", name, diff)
				}
				if d.LastEventID() != c.lastID || d.Err() != nil {
					t.Errorf("%s: last id %q, want %q; error %v", name, d.LastEventID(), c.lastID, d.Err())
				}
			}
		})
	}
}

func TestRetry(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                            -1,
		"retry: 1500\n":               1500 * time.Millisecond, // no blank line needed
		"retry: 0\n":                  0,
		"retry:\n":                    -1,
		"retry: 15s\n":                -1,
		"retry: -1\n":                 -1,
		"retry:  7\n":                 -1,
		"retry: 1\nretry: x\n":        time.Millisecond,
		"retry: 99999999999999999999": -1,
	} {
		var d Decoder
		decodeAll(&d, text)
		got, ok := d.Retry()
		if want < 0 && ok || want >= 0 && (!ok || got != want) {
			t.Errorf("%q: retry %v, %v; want %v", text, got, ok, want)
		}
	}
	var d Decoder
	decodeAll(&d, "retry: 99999999999999999999\n")
	if got, ok := d.Retry(); !ok || got < 1000*time.Hour {
		t.Errorf("an enormous retry: %v, %v", got, ok)
	}
}

func TestLimits(t *testing.T) {
	long := strings.Repeat("x", 90)
	for _, c := range []struct{ name, text, want string }{
		{"line", "data: " + long + long, "MaxLine"},
		{"line that ends", "data: " + long + long + "\n", "MaxLine"},
		{"comment", ":" + long + long, "MaxLine"},
		{"unknown field", long + long + ":", "MaxLine"},
		{"one line of data", "data: " + long + "12345678901\n", "MaxEvent"},
		{"lines of data", "data: " + long[:50] + "\ndata:" + long[:50] + "\n", "MaxEvent"},
		{"empty lines of data", strings.Repeat("data\n", 102), "MaxEvent"},
		{"id and data", "id: " + long + "\ndata: 12345678901\n", "MaxEvent"},
		{"id", "id: " + long + "12345678901\n", "MaxEvent"},
		{"fits", "id: " + long + "\ndata: 1234567890\n\n", ""},
		{"fits in lines", strings.Repeat("data\n", 101) + "\n" + strings.Repeat("data\n", 101) + "\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, 7, 1000} {
				d := Decoder{MaxEvent: 100, MaxLine: 120}
				var chunks []string
				for rest := c.text; rest != ""; {
					n := min(size, len(rest))
					chunks, rest = append(chunks, rest[:n]), rest[n:]
				}
				events := decodeAll(&d, chunks...)
				var limit *LimitError
				errors.As(d.Err(), &limit)
				switch {
				case c.want == "" && (d.Err() != nil || len(events) == 0):
					t.Errorf("chunks of %d: error %v after %d events", size, d.Err(), len(events))
				case c.want != "" && (limit == nil || limit.Limit != c.want || len(events) > 0):
					t.Errorf("chunks of %d: error %v after %d events, want one that names %s", size, d.Err(), len(events), c.want)
				}
				if cap(d.line)+cap(d.data) > 1000 {
					t.Errorf("keeps %d bytes", cap(d.line)+cap(d.data))
				}
			}
		})
	}
}

// What a large event needed is given back, and an endless line costs no more
// than its limit.
func TestBuffersShrink(t *testing.T) {
	var d Decoder
	decodeAll(&d, "data: "+strings.Repeat("x", 200<<10), "\ndata: y\n\n", "data: small\n\n", ":")
	if keeps := cap(d.line) + cap(d.data); keeps > 2*keepBuffer {
		t.Errorf("keeps %d bytes after a large event", keeps)
	}
}

func TestUnknownFields(t *testing.T) {
	var seen []string
	d := Decoder{Unknown: func(name, value []byte) { seen = append(seen, fmt.Sprintf("%s=%s", name, value)) }}
	decodeAll(&d, "pos: 1-2\nwhat\ndata: x\n\n:comment\n")
	if diff := cmp.Diff([]string{"pos=1-2", "what="}, seen); diff != "" {
		t.Error(diff)
	}
	if d.Comments() != 1 {
		t.Errorf("%d comments", d.Comments())
	}
}

func TestReset(t *testing.T) {
	d := Decoder{MaxEvent: 10}
	decodeAll(&d, "id: 1\ndata: a\n\nid: 2\nevent: x\ndata: far too long for it\n")
	if d.Err() == nil {
		t.Fatal("no error")
	}
	d.Reset(d.LastEventID())
	if got := decodeAll(&d, "\xEF\xBB\xBFdata: b\n\n"); !cmp.Equal(got, []Event{ev("", "", "b")}) || d.LastEventID() != "1" {
		t.Errorf("after Reset: %v, last id %q", got, d.LastEventID())
	}
}

// A caller that stops in the middle of a chunk loses nothing.
func TestFeedBeforeDrained(t *testing.T) {
	var d Decoder
	var e Event
	first := []byte("data: 1\n\ndata: 2\n\nda")
	d.Feed(first)
	if !d.Next(&e) || string(e.Data) != "1" {
		t.Fatal(e)
	}
	d.Feed([]byte("ta: 3\n\n"))
	clear(first)
	var got []string
	for d.Next(&e) {
		got = append(got, string(e.Data))
	}
	if diff := cmp.Diff([]string{"2", "3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPartial(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "data: a\n\n": false, "data: a\n": true, "data: a\n\nd": true, "id: 1\n": true, "event: x\n": true, "\xEF": true, "retry: 1\n": false, ":\n": false,
	} {
		var d Decoder
		if decodeAll(&d, text); d.Partial() != want {
			t.Errorf("%q: partial %v", text, d.Partial())
		}
	}
}

// With SkipLarge a feed with one event too many bytes is not stuck on it.
func TestSkipLarge(t *testing.T) {
	long := strings.Repeat("x", 150)
	for _, c := range []struct {
		name, text  string
		want        string
		lastID      string
		skipped     uint64
		atLastEvent uint64 // skipped when the last event came
	}{
		{"long line", "data: 1\n\nid: 2\ndata: " + long + "\n\ndata: 3\n\n", "1 3", "2", 1, 1},
		{"long line, id after", "data: 1\n\ndata: " + long + "\nid: 2\n\ndata: 3\n\n", "1 3", "2", 1, 1},
		{"long line that CRLF ends", "data: " + long + "\r\n\r\ndata: 3\r\n\r\n", "3", "", 1, 1},
		{"much data", "id: 2\nevent: a\n" + strings.Repeat("data: 0123456789\n", 20) + "key: k\n\ndata: 3\n\n", "3", "2", 1, 1},
		{"long id", "id: 1\ndata: 1\n\ndata: 2\nid: " + long[:105] + "\n\ndata: 3\n\n", "1 3", "1", 1, 1},
		{"long comment", ":" + long + "\ndata: 1\n:" + long + "\n\ndata: 2\n\n", "1 2", "", 0, 0},
		{"at the end", "data: 1\n\ndata: " + long + "\n\n", "1", "", 1, 0},
		{"two", "data: 1\n\ndata: " + long + "\n\ndata: " + long + "\n\ndata: 2\n\n", "1 2", "", 2, 2},
		{"cut inside", "data: 1\n\nid: 4\ndata: " + long, "1", "", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, 7, 1000} {
				d := Decoder{MaxEvent: 100, MaxLine: 120, SkipLarge: true}
				var got []string
				var atLast uint64
				for rest := c.text; rest != ""; {
					n := min(size, len(rest))
					d.Feed([]byte(rest[:n]))
					rest = rest[n:]
					for e := (Event{}); d.Next(&e); {
						got, atLast = append(got, string(e.Data)), d.Skipped()
					}
				}
				if strings.Join(got, " ") != c.want || d.LastEventID() != c.lastID || d.Err() != nil {
					t.Errorf("chunks of %d: events %q, last id %q, error %v", size, got, d.LastEventID(), d.Err())
				}
				if d.Skipped() != c.skipped || atLast != c.atLastEvent {
					t.Errorf("chunks of %d: skipped %d, %d at the last event", size, d.Skipped(), atLast)
				}
				if cap(d.line)+cap(d.data) > 1000 {
					t.Errorf("keeps %d bytes", cap(d.line)+cap(d.data))
				}
			}
		})
	}
}
