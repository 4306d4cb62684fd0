package agree

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a branch that lost has of its own becomes new entries; what this log has too learns where else it stood.
func TestMerge(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := New(Config{Name: "r1"})
	r.View(now, []Member{{Name: "r1", State: Ready}})
	for i, e := range []Entry{
		{Key: "k1", Body: []byte("one")},
		{Key: "k2", ID: "x", Body: []byte("two")},
		{Key: "\r1", ID: "7", Body: []byte("seven"), Feed: FeedMark{Name: "f", Epoch: 1, Pull: 1}},
	} {
		r.Publish(now, "t", e, uint64(i+1))
	}
	for range 10 {
		now = now.Add(100 * time.Millisecond)
		r.Tick(now)
	}
	topic := r.topics["t"]
	if topic.role != owner || topic.log.visible != 3 {
		t.Fatalf("%v shows %d", topic.role, topic.log.visible)
	}
	at := func(seq uint64) Position { return topic.log.position(seq) }
	other := uint64(99 << nonceBits)
	entry := func(seq uint64, key, id, body string, feed FeedMark) Entry {
		feed.Named = feed.Name != "" && id != ""
		return Entry{Position: pos(other, seq), Key: key, ID: id, Body: []byte(body), Sum: sum(id, []byte(body)), Feed: feed}
	}
	offered := []Entry{
		entry(4, "k1", "", "one", FeedMark{}),                                        // by its key
		entry(5, "k9", "x", "two", FeedMark{}),                                       // by its id and bytes
		entry(6, "k8", "x", "something else", FeedMark{}),                            // the id is taken
		entry(7, "\r2", "7", "seven", FeedMark{Name: "f", Epoch: 3, Pull: 1}),        // pulled on both sides
		entry(8, "\r3", "8", "eight", FeedMark{Name: "f", Epoch: 3, Pull: 1}),        // on the other only
		entry(9, "\r4", "", "without an id", FeedMark{Name: "f", Epoch: 3, Pull: 1}), // not merged
	}
	want := []Adoption{
		{pos(other, 4), at(1)},
		{pos(other, 5), at(2)},
		{pos(other, 6), pos(at(3).Epoch, 4)},
		{pos(other, 7), at(3)},
		{pos(other, 8), pos(at(3).Epoch, 5)},
		{pos(other, 9), Position{}},
	}
	for range 2 { // an offer that comes again adds nothing
		if d := cmp.Diff(want, r.merge(topic, offered, nil)); d != "" {
			t.Error(d)
		}
	}
	if e := topic.log.entry(4); e.ID != "" {
		t.Errorf("another event has the id %q too", e.ID)
	}
	if e := topic.log.entry(5); e.ID != "8" || !e.Feed.Merged {
		t.Errorf("merged as %+v", e)
	}
	if topic.feeds["f"].mark.Epoch != 1 || topic.log.marks["f"].Epoch != 1 {
		t.Error("a pull of the branch that lost counts as the newest")
	}
}
