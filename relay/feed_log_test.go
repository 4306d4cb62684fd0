package relay

import (
	"testing"
	"time"

	"freshet/origin/sse"
)

func TestFeedLogHolds(t *testing.T) {
	r, err := New(Config{Topics: Topics{Events: 3}})
	if err != nil {
		t.Fatal(err)
	}
	put := func(e sse.Event) string {
		t.Helper()
		id, err := r.Append(t.Context(), "a", e)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := sse.Event{ID: "1", Type: "goal", Key: "k", Data: []byte("x\ny")}
	put(first)
	put(sse.Event{ID: "2"})
	again := put(sse.Event{ID: "1", Data: []byte("another")})
	none := put(sse.Event{Data: []byte("no id")}) // evicts the first: three are kept

	for name, c := range map[string]struct {
		topic string
		event sse.Event
		want  bool
	}{
		"evicted":           {"a", first, false},
		"kept":              {"a", sse.Event{ID: "2"}, true},
		"of a prefix feed":  {"a", sse.Event{ID: "2", Topic: "a"}, true},
		"elsewhere":         {"b", sse.Event{ID: "2"}, false},
		"other data":        {"a", sse.Event{ID: "2", Data: []byte("x")}, false},
		"other type":        {"a", sse.Event{ID: "2", Type: "x"}, false},
		"other key":         {"a", sse.Event{ID: "2", Key: "x"}, false},
		"no id":             {"a", sse.Event{Data: []byte("no id")}, false},
		"a position":        {"a", sse.Event{ID: none, Data: []byte("no id")}, false},
		"a doubled id":      {"a", sse.Event{ID: "1", Data: []byte("another")}, false},
		"its own position":  {"a", sse.Event{ID: again, Data: []byte("another")}, false},
		"what cannot be":    {"a", sse.Event{ID: "2\n"}, false},
		"a name that isn't": {"//", sse.Event{ID: "2"}, false},
	} {
		if got := r.Holds(c.topic, c.event); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if n := r.topics.len(); n != 1 {
		t.Errorf("%d topics: to ask makes none", n)
	}
}

func TestFeedLogNewest(t *testing.T) {
	r, err := New(Config{Topics: Topics{Age: time.Nanosecond}})
	if err != nil {
		t.Fatal(err)
	}
	want := func(id string, given bool) {
		t.Helper()
		if gotID, gotGiven := r.Newest("a"); gotID != id || gotGiven != given {
			t.Errorf("newest is %q, %v; want %q, %v", gotID, gotGiven, id, given)
		}
	}
	want("", false)
	if _, err := r.Append(t.Context(), "a", sse.Event{ID: "7"}); err != nil {
		t.Fatal(err)
	}
	want("7", true)
	r.topics.sweep(time.Now().Add(time.Second)) // too old to be kept
	want("7", true)
	if err := r.Gap(t.Context(), "a", "7", ""); err != nil {
		t.Fatal(err)
	}
	topic := r.topics.peek("a")
	defer r.topics.release(topic)
	want(topic.ring().Head().String(), false)
}
