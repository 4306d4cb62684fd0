package ringbuf

import (
	"fmt"
	"testing"
)

// A lookup that is overtaken by the writer still answers for some moment between its
// beginning and its end. These tests hold what it loaded at its beginning.

func TestALookupIsOvertakenByARepeatedID(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	repeat := func() { r.Append(Entry{Body: []byte("data: x\n"), ID: "a", Settled: true}) }
	repeat()
	add(r, 3)
	head, v := r.head.Load(), r.view.Load()
	repeat()
	if seq, ok := r.lookup(v, head, "a", hashID("a")); !ok || seq != 5 {
		t.Errorf("found %d, %v; want 5", seq, ok)
	}
	r.Forget()
	if seq, ok := r.lookup(v, head, "a", hashID("a")); !ok || seq != 5 {
		t.Errorf("found %d, %v; want 5, though it was dropped since", seq, ok)
	}
}

// While an event with an old one's id is written but not yet visible, the old one is found.
func TestALookupBeforeTheHeadMoves(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	r.Append(Entry{Body: []byte("data: x\n"), ID: "a"})
	r.Append(Entry{Body: []byte("data: x\n"), ID: "b"})
	r.Append(Entry{Body: []byte("data: x\n"), ID: "a", Settled: true})
	r.head.Store(2) // as if the writer stood just before the last store
	for id, want := range map[string]uint64{"a": 1, "b": 2} {
		if c, found := r.Find(id); found != Known || c.Seq() != want {
			t.Errorf("%s is %v, after %d; want after %d", id, found, c.Seq(), want)
		}
	}
	r.head.Store(3)
	if c, found := r.Find("a"); found != Known || c.Seq() != 3 {
		t.Errorf("a is %v, after %d; want after 3", found, c.Seq())
	}
}

func TestALookupInATableThatWasReplaced(t *testing.T) {
	r := New(Limits{Events: 50}, Position{Epoch: 1})
	var ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprint("id", i))
		r.Append(Entry{Body: []byte("data: x\n"), ID: ids[i]})
	}
	head, v := r.head.Load(), r.view.Load()
	for i := range 1000 {
		r.Append(Entry{Body: []byte("data: x\n"), ID: fmt.Sprint("later", i)})
	}
	if r.view.Load().ids == v.ids {
		t.Fatal("the table is still the same")
	}
	for i, id := range ids {
		if seq, ok := r.lookup(v, head, id, hashID(id)); !ok || seq != uint64(i+1) {
			t.Errorf("%s found at %d, %v; want %d", id, seq, ok, i+1)
		}
	}
}
