package ringbuf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One writer does all that a writer can do while many readers read, look up and check
// whatever they get: the body of each event says which it is and how long.
func TestOneWriterManyReaders(t *testing.T) {
	for _, limits := range []Limits{
		{Events: 20, Bytes: 4 << 10},
		{Events: 1000, Age: 300 * time.Millisecond},
		{Bytes: 64 << 10},
	} {
		t.Run(fmt.Sprint(limits.Events, limits.Bytes), func(t *testing.T) {
			r := New(limits, Position{Epoch: 1})
			var done atomic.Bool
			var readers sync.WaitGroup
			for i := range 4 {
				readers.Go(func() { (&racer{t: t, r: r, rand: rand.New(rand.NewPCG(1, uint64(i)))}).run(&done) })
			}
			write(r, raceEvents)
			done.Store(true)
			readers.Wait()
			if r.Head().Seq != raceEvents {
				t.Errorf("%d events, want %d", r.Head().Seq, raceEvents)
			}
		})
	}
}

const raceEvents = 40_000

// raceID is the id that the writer gives to event seq: the same again and again for some.
func raceID(seq uint64) string {
	if seq%5 == 0 {
		return fmt.Sprint("again", seq%50)
	}
	return fmt.Sprint("id", seq)
}

func raceEntry(seq uint64) Entry { return raceEntries[seq] }

// raceEntries are made once, so that readers spend their time in the ring.
var raceEntries = func() (all []Entry) {
	for seq := range uint64(raceEvents + 1) {
		all = append(all, Entry{
			Body:    fmt.Appendf(nil, "data: %d %s\n", seq, bytes.Repeat([]byte("-"), int(seq*31%200))),
			ID:      raceID(seq),
			Settled: true,
			Commit:  start.Add(time.Duration(seq) * time.Millisecond),
		})
	}
	return all
}()

func write(r *Ring, events uint64) {
	rand := rand.New(rand.NewPCG(2, 3))
	for seq := uint64(1); seq <= events; {
		switch rand.IntN(40) {
		case 0:
			r.Begin(r.Head().Epoch + 1)
		case 1:
			r.Expire(start.Add(time.Duration(seq+uint64(rand.IntN(400))) * time.Millisecond))
		case 2:
			r.Trim(rand.IntN(8 << 10))
		case 3:
			if rand.IntN(20) == 0 {
				r.Forget()
			}
		case 4, 5:
			var batch []Entry
			for range min(uint64(rand.IntN(10)), events-seq+1) {
				batch = append(batch, raceEntry(seq))
				seq++
			}
			r.AppendAll(batch)
		default:
			r.Append(raceEntry(seq))
			seq++
		}
	}
}

type racer struct {
	t    *testing.T
	r    *Ring
	rand *rand.Rand
}

func (a *racer) run(done *atomic.Bool) {
	c := a.r.Oldest()
	for last := false; ; {
		switch a.rand.IntN(10) {
		case 0:
			a.lookUp(c)
		case 1:
			a.bounds()
		case 2:
			c = a.step(c)
		case 3:
			a.enter()
		default:
			c = a.next(c)
		}
		if a.t.Failed() || last && c == a.r.Latest() {
			return
		}
		last = done.Load()
	}
}

// next reads a run and checks that it goes on where the last one ended.
func (a *racer) next(c Cursor) Cursor {
	before := c
	most := a.rand.IntN(2000)
	run, n, lost := a.r.Next(&c, most)
	if lost > 0 {
		if n != 0 || run != nil || c.Seq() != before.Seq()+lost {
			a.t.Errorf("lapped from %d to %d: %d lost, %d events", before.Seq(), c.Seq(), lost, n)
		}
		return c
	}
	seq := before.Seq()
	for range n {
		seq++
		want := raceEntry(seq)
		rest, ok := bytes.CutPrefix(run, want.Body)
		if !ok {
			a.t.Errorf("event %d begins %.40q", seq, run)
			return c
		}
		run, ok = bytes.CutPrefix(rest, []byte("id: "+raceID(seq)+"\n\n"))
		if !ok {
			a.t.Errorf("event %d ends %.40q", seq, rest)
			return c
		}
	}
	if len(run) > 0 || seq != c.Seq() {
		a.t.Errorf("%d bytes left after %d events up to %d; the cursor is after %d", len(run), n, seq, c.Seq())
	}
	return c
}

func (a *racer) step(c Cursor) Cursor {
	before := c
	e, lost, ok := a.r.Step(&c)
	if ok && (e.At.Seq != before.Seq()+1 || !bytes.Equal(e.Body, raceEntry(e.At.Seq).Body) || string(e.ID) != raceID(e.At.Seq)) {
		a.t.Errorf("after %d comes %v, %q", before.Seq(), e.At, e.Wire)
	}
	if !ok && c.Seq() != before.Seq()+lost {
		a.t.Errorf("lapped from %d to %d: %d lost", before.Seq(), c.Seq(), lost)
	}
	return c
}

// lookUp finds what this reader has just seen. The log may have moved on since, but may not
// have forgotten it unless it was evicted, and events after it, too.
func (a *racer) lookUp(c Cursor) {
	seq := c.Seq()
	if seq == 0 {
		return
	}
	if id := raceID(seq); seq%5 > 0 {
		at, found := a.r.Find(id)
		oldest := a.r.Oldest().Seq()
		switch {
		case found == Known && at.Seq() == seq:
		case (found == Evicted || found == Unknown) && oldest > seq:
		default:
			a.t.Errorf("%q, event %d, is %v, after %d; the oldest kept is after %d", id, seq, found, at.Seq(), oldest)
		}
		if e, ok := a.r.Lookup(id); ok && e.At.Seq != seq || !ok && a.r.Oldest().Seq() < seq {
			a.t.Errorf("%q names event %v, %v", id, e.At, ok)
		}
	} else {
		at, found := a.r.Find(id) // of an event so far or a later one
		if found == Known && (at.Seq() < seq || (at.Seq()-seq)%50 != 0) || found != Known && a.r.Oldest().Seq() <= seq {
			a.t.Errorf("%q, event %d, is %v, after %d", id, seq, found, at.Seq())
		}
	}
	at := a.r.Before(c)
	found, ok := a.r.Find(at.String())
	oldest := a.r.Oldest().Seq()
	if !(ok == Known && found == c || ok != Known && oldest > seq) {
		a.t.Errorf("position %v is %v, after %d", at, ok, found.Seq())
	}
	if id := a.r.ID(at); id != raceID(seq) && id != at.String() || id == at.String() && a.r.Oldest().Seq() < seq {
		a.t.Errorf("the id of %v is %q, want %q", at, id, raceID(seq))
	}
}

// bounds checks that no more is visible than the limits allow.
func (a *racer) bounds() {
	l := a.r.limits
	if n := a.r.Len(); l.Events > 0 && n > l.Events {
		a.t.Errorf("%d events visible, the limit is %d", n, l.Events)
	}
	if n := a.r.Bytes(); l.Bytes > 0 && n > l.Bytes {
		a.t.Errorf("%d bytes visible, the limit is %d", n, l.Bytes)
	}
}

// enter starts new readers at every kind of place.
func (a *racer) enter() {
	head := a.r.Latest().Seq()
	for _, c := range []Cursor{
		a.r.Last(3), a.r.Oldest(), a.r.Since(start.Add(time.Duration(head) * time.Millisecond)), a.r.Latest(), {},
	} {
		a.next(c)
	}
	if at := a.r.Head(); at.Seq < head {
		a.t.Errorf("the head went from %d back to %s", head, strconv.FormatUint(at.Seq, 10))
	}
}
