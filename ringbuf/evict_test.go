package ringbuf

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

func TestLimitsAreExact(t *testing.T) {
	entry := func(i int) Entry { // 21 bytes as stored
		return Entry{Body: fmt.Appendf(nil, "data: %05d\n", i), ID: fmt.Sprintf("%03d", i), Commit: start.Add(time.Duration(i) * time.Second)}
	}
	for name, c := range map[string]struct {
		limits Limits
		kept   func(appended int) int
	}{
		"none":            {Limits{}, func(n int) int { return n }},
		"events":          {Limits{Events: 7}, func(n int) int { return min(n, 7) }},
		"one event":       {Limits{Events: 1}, func(n int) int { return 1 }},
		"bytes":           {Limits{Bytes: 210}, func(n int) int { return min(n, 10) }},
		"bytes, not even": {Limits{Bytes: 230}, func(n int) int { return min(n, 10) }},
		"too few bytes":   {Limits{Bytes: 5}, func(n int) int { return 1 }},
		"age":             {Limits{Age: 4 * time.Second}, func(n int) int { return min(n, 5) }},
		"age, not even":   {Limits{Age: 5*time.Second - 1}, func(n int) int { return min(n, 5) }},
		"all":             {Limits{Events: 9, Bytes: 10 * 21, Age: 11 * time.Second}, func(n int) int { return min(n, 9) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(c.limits, Position{Epoch: 1})
			for i := 1; i <= 500; i++ {
				r.Append(entry(i))
				want := c.kept(i)
				if r.Len() != want || r.Bytes() != 21*want {
					t.Fatalf("after %d: %d events of %d bytes kept, want %d of %d", i, r.Len(), r.Bytes(), want, 21*want)
				}
			}
		})
	}
}

func TestExpire(t *testing.T) {
	r := New(Limits{Age: time.Minute}, Position{Epoch: 1})
	for i := range 100 {
		r.Append(Entry{Body: []byte("data: x\n"), Commit: start.Add(time.Duration(i) * time.Second)})
	}
	last := start.Add(99 * time.Second)
	for _, c := range []struct {
		now  time.Time
		kept int
	}{
		{last, 61}, {last.Add(-time.Hour), 61}, {last.Add(time.Millisecond), 60}, {last.Add(58 * time.Second), 3},
		{last.Add(time.Minute), 1}, {last.Add(time.Minute + time.Millisecond), 0}, {last.Add(time.Hour), 0},
	} {
		before := r.Footprint()
		freed := r.Expire(c.now)
		if r.Len() != c.kept {
			t.Errorf("%v after the last event %d are kept, want %d", c.now.Sub(last), r.Len(), c.kept)
		}
		if freed != before-r.Footprint() || freed < 0 {
			t.Errorf("says it freed %d, the footprint went from %d to %d", freed, before, r.Footprint())
		}
	}
	if id, want := r.ID(r.Head()), "1-2s"; id != want {
		t.Errorf("newest id %q, want %q", id, want)
	}
	add(r, 1)
	if r.Len() != 1 || r.Head().Seq != 101 {
		t.Errorf("%d events up to %d", r.Len(), r.Head().Seq)
	}
	quiet := New(Limits{}, Position{Epoch: 1})
	add(quiet, 3)
	if quiet.Expire(start.Add(1e6 * time.Hour)); quiet.Len() != 3 {
		t.Error("expired though there is no bound")
	}
}

// Whoever has seen the newest event resumes without a gap, however long ago its memory
// was given back.
func TestTheNewestIDOutlivesItsEvent(t *testing.T) {
	for _, id := range []string{"", "goal"} {
		for name, forget := range map[string]func(r *Ring){
			"Forget": func(r *Ring) { r.Forget() },
			"Expire": func(r *Ring) { r.Expire(start.Add(1000 * time.Hour)) },
			"Trim":   func(r *Ring) { r.Trim(10) },
		} {
			r := New(Limits{Age: time.Hour}, Position{Epoch: 1})
			add(r, 20)
			at := r.Append(Entry{Body: []byte("data: x\n"), ID: id, Commit: start})
			newest := r.ID(at)
			forget(r)
			if r.Len() != 0 || r.Bytes() != 0 {
				t.Fatalf("%s left %d events of %d bytes", name, r.Len(), r.Bytes())
			}
			for _, seen := range []string{newest, at.String()} {
				if c, found := r.Find(seen); found != Known || c != r.Latest() {
					t.Errorf("after %s %q is %v", name, seen, found)
				}
			}
			if r.ID(at) != newest || r.Head() != at {
				t.Errorf("after %s the head is %v, %q; want %v, %q", name, r.Head(), r.ID(at), at, newest)
			}
			if _, found := r.Find("1-k"); found != Evicted {
				t.Errorf("after %s the event before is %v", name, found)
			}
			// With the next event the client gets just that.
			add(r, 1)
			if c, found := r.Find(newest); found != Known || c.Seq() != at.Seq {
				t.Errorf("after %s and an event %q is %v", name, newest, found)
			}
			// Once that one is gone too, it has missed something.
			forget(r)
			if _, found := r.Find(newest); found == Known {
				t.Errorf("after %s, an event and %s %q is %v", name, name, newest, found)
			}
		}
	}
}

func TestTrimGivesTheOldestBackFirst(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	add(r, 20_000)
	full := r.Footprint()
	for part := 9; part >= 0; part-- {
		target := full * part / 10
		r.Trim(target)
		if r.Footprint() > target && r.Len() > 0 {
			t.Errorf("trimmed to %d, want at most %d", r.Footprint(), target)
		}
		// Whole segments go, so up to one more than was asked.
		if r.Footprint() < target-maxSegment-4096 {
			t.Errorf("trimmed to %d, though %d were asked", r.Footprint(), target)
		}
		if r.Head().Seq != 20_000 || r.Len() > 0 && !bytes.Contains([]byte(text(r)), []byte("data: 20000\n")) {
			t.Error("the newest event went first")
		}
	}
	if r.Len() != 0 {
		t.Errorf("%d events left", r.Len())
	}
}

func TestTrimGivesSpareRoomBackBeforeEvents(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	spare := func() int {
		segs := r.view.Load().segs
		if len(segs) < 4 || segs[len(segs)-1].n > 10 {
			return 0 // wait for a fresh segment behind some others
		}
		s := segs[len(segs)-1]
		return len(s.buf) - s.end - indexSize*s.n
	}
	for spare() == 0 {
		add(r, 1)
	}
	want := text(r)
	r.Trim(r.Footprint() - spare()/2)
	if text(r) != want {
		t.Errorf("%d events are kept, want all", r.Len())
	}
}

func TestReadersKeepWhatTheyHold(t *testing.T) {
	r := New(Limits{Events: 10}, Position{Epoch: 1})
	add(r, 10)
	c := r.Oldest()
	run, _, _ := r.Next(&c, 1<<20)
	want := string(run)
	add(r, 10_000)
	r.Forget()
	if string(run) != want {
		t.Error("bytes that a reader holds changed")
	}
}
