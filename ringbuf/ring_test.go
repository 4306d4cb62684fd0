package ringbuf

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// add appends n events without an id of the origin's, a millisecond apart.
func add(r *Ring, n int) {
	for range n {
		seq := r.Head().Seq + 1
		r.Append(Entry{Body: fmt.Appendf(nil, "data: %d\n", seq), Commit: start.Add(time.Duration(seq) * time.Millisecond)})
	}
}

// text returns all that is kept, as a subscriber gets it.
func text(r *Ring) string {
	var b strings.Builder
	c := r.Oldest()
	for {
		run, n, _ := r.Next(&c, 1<<20)
		if n == 0 {
			return b.String()
		}
		b.Write(run)
	}
}

func TestAppendWritesTheEventAndItsID(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 36 * 36})
	body := []byte("event: goal\ndata: 1:0\n")
	if at := r.Append(Entry{Body: body, ID: "goal-7", Commit: start}); at != (Position{1296, 1}) {
		t.Errorf("appended at %v", at)
	}
	copy(body, "overwritten by the caller")
	r.Append(Entry{Body: []byte("data: x\n")})
	want := "event: goal\ndata: 1:0\nid: goal-7\n\ndata: x\nid: 100-2\n\n"
	if got := text(r); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	e, ok := r.Lookup("goal-7")
	want2 := Event{
		At: Position{1296, 1}, Commit: start, OwnID: true, ID: []byte("goal-7"),
		Body: []byte("event: goal\ndata: 1:0\n"), Wire: []byte("event: goal\ndata: 1:0\nid: goal-7\n\n"),
	}
	if diff := cmp.Diff(want2, e); !ok || diff != "" {
		t.Error(diff)
	}
}

func TestIDsThatAreNotTheOrigins(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		id   string
		used bool
	}{
		{"", false},
		{"a", true},
		{"once", false}, // in the ring already
		{"a\tb", false},
		{"a\nb", false},
		{"a\x00", false},
		{" a", false},
		{"a ", false},
		{"a b", true},
		{"Zürich", true},
		{"Z\xfcrich", false},
		{long, true},
		{long + "x", false},
		{"z-1", false}, // this ring's positions: of the past,
		{"z-0", false},
		{"z-zzz", false}, // of the future,
		{"y-1", false},   // of an older epoch
		{"x-1", true},    // of no epoch of its own
		{"Z-1", true},    // no position at all
	} {
		r := New(Limits{}, Position{Epoch: 34})
		r.Append(Entry{Body: []byte("data: 1\n"), ID: "once"})
		r.Begin(35)
		at := r.Append(Entry{Body: []byte("data: 2\n"), ID: c.id})
		want := "z-2"
		if c.used {
			want = c.id
		}
		if got := r.ID(at); got != want {
			t.Errorf("id %q becomes %q, want %q", c.id, got, want)
		}
		e, ok := r.Lookup(want)
		if !ok || string(e.ID) != want || e.OwnID != c.used {
			t.Errorf("id %q: looked up as %+v, %v", c.id, e, ok)
		}
	}
}

func TestAnIDNamesTheLatestEvent(t *testing.T) {
	r := New(Limits{Events: 3}, Position{Epoch: 1})
	append := func(id string, settled bool) string {
		return r.ID(r.Append(Entry{Body: []byte("data: x\n"), ID: id, Settled: settled}))
	}
	if got := append("a", false); got != "a" {
		t.Errorf("first: %q", got)
	}
	if got := append("a", false); got != "1-2" {
		t.Errorf("repeated: %q", got)
	}
	if got := append("a", true); got != "a" {
		t.Errorf("settled: %q", got)
	}
	if c, found := r.Find("a"); found != Known || c.Seq() != 3 {
		t.Errorf("found after %d, %v", c.Seq(), found)
	}
	add(r, 3)
	if got := append("a", false); got != "a" {
		t.Errorf("after its eviction: %q", got)
	}
	if c, found := r.Find("a"); found != Known || c.Seq() != 7 {
		t.Errorf("found after %d, %v", c.Seq(), found)
	}
}

// An id that other events supersede again and again must take one slot, whatever
// becomes of the table.
func TestManySettledRepeats(t *testing.T) {
	r := New(Limits{Events: 1000}, Position{Epoch: 1})
	for i := range uint64(5000) {
		id := fmt.Sprint("often", i%7)
		if i%3 == 0 {
			id = fmt.Sprint("once", i)
		}
		at := r.Append(Entry{Body: []byte("data: x\n"), ID: id, Settled: true})
		if c, found := r.Find(id); found != Known || c.Seq() != at.Seq {
			t.Fatalf("%q found after %d, %v; want %d", id, c.Seq(), found, at.Seq)
		}
	}
}

func TestCommitTimesNeverRunBackwards(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	for _, at := range []time.Time{
		{}, start, start.Add(-time.Hour), start.Add(time.Second + 999*time.Microsecond),
		start.Add(100 * 24 * time.Hour), // more than 32 bits of milliseconds later
		start.Add(99 * 24 * time.Hour),
	} {
		r.Append(Entry{Body: []byte("data: x\n"), Commit: at})
	}
	var got []time.Time
	for c := r.Oldest(); c != r.Latest(); {
		e, _, _ := r.Step(&c)
		got = append(got, e.Commit.UTC())
	}
	late := start.Add(100 * 24 * time.Hour)
	want := []time.Time{{}, start, start, start.Add(time.Second), late, late}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		since time.Time
		after uint64
	}{{time.Time{}, 0}, {start, 1}, {start.Add(time.Millisecond), 3}, {late, 4}, {late.Add(time.Millisecond), 6}} {
		if got := r.Since(c.since).Seq(); got != c.after {
			t.Errorf("since %v: after %d, want %d", c.since, got, c.after)
		}
	}
}

