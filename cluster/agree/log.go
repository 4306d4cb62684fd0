package agree

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits bound what a topic keeps; zero is no bound. They are the ring's.
type Limits struct {
	Events int
	Bytes  int
	Age    time.Duration
	Keys   int // publish keys remembered beyond their entries
}

// Log is a topic's entries, oldest first and without holes, its lineage, and what is known of branches that were lost.
// It is shown up to visible; what comes after is an owner's or a standby's tail.
type Log struct {
	entries []Entry
	base    uint64 // sequence before entries[0]
	bytes   int    // of entries
	spans   Lineage
	lost    []Branch
	visible uint64

	memos  map[publication]Memo // includes the entries'
	keys   []remembered         // oldest first, for forgetting
	former map[Position]uint64
	ids    map[string]uint64   // origin id -> the newest entry that has it
	marks  map[string]FeedMark // the newest pull of each feed that ever brought an entry

	notes    []Note // learned after the entries they are about, for those who replicate this log
	noteBase int    // notes forgotten from the front

	recalled string // the origin's id of what came before the first entry; empty: not known
}

// Note is an alias or a lost branch that the log learned, or what came before it.
type Note struct {
	Alias    Alias
	Branch   Branch // if Branch.Epoch is not zero
	Recalled string // if not empty
}

// remembered is a memo as it stood in the order of forgetting; its Memo may have been renewed since.
type remembered struct {
	publication
	seq uint64
}

func newLog() *Log {
	return &Log{memos: map[publication]Memo{}, former: map[Position]uint64{}, ids: map[string]uint64{}, marks: map[string]FeedMark{}}
}

// head is the newest sequence, tail included.
func (l *Log) head() uint64 { return l.base + uint64(len(l.entries)) }

// position of a sequence; it need not be kept any more, nor shown.
func (l *Log) position(seq uint64) Position { return Position{Epoch: l.spans.at(seq), Seq: seq} }

// blank says that nothing was ever in this log.
func (l *Log) blank() bool { return len(l.spans) == 0 }

// rank orders logs for a takeover: the later epoch, then the longer.
func (l *Log) rank() Position { return Position{Epoch: l.spans.newest(), Seq: l.head()} }

// has says whether p is the place of an entry that this log holds or held.
func (l *Log) has(p Position) bool {
	return l.spans.has(p, l.head())
}

// entry is nil when seq is not kept.
func (l *Log) entry(seq uint64) *Entry {
	if seq <= l.base || seq > l.head() {
		return nil
	}
	return &l.entries[seq-l.base-1]
}

// after copies the entries from after seq up to and including until.
func (l *Log) after(seq, until uint64) []Entry {
	seq, until = max(seq, l.base), min(until, l.head())
	if seq >= until {
		return nil
	}
	return slices.Clone(l.entries[seq-l.base : until-l.base])
}

// begin opens an epoch after the newest entry.
func (l *Log) begin(epoch uint64) {
	l.spans = append(slices.Clip(l.spans), Span{epoch, l.head() + 1})
	if len(l.spans) <= maxSpans {
		return
	}
	for i := 1; i < len(l.spans)-1; i++ { // an empty one first: no entry is there
		if l.spans[i].First == l.spans[i+1].First {
			l.spans = slices.Delete(slices.Clone(l.spans), i, i+1)
			return
		}
	}
	l.spans = slices.Clone(l.spans[1:])
}

