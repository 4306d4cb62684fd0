package ringbuf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A model is what a ring is meant to be: a slice of all events there ever were, of which
// those from kept on are visible.
type model struct {
	limits   Limits
	base     Position // the head it began with
	baseID   string   // recalled
	events   []modelEvent
	kept     int
	epoch    uint64
	branches []Branch
	newest   int64
}

type modelEvent struct {
	at   Position
	id   string
	own  bool
	body string
	ms   int64
}

func (e modelEvent) wire() string { return e.body + "id: " + e.id + "\n\n" }

func (m *model) head() Position {
	if len(m.events) == 0 {
		return m.base
	}
	return m.events[len(m.events)-1].at
}

func (m *model) visible() []modelEvent { return m.events[m.kept:] }

// oldest is the sequence of the oldest event kept, or the next one's.
func (m *model) oldest() uint64 { return m.base.Seq + uint64(m.kept) + 1 }

func (m *model) bytes() int {
	n := 0
	for _, e := range m.visible() {
		n += len(e.wire())
	}
	return n
}

func (m *model) ownsEpochOf(id string) bool {
	p, err := ParsePosition(id)
	return err == nil && slices.ContainsFunc(m.branches, func(b Branch) bool { return b.Epoch == p.Epoch })
}

func (m *model) append(e Entry) {
	ev := modelEvent{
		at:   Position{Epoch: m.epoch, Seq: m.head().Seq + 1},
		body: string(e.Body),
		ms:   max(e.Commit.UnixMilli(), m.newest),
	}
	m.newest = ev.ms
	usable := e.ID != "" && len(e.ID) <= 256 && strings.Trim(e.ID, " ") == e.ID &&
		!strings.ContainsAny(e.ID, "\x00\t\n\r\x7f") && !m.ownsEpochOf(e.ID)
	repeated := slices.ContainsFunc(m.visible(), func(old modelEvent) bool { return old.id == e.ID })
	if usable && (e.Settled || !repeated) {
		ev.id, ev.own = e.ID, true
	} else {
		ev.id = ev.at.String()
	}
	m.events = append(m.events, ev)
	for m.limits.Events > 0 && len(m.visible()) > m.limits.Events ||
		m.limits.Bytes > 0 && m.bytes() > m.limits.Bytes && len(m.visible()) > 1 {
		m.kept++
	}
	m.expire(ev.ms)
}

func (m *model) expire(ms int64) {
	for m.limits.Age > 0 && m.kept < len(m.events) &&
		ms-m.events[m.kept].ms > m.limits.Age.Milliseconds() {
		m.kept++
	}
}

func (m *model) begin(epoch uint64) {
	m.epoch = epoch
	if last := m.branches[len(m.branches)-1]; len(m.branches) > 1 && last.First > m.head().Seq {
		m.branches = m.branches[:len(m.branches)-1]
	}
	m.branches = append(m.branches, Branch{Epoch: epoch, First: m.head().Seq + 1})
}

// find says what Find must: the sequence after which the client goes on, and what may
// be said.
func (m *model) find(id string) (after uint64, may []Found) {
	oldest := m.oldest() - 1
	resume := func(seq uint64, else_ ...Found) (uint64, []Found) {
		if seq >= oldest {
			return seq, []Found{Known}
		}
		return oldest, else_
	}
	p, err := ParsePosition(id)
	if m.ownsEpochOf(id) {
		newest := p.Epoch == m.epoch
		switch {
		case newest && p.Seq > m.head().Seq:
			return m.head().Seq, []Found{Ahead}
		case p == m.base:
			return resume(p.Seq, Evicted)
		case p.Seq <= m.base.Seq && p.Epoch == m.base.Epoch:
			return oldest, []Found{Evicted} // it is all one epoch, as far as the ring was told
		}
		for _, e := range m.events {
			if e.at == p {
				return resume(p.Seq, Evicted)
			}
		}
		return oldest, []Found{Unknown}
	}
	for _, e := range slices.Backward(m.events) {
		if e.own && e.id == id {
			return resume(e.at.Seq, Evicted, Unknown) // depends on what is still in memory
		}
	}
	if id != "" && id == m.baseID {
		return resume(m.base.Seq, Evicted, Unknown)
	}
	if err == nil && p.Epoch > m.epoch && p.Seq > m.head().Seq {
		return m.head().Seq, []Found{Ahead}
	}
	return oldest, []Found{Unknown}
}

// start is the first commit time that tests use.
var start = time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)

