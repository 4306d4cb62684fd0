package agree

import (
	"testing"
	"time"
)

// feeding is a topic's owner that is alone, and what feeds bring it.
type feeding struct {
	t   *testing.T
	r   *Relay
	now time.Time
	n   uint64
}

func newFeeding(t *testing.T) *feeding {
	f := &feeding{t: t, r: New(Config{Name: "r1"}), now: time.Unix(1_700_000_000, 0)}
	f.r.View(f.now, []Member{{Name: "r1", State: Ready}})
	return f
}

// bring passes an event and wants an outcome.
func (f *feeding) bring(mark FeedMark, id, body string, want Outcome) Result {
	f.t.Helper()
	f.n++
	mark.Name = "f"
	f.r.Publish(f.now, "t", Entry{Key: GivenKey + string(rune('a'+f.n)), ID: id, Body: []byte(body), Feed: mark}, f.n)
	for range 10 {
		for _, d := range f.r.Take().Decisions {
			if a, ok := d.(Answer); ok && a.Ticket == f.n {
				if a.Result.Outcome != want {
					f.t.Errorf("%q %q of pull %d/%d: outcome %d, want %d", id, body, mark.Epoch, mark.Pull, a.Result.Outcome, want)
				}
				return a.Result
			}
		}
		f.now = f.now.Add(100 * time.Millisecond)
		f.r.Tick(f.now)
	}
	f.t.Fatalf("no answer to %q", id)
	return Result{}
}

func TestOriginRepeats(t *testing.T) {
	f := newFeeding(t)
	first := FeedMark{Epoch: 5, Pull: 1}
	f.bring(first, "1", "one", Committed)
	f.bring(first, "2", "two", Committed)
	if res := f.bring(first, "2", "another", Committed); res.ID != "" {
		t.Errorf("an id in use became the id %q of another event", res.ID)
	}
	f.bring(first, "1", "one", Committed) // not after a reconnect: a new event, whatever it is called

	again := FeedMark{Epoch: 5, Pull: 2}
	f.bring(again, "2", "two", Duplicate)
	f.bring(again, "2", "another", Duplicate) // known by its bytes, although the id was not its own
	f.bring(again, "3", "three", Committed)
	f.bring(again, "2", "two", Committed) // the run is broken

	f.bring(first, "4", "four", Stale) // on a connection that has been replaced
	f.bring(FeedMark{Epoch: 5, Pull: 3}, "", "two", Committed)
}

func TestFormerOwnerOfAFeed(t *testing.T) {
	f := newFeeding(t)
	f.bring(FeedMark{Epoch: 5, Pull: 1}, "1", "one", Committed)
	f.bring(FeedMark{Epoch: 5, Pull: 1}, "3", "three", Committed) // it is further on than the one that stays
	f.bring(FeedMark{Epoch: 7, Pull: 1}, "2", "two", Committed)
	f.bring(FeedMark{Epoch: 7, Pull: 1}, "3", "three", Duplicate)
	f.n-- // under the same key, because the answer was lost
	f.bring(FeedMark{Epoch: 7, Pull: 1}, "3", "three", Duplicate)
	f.bring(FeedMark{Epoch: 7, Pull: 1}, "3", "three", Committed) // once
	if res := f.bring(FeedMark{Epoch: 5, Pull: 9}, "4", "four", Stale); res.Epoch != 7 {
		t.Errorf("refused by epoch %d, want 7: its owner could not outdo it", res.Epoch)
	}
}

// A feed's owner that is refused for its epoch draws a later one, and says so.
func TestOutdoAFeed(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := New(Config{Name: "r1"})
	r.View(now, []Member{{Name: "r1", State: Ready}})
	r.Open(now, "f", true)
	charges := func() (list []Charge) {
		for range 10 {
			for _, d := range r.Take().Decisions {
				if c, ok := d.(Charge); ok && c.Topic == "f" {
					list = append(list, c)
				}
			}
			now = now.Add(100 * time.Millisecond)
			r.Tick(now)
		}
		return list
	}
	first := charges()
	if len(first) != 1 || !first[0].Owner {
		t.Fatalf("charged with %+v", first)
	}
	seen := first[0].Epoch + 5<<nonceBits
	r.outdated("f", first[0].Epoch) // its own: nothing to do
	r.outdated("f", seen)
	r.outdated("f", seen)
	r.flush()
	again := charges()
	if len(again) != 2 || again[0].Owner || !again[1].Owner || again[1].Epoch <= seen {
		t.Errorf("charged with %+v after epoch %d was seen", again, seen)
	}
}