// append takes an entry whose sequence is head+1, opening its epoch if that is new.
func (l *Log) append(e Entry) {
	if e.Seq != l.head()+1 {
		panic("agree: entry out of order")
	}
	if l.spans.at(e.Seq) != e.Epoch {
		l.begin(e.Epoch)
	}
	l.entries = append(l.entries, e)
	l.bytes += e.size()
	m := Memo{Key: e.Key, Number: e.Number, Position: e.Position, ID: e.ID, Sum: e.Sum, At: e.Commit}
	l.remember(m)
	if e.Number > 0 {
		if all := l.memos[publication{Key: e.Key}]; e.Number > all.High {
			m.Number, m.High = 0, e.Number
			l.remember(m)
		}
	}
	if e.ID != "" {
		l.ids[e.ID] = e.Seq
	}
	if e.Feed.Named {
		l.remember(Memo{Key: e.item().Key, Position: e.Position, ID: e.ID, Sum: e.Sum, At: e.Commit})
	}
	if e.Feed.Name != "" && !e.Feed.Merged {
		l.pull(e.Feed)
	}
	for _, p := range e.Former {
		l.former[p] = e.Seq
	}
}

// pull remembers which pull of a feed is the newest.
func (l *Log) pull(m FeedMark) {
	if l.marks[m.Name].before(m) {
		l.marks[m.Name] = FeedMark{Name: m.Name, Epoch: m.Epoch, Pull: m.Pull}
	}
}

func (l *Log) pulls() []FeedMark {
	return slices.SortedFunc(maps.Values(l.marks), func(a, b FeedMark) int { return strings.Compare(a.Name, b.Name) })
}

func (l *Log) remember(m Memo) {
	if m.Key == "" {
		return
	}
	p := m.publication()
	if _, known := l.memos[p]; !known {
		l.keys = append(l.keys, remembered{p, m.Seq})
	}
	l.memos[p] = m
}

// alias notes that the entry at seq also stood elsewhere. It says whether that was news.
func (l *Log) alias(seq uint64, former Position) bool {
	e := l.entry(seq)
	if e == nil || e.Position == former || slices.Contains(e.Former, former) {
		return false
	}
	e.Former = append(slices.Clip(e.Former), former)
	l.former[former] = seq
	l.note(Note{Alias: Alias{former, seq}})
	return true
}

// lose remembers a branch that did not survive.
func (l *Log) lose(b Branch) bool {
	if l.spans.find(b.Epoch) >= 0 || slices.ContainsFunc(l.lost, func(o Branch) bool { return o.Epoch == b.Epoch }) {
		return false
	}
	l.lost = append(slices.Clip(l.lost), b)
	if len(l.lost) > maxBranches {
		l.lost = slices.Clone(l.lost[1:])
	}
	l.note(Note{Branch: b})
	return true
}

func (l *Log) note(n Note) {
	const keep = 1024 // a peer further behind is told everything again
	if l.notes = append(l.notes, n); len(l.notes) > 2*keep {
		l.noteBase += len(l.notes) - keep
		l.notes = slices.Clone(l.notes[len(l.notes)-keep:])
	}
}

// noted is the number of notes so far; notesAfter what was noted since, or everything when that is forgotten.
func (l *Log) noted() int { return l.noteBase + len(l.notes) }

func (l *Log) notesAfter(n int) []Note {
	if n >= l.noteBase {
		return slices.Clone(l.notes[min(n-l.noteBase, len(l.notes)):])
	}
	return l.allNotes(l.head())
}

// allNotes is what a peer must know that has the entries up to seq but perhaps not what was learned since.
func (l *Log) allNotes(seq uint64) []Note {
	var notes []Note
	for _, b := range l.lost {
		notes = append(notes, Note{Branch: b})
	}
	if l.recalled != "" {
		notes = append(notes, Note{Recalled: l.recalled})
	}
	if len(l.former) == 0 {
		return notes
	}
	for i := range l.entries {
		if e := &l.entries[i]; e.Seq <= seq {
			for _, p := range e.Former {
				notes = append(notes, Note{Alias: Alias{p, e.Seq}})
			}
		}
	}
	return notes
}

// apply takes notes of a peer's log. It says whether an entry learned where else it stood.
func (l *Log) apply(notes []Note) (placed bool) {
	for _, n := range notes {
		switch {
		case n.Branch.Epoch != 0:
			l.lose(n.Branch)
		case n.Recalled != "":
			l.recall(n.Recalled)
		default:
			placed = l.alias(n.Alias.Seq, n.Alias.Former) || placed
		}
	}
	return placed
}