// someIDs come back often, so that they repeat; some no client could send back.
var someIDs = []string{
	"", "a", "b", "goal-1", "goal-2", "42", "a b", "é", strings.Repeat("x", 256),
	" a", "a ", "a\nb", "a\x00", strings.Repeat("x", 257), "\x7f", "\xff",
}

func drawEntry(t *rapid.T, now *time.Time, serial *int, m *model) Entry {
	*serial++
	var id string
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		id = rapid.SampledFrom(someIDs).Draw(t, "id")
	case 1:
		id = fmt.Sprint("n", *serial)
	case 2: // a position, often of this log
		id = Position{
			Epoch: m.epoch - rapid.Uint64Range(0, 3).Draw(t, "back"),
			Seq:   m.head().Seq + 3 - rapid.Uint64Range(0, min(9, m.head().Seq)).Draw(t, "seq"),
		}.String()
	}
	if id == "\xff" {
		id = "" // the model does not know UTF-8
	}
	*now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Second), int64(4*time.Second)).Draw(t, "later")))
	size := rapid.OneOf(rapid.IntRange(0, 60), rapid.IntRange(0, 300), rapid.IntRange(0, 3000)).Draw(t, "size")
	return Entry{
		Body:    []byte("data: " + fmt.Sprint(*serial) + strings.Repeat("-", size) + "\n"),
		ID:      id,
		Settled: rapid.IntRange(0, 3).Draw(t, "settled") == 0,
		Commit:  *now,
	}
}

// TestModel compares a ring with the model after every step of a random history.
func TestModel(t *testing.T) { rapid.Check(t, checkModel) }

func FuzzModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkModel)) }

func checkModel(t *rapid.T) {
	limits := Limits{
		Events: rapid.SampledFrom([]int{0, 1, 2, 7, 50}).Draw(t, "events"),
		Bytes:  rapid.SampledFrom([]int{0, 1, 300, 5000, 40000}).Draw(t, "bytes"),
		Age:    rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(t, "age"),
	}
	base := Position{
		Epoch: rapid.Uint64Range(4, 1<<50).Draw(t, "epoch"),
		Seq:   rapid.SampledFrom([]uint64{0, 1, 35, 1 << 33}).Draw(t, "seq"),
	}
	m := &model{limits: limits, base: base, epoch: base.Epoch, branches: []Branch{{base.Epoch, 1}}, newest: -1 << 62}
	r := New(limits, base)
	now, serial := start, 0

	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) {
			e := drawEntry(t, &now, &serial, m)
			m.append(e)
			if got := r.Append(e); got != m.head() {
				t.Fatalf("Append returned %v, want %v", got, m.head())
			}
		},
		"append all": func(t *rapid.T) {
			var batch []Entry
			for range rapid.IntRange(0, 30).Draw(t, "n") {
				batch = append(batch, drawEntry(t, &now, &serial, m))
			}
			for _, e := range batch {
				m.append(e)
			}
			if got := r.AppendAll(batch); got != m.head() {
				t.Fatalf("AppendAll returned %v, want %v", got, m.head())
			}
		},
		"begin": func(t *rapid.T) {
			epoch := m.epoch + rapid.Uint64Range(0, 2).Draw(t, "step")
			if r.Begin(epoch) != (epoch > m.epoch) {
				t.Fatalf("Begin(%d) after %d", epoch, m.epoch)
			}
			if epoch > m.epoch {
				m.begin(epoch)
			}
		},
		"expire": func(t *rapid.T) {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*limits.Age)).Draw(t, "later")))
			r.Expire(now)
			m.expire(now.UnixMilli())
		},
		"trim": func(t *rapid.T) {
			target := rapid.IntRange(0, 2*r.Footprint()).Draw(t, "target")
			before := r.Footprint()
			freed := r.Trim(target)
			if r.Footprint() != before-freed {
				t.Fatalf("Trim says it freed %d, the footprint went from %d to %d", freed, before, r.Footprint())
			}
			if r.Footprint() > target && r.Len() > 0 {
				t.Fatalf("trimmed to %d bytes, want at most %d", r.Footprint(), target)
			}
			kept := int(r.Oldest().Seq() - base.Seq)
			if kept < m.kept || kept > len(m.events) || before <= target && kept != m.kept {
				t.Fatalf("Trim(%d) of %d left events from %d on, before from %d", target, before, kept, m.kept)
			}
			m.kept = kept
		},
		"forget": func(t *rapid.T) {
			r.Forget()
			m.kept = len(m.events)
		},
		"recall": func(t *rapid.T) {
			if len(m.events) == 0 {
				r.Recall("recalled")
				m.baseID = "recalled"
			}
		},
		"": func(t *rapid.T) {
			compareState(t, r, m)
			compareReads(t, r, m)
			compareLookups(t, r, m)
			checkStructure(t, r)
		},
	})
}

