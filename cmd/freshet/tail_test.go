package main

import (
	"bufio"
	"bytes"
	"errors"
	"testing"

	"freshet/origin/sse"
)

func TestEventPrinter(t *testing.T) {
	events := []sse.Event{
		{Type: sse.TypeOpen, ID: "1-0"},
		{ID: "1-1", Data: []byte("one")},
		{ID: "1-2", Type: "goal", Key: "k", Data: []byte("two\nlines <b>")},
		{Type: sse.TypeGap, ID: "1-5", Data: []byte("{}")},
		{ID: "1-6"},
		{ID: "1-7"},
	}
	for _, c := range []struct {
		json bool
		want string
	}{
		{false, "1-1\tmessage\tone\n1-2\tgoal\ttwo\n\t\tlines <b>\n1-6\tmessage\t\n"},
		{true, `{"id":"1-1","event":"message","data":"one"}
{"id":"1-2","event":"goal","key":"k","data":"two\nlines <b>"}
{"id":"1-6","event":"message","data":""}
`},
	} {
		var out bytes.Buffer
		p := &eventPrinter{out: bufio.NewWriter(&out), json: c.json, left: 3}
		var err error
		for i, e := range events {
			if err = p.print(e); err != nil {
				if i != 4 {
					t.Errorf("ended with event %d: %v", i, err)
				}
				break
			}
		}
		if !errors.Is(err, errEnough) {
			t.Errorf("three events were asked for, and it ended with %v", err)
		}
		if out.String() != c.want {
			t.Errorf("json %v: %q, want %q", c.json, out.String(), c.want)
		}
	}
}

func TestGapText(t *testing.T) {
	for data, want := range map[string]string{
		`{"topic":"a","last_event_id":"1-2","oldest_id":"1-9","reason":"evicted"}`: "gap (evicted): events are missing after 1-2, going on from 1-9",
		`{"topic":"a","reason":"origin"}`:                                          "gap (origin): events are missing",
		`nonsense`:                                                                 "gap: events are missing here",
	} {
		if got := gapText([]byte(data)); got != want {
			t.Errorf("%s: %q, want %q", data, got, want)
		}
	}
}