// forgotten are the memos of entries that this log no longer holds.
func (l *Log) forgotten() []Memo {
	var old []Memo
	for _, k := range l.keys {
		if m, ok := l.memos[k.publication]; ok && (m.Seq <= l.base || m.High > 0) {
			old = append(old, m)
		}
	}
	return old
}

// trim drops the oldest visible entries over the limits, and old keys. It says how many entries went.
func (l *Log) trim(lim Limits, now time.Time, keyAge time.Duration) (dropped int) {
	for len(l.entries) > 0 && l.base < l.visible {
		e := &l.entries[0]
		if !l.full(lim) && !(lim.Age > 0 && now.Sub(time.UnixMilli(e.Commit)) > lim.Age) {
			break
		}
		l.evict()
		dropped++
	}
	l.forget(lim.Keys, now, keyAge)
	return dropped
}

// full says that there is more than the limits on number and size allow.
func (l *Log) full(lim Limits) bool {
	return lim.Events > 0 && len(l.entries) > lim.Events || lim.Bytes > 0 && l.bytes > lim.Bytes && len(l.entries) > 1
}

// evict drops the oldest entry.
func (l *Log) evict() {
	e := &l.entries[0]
	l.bytes -= e.size()
	if l.ids[e.ID] == e.Seq {
		delete(l.ids, e.ID)
	}
	for _, p := range e.Former {
		delete(l.former, p)
	}
	*e = Entry{}
	l.entries = l.entries[1:]
	l.base++
}

// innerMemos is for how many events behind the oldest kept those are remembered one by one that no publisher asks for
// under a key of their own: counted ones, and those that a relay gave a key. They are for retries between relays, and for a
// branch that is merged late. A publisher that repeats older ones is told by the highest number.
const innerMemos = 16 << 10

// forget drops the memos that are old, or too many, and whose entries are gone.
func (l *Log) forget(most int, now time.Time, keyAge time.Duration) {
	extra := len(l.memos) - len(l.entries)
	for range len(l.keys) {
		k := l.keys[0]
		m, ok := l.memos[k.publication]
		switch {
		case ok && m.Seq != k.seq: // renewed: it is not among the oldest any more
			l.keys = append(l.keys[1:], remembered{k.publication, m.Seq})
			continue
		case ok && (k.Number > 0 || strings.HasPrefix(k.Key, GivenKey)) && m.Seq+innerMemos <= l.base:
		case ok && (m.Seq > l.base || now.Sub(time.UnixMilli(m.At)) < keyAge && (most == 0 || extra <= most)):
			return
		}
		delete(l.memos, k.publication)
		extra--
		l.keys = l.keys[1:]
	}
}

// prefix is a copy of the log up to seq for a peer of that lineage to go on from. What it knows of lost branches is kept.
func (l *Log) prefix(seq uint64, spans Lineage) *Log {
	c := newLog()
	c.spans = slices.Clone(spans.upTo(seq))
	c.base = min(l.base, seq)
	for _, m := range l.forgotten() {
		c.remember(m)
	}
	for _, e := range l.after(c.base, seq) {
		c.append(e)
	}
	c.visible, c.recalled = min(l.visible, seq), l.recalled
	c.lost = slices.DeleteFunc(slices.Clone(l.lost), func(b Branch) bool { return spans.find(b.Epoch) >= 0 })
	return c
}

// restart empties the log so that it goes on after base: the peer no longer has what came before.
func (l *Log) restart(base uint64, spans Lineage) {
	fresh := newLog()
	fresh.base, fresh.visible, fresh.recalled = base, base, l.recalled
	fresh.spans = slices.Clone(spans.upTo(base))
	fresh.lost = l.lost
	for _, k := range l.keys {
		if m, ok := l.memos[k.publication]; ok {
			fresh.remember(m)
		}
	}
	*l = *fresh
}