func compareState(t *rapid.T, r *Ring, m *model) {
	if r.Head() != m.head() {
		t.Fatalf("head %v, want %v", r.Head(), m.head())
	}
	if diff := cmp.Diff(m.branches, r.Lineage()); diff != "" {
		t.Fatalf("lineage (-want +got):\n%s", diff)
	}
	if r.Len() != len(m.visible()) || r.Bytes() != m.bytes() {
		t.Fatalf("%d events of %d bytes kept, want %d of %d", r.Len(), r.Bytes(), len(m.visible()), m.bytes())
	}
	if r.Latest().Seq() != m.head().Seq || r.Oldest().Seq() != m.oldest()-1 {
		t.Fatalf("kept after %d up to %d, want %d, %d", r.Oldest().Seq(), r.Latest().Seq(), m.oldest()-1, m.head().Seq)
	}
}

// compareReads reads from a random place to the head, once in runs and once step by step.
func compareReads(t *rapid.T, r *Ring, m *model) {
	back := rapid.Uint64Range(0, min(m.head().Seq, uint64(len(m.events)+3))).Draw(t, "back")
	c := CursorAfter(m.head().Seq - back)
	step := c
	most := rapid.SampledFrom([]int{0, 1, 100, 1000, 1 << 20}).Draw(t, "max")

	if got, want := r.Lag(c), back; got != want {
		t.Fatalf("lag %d, want %d", got, want)
	}
	if c.Seq()+1 < m.oldest() {
		want := m.oldest() - 1 - c.Seq()
		run, n, lost := r.Next(&c, most)
		if run != nil || n != 0 || lost != want || c != r.Oldest() {
			t.Fatalf("lapped: %d bytes, %d events, %d lost, at %d; want %d lost, at %d", len(run), n, lost, c.Seq(), want, r.Oldest().Seq())
		}
		if _, lost, ok := r.Step(&step); ok || lost != want || step != r.Oldest() {
			t.Fatalf("lapped: Step says %d lost, want %d", lost, want)
		}
	}
	for c.Seq() < m.head().Seq {
		rest := m.events[c.Seq()-m.base.Seq:]
		run, n, lost := r.Next(&c, most)
		if lost != 0 || n < 1 || n > len(rest) {
			t.Fatalf("%d events, %d lost; want 1 to %d, 0", n, lost, len(rest))
		}
		var want string
		for _, e := range rest[:n] {
			want += e.wire()
		}
		if string(run) != want || cap(run) != len(run) {
			t.Fatalf("run of %d events (capacity %d):\n%q, want\n%q", n, cap(run), run, want)
		}
		if len(run) > most && n > 1 {
			t.Fatalf("%d events make %d bytes, more than %d", n, len(run), most)
		}
		if n < len(rest) && len(run)+len(rest[n].wire()) <= most && sameSegment(r, c) {
			t.Fatalf("run ends at %d of %d bytes, though the next event of %d fits", len(run), most, len(rest[n].wire()))
		}
	}
	if run, n, lost := r.Next(&c, most); run != nil || n != 0 || lost != 0 {
		t.Fatalf("at the head: %d bytes, %d events, %d lost", len(run), n, lost)
	}
	for step.Seq() < m.head().Seq {
		want := m.events[step.Seq()-m.base.Seq]
		e, lost, ok := r.Step(&step)
		if !ok || lost != 0 {
			t.Fatalf("no event at %d (%d lost)", step.Seq(), lost)
		}
		compareEvent(t, e, want)
	}
	if _, lost, ok := r.Step(&step); ok || lost != 0 {
		t.Fatalf("an event after the head, %d lost", lost)
	}
}

// sameSegment reports whether the events before and after c lie in one segment.
func sameSegment(r *Ring, c Cursor) bool {
	v := r.view.Load()
	return v.find(c.after) == v.find(c.after+1)
}

func compareEvent(t *rapid.T, e Event, want modelEvent) {
	t.Helper()
	got := modelEvent{at: e.At, id: string(e.ID), own: e.OwnID, body: string(e.Body), ms: e.Commit.UnixMilli()}
	if got != want || string(e.Wire) != want.wire() {
		t.Fatalf("event %+v, wire %q, want %+v", got, e.Wire, want)
	}
}

