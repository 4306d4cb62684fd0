package relay

import (
	"testing"
	"time"

	"freshet/origin/sse"
)

// The relay's own blocks, to the byte.
func TestControlBlocks(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{
			"open", string(appendOpen(nil, 2345*time.Millisecond, "1-2")),
			"retry: 2345\nevent: freshet.open\ndata:\nid: 1-2\n\n",
		},
		{
			"gap", string(appendGap(nil, gap{"a/b", "x\"y", "1-3", gapEvicted}, "1-2")),
			"event: freshet.gap\n" + `data: {"topic":"a/b","last_event_id":"x\"y","oldest_id":"1-3","reason":"evicted"}` + "\nid: 1-2\n\n",
		},
		{
			"end", string(appendEnd(nil, "a/b", "1-2")),
			"event: freshet.end\n" + `data: {"topic":"a/b"}` + "\nid: 1-2\n\n",
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
		events := decode([]byte(c.got))
		if len(events) != 1 || !events[0].Control() || events[0].ID != "1-2" {
			t.Errorf("%s is read as %+v", c.name, events)
		}
	}
	if sse.ReservedPrefix != "freshet." {
		t.Error("the reserved prefix is", sse.ReservedPrefix)
	}
}
