package origin

import (
	"strings"
	"testing"
	"testing/synctest"

	"freshet/origin/sse"
)

// What only the log knows is a repeat once in a run: an origin that says the
// same under the same id again and again says something new from then on.
func TestRepeatsOfTheLogAreBelievedOnce(t *testing.T) {
	l := newLedger()
	l.Append(t.Context(), "t", sse.Event{ID: "1", Data: []byte("tick")})
	l.Append(t.Context(), "t", sse.Event{ID: "2", Data: []byte("tock")})
	l.lines = nil
	story(t, func(t *testing.T, o *puppetOrigin, _ *ledger, s *Source) {
		r := o.WantRequest("2").Open() // where the log ends
		r.Event("1", "tick").Event("2", "tock").Event("1", "tick").Event("2", "tock")
		l.Want(t, "t 1 tick", "t 2 tock")
	}, func(s *Source) { s.Sink, s.Log = l, l })
}

// An earlier following left events that cannot be resumed from: what came
// meanwhile is lost, and that is said.
func TestFollowAgainWithoutIDs(t *testing.T) {
	l := newLedger()
	followStory(t, func(t *testing.T, o *puppetOrigin, _ *ledger, s *Source) {
		f := follow(t, s, "a", "")
		o.WantRequest("").Open().Send("data: x\n\n")
		synctest.Wait()
		f.Leave()
		l.newest["a"] = "at-1" // the log gave it a position
		s.demand.release("a", "", "at-1")

		f = follow(t, s, "a", "")
		o.WantRequest("").Open().Send("data: y\n\n")
		l.Want(t, "a  x", "a GAP", "a  y")
		f.Leave()
	}, func(s *Source) { s.Sink, s.Log = l, l })
}

// A subscriber comes with an id that a relay made which has restarted since. An
// origin that is no relay cannot know what came after.
func TestFollowFromAPositionOfAnotherRelay(t *testing.T) {
	const position = "15cm57ba4p-2a" // of May 2026
	if !madeByRelay(position) {
		t.Fatal(position, "does not look like a relay's")
	}
	for _, id := range []string{"", "41", "1526919030474-0", "1-1", "mh7c3kq8-5", strings.Repeat("z", 12) + "-1"} {
		if madeByRelay(id) {
			t.Errorf("%s looks like a relay's", id)
		}
	}
	followStory(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		f := follow(t, s, "a", position)
		o.WantRequest(position).Open().Cut()
		o.WantRequest(position).Open().Send("retry: 1000\n:\n\n").Event("1", "x").Event("2", "y")
		l.Want(t, "a GAP", "a 1 x", "a 2 y")
		f.Leave()

		f = follow(t, s, "b", position) // the origin is a relay, and knows it
		o.WantRequest(position).Open().Send("event: freshet.open\ndata:\nid: "+position+"\n\n").Event("1", "x")
		l.Want(t, "b 1 x")
		f.Leave()

		f = follow(t, s, "c", position) // the origin is a relay, and does not
		o.WantRequest(position).Open().Send("event: freshet.open\ndata:\nid: "+position+"\n\n").
			Send("event: freshet.gap\ndata: {}\nid: 15cm57ba4p-9\n\n").Event("1", "x")
		l.Want(t, "c GAP", "c 1 x")
		f.Leave()
	})
}