func compareLookups(t *rapid.T, r *Ring, m *model) {
	ids := slices.Clone(someIDs)
	ids = append(ids, "recalled", "never", m.base.String(), m.head().String())
	for _, e := range m.events[max(0, len(m.events)-60):] {
		ids = append(ids, e.id, e.at.String(), Position{e.at.Epoch + 1, e.at.Seq}.String(), Position{e.at.Epoch, e.at.Seq + 1}.String())
	}
	for _, id := range ids {
		after, may := m.find(id)
		c, found := r.Find(id)
		if !slices.Contains(may, found) || c.Seq() != after {
			t.Fatalf("Find(%q) = after %d, %v; want after %d, %v", id, c.Seq(), found, after, may)
		}
	}
	for _, id := range ids {
		var want *modelEvent
		for _, e := range m.visible() {
			if e.own && e.id == id || e.at.String() == id {
				want = &e
			}
		}
		e, ok := r.Lookup(id)
		if ok != (want != nil) {
			t.Fatalf("Lookup(%q) says %v, want %v", id, ok, want)
		}
		if ok {
			compareEvent(t, e, *want)
		}
	}
	for i, e := range m.events[max(0, len(m.events)-60):] {
		i += max(0, len(m.events)-60)
		got, ok := r.At(e.at)
		if ok != (i >= m.kept) {
			t.Fatalf("At(%v) says %v, the oldest kept is %d", e.at, ok, m.oldest())
		}
		if ok {
			compareEvent(t, got, e)
		}
		id := r.ID(e.at)
		if id != e.id && (i >= m.kept || i == len(m.events)-1 || id != e.at.String()) {
			t.Fatalf("ID(%v) = %q, want %q", e.at, id, e.id)
		}
		if at := r.Before(CursorAfter(e.at.Seq)); at != e.at {
			t.Fatalf("Before says %v, want %v", at, e.at)
		}
		if _, ok := r.At(Position{Epoch: e.at.Epoch + 1, Seq: e.at.Seq}); ok {
			t.Fatalf("At finds %v in another epoch", e.at)
		}
	}
	for _, n := range []int{-1, 0, 1, 3, 1000} {
		want := m.head().Seq - uint64(min(max(n, 0), len(m.visible())))
		if got := r.Last(n).Seq(); got != want {
			t.Fatalf("Last(%d) is after %d, want %d", n, got, want)
		}
	}
	for _, ms := range []int64{start.UnixMilli(), m.newest, m.newest + 1, m.newest - 1500} {
		want := m.oldest() - 1
		for _, e := range m.visible() {
			if e.ms < ms {
				want = e.at.Seq
			}
		}
		if got := r.Since(time.UnixMilli(ms).Add(999 * time.Microsecond)).Seq(); got != want {
			t.Fatalf("Since(%d) is after %d, want %d", ms, got, want)
		}
	}
}

// checkStructure checks what the code relies on and no caller sees.
func checkStructure(t *rapid.T, r *Ring) {
	v := r.view.Load()
	head, oldest := r.head.Load(), r.oldest.Load()
	memory := 0
	for i, s := range v.segs {
		memory += s.footprint()
		if s.n == 0 {
			t.Fatalf("segment %d of %d is empty", i, len(v.segs))
		}
		if next := v.stop(i, head); s.first+uint64(s.n) != next {
			t.Fatalf("segment %d ends at %d, the next begins at %d", i, s.first+uint64(s.n), next)
		}
		if s.first+uint64(s.n) <= oldest {
			t.Fatalf("segment %d is evicted altogether but held", i)
		}
	}
	if memory != r.segBytes {
		t.Fatalf("segments hold %d bytes, the ring thinks %d", memory, r.segBytes)
	}
	if len(v.segs) == 0 && v.ids != nil {
		t.Fatal("a table of ids but no events")
	}
	if v.ids != nil {
		used := 0
		seen := make(map[uint64]bool)
		for i := range v.ids.slots {
			word := v.ids.slots[i].Load()
			if word == 0 {
				continue
			}
			used++
			seq := v.ids.seq(word)
			if seq > head || v.holds(seq) && seen[seq] {
				t.Fatalf("slot names event %d twice, or it is after the head %d", seq, head)
			}
			seen[seq] = true
		}
		if used != v.ids.used || 4*used > 3*len(v.ids.slots) {
			t.Fatalf("%d of %d slots used, counted %d", used, len(v.ids.slots), v.ids.used)
		}
	}
	if bytes.Contains([]byte(v.gone.id), []byte("\n")) {
		t.Fatal("an id with a line end")
	}
}