// A follower that is handed what its parent holds ends up with the same log, whatever
// the parent's ids and epochs.
func TestHandOver(t *testing.T) {
	parent := New(Limits{Events: 200}, Position{Epoch: 7, Seq: 40})
	for i := range 500 {
		if i%90 == 0 {
			parent.Begin(uint64(8 + i))
		}
		e := Entry{Body: fmt.Appendf(nil, "data: %d\n", i), Commit: start.Add(time.Duration(i) * time.Second)}
		if i%3 > 0 {
			e.ID = fmt.Sprint("id", i%170) // evicted and used again
		}
		parent.Append(e)
	}

	c := parent.Oldest()
	follower := New(Limits{Events: 1000}, parent.Before(c))
	var batch []Entry
	for {
		e, _, ok := parent.Step(&c)
		if !ok || e.At.Epoch != follower.Lineage()[len(follower.Lineage())-1].Epoch {
			follower.AppendAll(batch)
			batch = nil
			follower.Begin(e.At.Epoch)
		}
		if !ok {
			break
		}
		batch = append(batch, e.Entry())
	}
	if text(follower) != text(parent) || follower.Head() != parent.Head() {
		t.Fatal("the logs differ")
	}
	for c, d := parent.Oldest(), follower.Oldest(); ; {
		e, _, ok := parent.Step(&c)
		f, _, _ := follower.Step(&d)
		if diff := cmp.Diff(e, f); diff != "" {
			t.Fatal(diff)
		}
		if !ok {
			break
		}
		pc, found := parent.Find(string(e.ID))
		if fc, _ := follower.Find(string(e.ID)); fc != pc || found != Known {
			t.Fatalf("%s is after %d at the parent, after %d at the follower", e.ID, pc.Seq(), fc.Seq())
		}
	}

	// One that takes over a log without events learns the newest id, too.
	id := parent.ID(parent.Head())
	parent.Forget()
	late := New(Limits{}, parent.Head(), parent.Lineage()...)
	late.Recall(id)
	if c, found := late.Find(id); found != Known || c != late.Latest() || late.ID(late.Head()) != id {
		t.Errorf("the newest id is %v", found)
	}
	if diff := cmp.Diff(parent.Lineage(), late.Lineage()); diff != "" {
		t.Error(diff)
	}
}

func TestRecallKnowsItsPlace(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1, Seq: 9})
	for _, bad := range []string{"", "a\nb", "1-9", "1-8"} {
		r.Recall(bad)
		if id := r.ID(r.Head()); id != "1-9" {
			t.Errorf("recalled %q", id)
		}
	}
	add(r, 1)
	r.Recall("late")
	if _, found := r.Find("late"); found != Unknown {
		t.Error("recalled an id for an event that the ring holds")
	}
}

func TestAppendAllOfNothing(t *testing.T) {
	r := New(Limits{}, Position{1, 5})
	wakes := 0
	defer r.Watch(wakeFunc(func() { wakes++ }))()
	if at := r.AppendAll(nil); at != (Position{1, 5}) || wakes != 0 {
		t.Errorf("head %v, %d wakes", at, wakes)
	}
}

func TestSequencesBeyondATablesReach(t *testing.T) {
	// A table counts sequences from its base in 32 bits. Most events have no id of
	// the origin's here, so only the reach of the slots can make it anew.
	for _, settled := range []bool{false, true} {
		r := New(Limits{Events: 10}, Position{Epoch: 1})
		r.Append(Entry{Body: []byte("data: a\n"), ID: "a"})
		r.Append(Entry{Body: []byte("data: b\n"), ID: "b"})
		leap(r, math.MaxUint32-2) // to the last sequences that it can name
		id := "c"
		if settled {
			id = "b"
		}
		at := r.Append(Entry{Body: []byte("data: c\n"), ID: id, Settled: settled})
		if c, found := r.Find(id); found != Known || c.Seq() != at.Seq {
			t.Errorf("settled %v: %q is found after %d, %v; want %d", settled, id, c.Seq(), found, at.Seq)
		}
		if c, found := r.Find("a"); found != Known || c.Seq() != at.Seq-2 {
			t.Errorf("a is found after %d, %v; want %d", c.Seq(), found, at.Seq-2)
		}
	}
}

// leap moves a ring of one segment n sequences on, as if as many events had come and gone.
func leap(r *Ring, n uint64) {
	v := *r.view.Load()
	s := *v.segs[0]
	s.first += n
	v.segs = []*segment{&s}
	table := *v.ids
	fresh := newIDTable(len(table.slots)/2, table.base)
	for i := range table.slots {
		if word := table.slots[i].Load(); word != 0 {
			fresh.put(uint32(word>>32), table.seq(word)+n)
		}
	}
	v.ids = fresh
	r.view.Store(&v)
	r.head.Add(n)
	r.oldest.Add(n)
}

func TestTooLargeABodyChangesNothing(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	huge := make([]byte, maxBody+1)
	for name, try := range map[string]func(){
		"Append":    func() { r.Append(Entry{Body: huge}) },
		"AppendAll": func() { r.AppendAll([]Entry{{Body: []byte("data: x\n")}, {Body: huge}}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s took %d bytes", name, len(huge))
				}
			}()
			try()
		}()
	}
	add(r, 1)
	if r.Head().Seq != 1 {
		t.Errorf("head %v", r.Head())
	}
}
