package agree

// Span says that an epoch begins at a sequence. It may be empty: an owner that changed its standby and appended nothing.
type Span struct{ Epoch, First uint64 }

// Lineage is where each epoch begins in one log, oldest first.
type Lineage []Span

// maxSpans bounds a lineage; what is older is forgotten, and ids from there become unknown. An hour of a standby that
// flaps every thirty seconds fits.
const maxSpans = 128

// find is the index of the epoch's span, or -1.
func (l Lineage) find(epoch uint64) int {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].Epoch == epoch {
			return i
		}
	}
	return -1
}

// last is the last sequence of span i in a log whose newest entry is head; First-1 if the span is empty.
func (l Lineage) last(i int, head uint64) uint64 {
	if i+1 < len(l) {
		return l[i+1].First - 1
	}
	return max(head, l[i].First-1)
}

// has says whether p is the place of an entry of a log with this lineage and head.
func (l Lineage) has(p Position, head uint64) bool {
	i := l.find(p.Epoch)
	return i >= 0 && p.Seq >= l[i].First && p.Seq <= l.last(i, head)
}

// at is the epoch of the entry with this sequence. Of spans that begin at one place the last holds the entry.
func (l Lineage) at(seq uint64) uint64 {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].First <= seq {
			return l[i].Epoch
		}
	}
	if len(l) > 0 {
		return l[0].Epoch // before the first entry: "just before" the oldest epoch
	}
	return 0
}

// newest is the epoch that the log is in.
func (l Lineage) newest() uint64 {
	if len(l) == 0 {
		return 0
	}
	return l[len(l)-1].Epoch
}

// upTo is the lineage of the log cut after seq. Epochs that begin right after seq stay: the log had entered them.
func (l Lineage) upTo(seq uint64) Lineage {
	n := len(l)
	for n > 0 && l[n-1].First > seq+1 {
		n--
	}
	return l[:n:n]
}

// common is the highest sequence up to which two logs agree: an epoch has one appender, so two logs that both know an
// epoch agree as far as both go in it. Zero: they share nothing.
func common(a Lineage, ahead uint64, b Lineage, bhead uint64) (seq uint64, shared bool) {
	for i := range a {
		j := b.find(a[i].Epoch)
		if j < 0 || a[i].First != b[j].First {
			continue
		}
		shared = true
		seq = max(seq, min(a.last(i, ahead), b.last(j, bhead)))
	}
	return seq, shared
}

// Branch is an epoch of a log that did not survive: it began at First, after the position After.
type Branch struct {
	Epoch, First uint64
	After        Position
}

// maxBranches bounds how many lost branches a topic remembers.
const maxBranches = 64

// branches lists the epochs that a log with this lineage has beyond the sequence fork.
func (l Lineage) branches(fork uint64) []Branch {
	var lost []Branch
	for i, s := range l {
		if s.First <= fork {
			continue
		}
		after := Position{Seq: s.First - 1}
		if i > 0 {
			after.Epoch = l[:i].at(after.Seq)
		}
		lost = append(lost, Branch{Epoch: s.Epoch, First: s.First, After: after})
	}
	return lost
}
