package ringbuf

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newDeflater(t testing.TB, c Compression) *Deflater {
	t.Helper()
	d, err := NewDeflater(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// decode inflates a run for one who got exactly known before. A reference to anything else is an error of
// the standard library's decoder.
func decode(run, known []byte) ([]byte, error) {
	const final = "\x01\x00\x00\xff\xff" // an empty stored block, the last
	return io.ReadAll(flate.NewReaderDict(io.MultiReader(bytes.NewReader(run), strings.NewReader(final)), known))
}

// wire returns the text of the events after c up to and with the sequence last.
func wire(t interface{ Fatalf(string, ...any) }, r *Ring, c Cursor, last uint64) []byte {
	var all []byte
	for c.Seq() < last {
		e, lost, ok := r.Step(&c)
		if !ok {
			t.Fatalf("event %d is not kept, %d lost", c.Seq(), lost)
		}
		all = append(all, e.Wire...)
	}
	return all
}

// deflateReader is a reader of the compressed form, as careful as a decoder: known is what it got without a break.
type deflateReader struct {
	at     Cursor
	known  []byte
	shared int
	text   int
}

// read does one NextDeflated and checks it against the text.
func (f *deflateReader) read(t interface{ Fatalf(string, ...any) }, r *Ring, window, most int) (more bool) {
	before := f.at
	run, shared, events, text, lost := r.NextDeflated(&f.at, len(f.known), most)
	if lost > 0 {
		f.known = nil
		return true
	}
	if events == 0 {
		return false
	}
	if len(run) > most && events > 1 {
		t.Fatalf("a run of %d events has %d bytes, more than %d", events, len(run), most)
	}
	got := run
	if shared {
		known := f.known[max(0, len(f.known)-window):]
		var err error
		if got, err = decode(run, known); err != nil {
			t.Fatalf("events %d to %d after %d known bytes: %v", before.Seq()+1, f.at.Seq(), len(known), err)
		}
		f.shared += len(got)
	}
	if want := wire(t, r, before, f.at.Seq()); !bytes.Equal(got, want) {
		t.Fatalf("events %d to %d, shared %v:\n got %q\nwant %q", before.Seq()+1, f.at.Seq(), shared, got, want)
	}
	if text != len(got) && (text != 0 || len(f.known) < window) {
		t.Fatalf("events of %d bytes are said to have %d", len(got), text)
	}
	f.text += len(got)
	f.known = append(f.known, got...)
	return true
}

// words make events that have something to refer to.
var words = []string{"price", "189.2", "ACME", "{\"symbol\":", "goal", "\"home\":1", ",", "x", "Northport", "kick-off"}

func drawBody(t *rapid.T) []byte {
	switch rapid.IntRange(0, 19).Draw(t, "kind") {
	case 0:
		return append(rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "noise"), '\n')
	case 1:
		return []byte("data: " + strings.Repeat("long ", rapid.IntRange(1, 20_000).Draw(t, "times")) + "\n")
	}
	return []byte("data: " + strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 30).Draw(t, "words"), " ") + "\n")
}

// TestDeflatedIsTheText lets readers come and go while events come and go, and decodes everything they
// get with nothing but what they got before.
func TestDeflatedIsTheText(t *testing.T) {
	var shared, text int
	rapid.Check(t, func(t *rapid.T) {
		d, err := NewDeflater(Compression{
			Level:  rapid.IntRange(1, 9).Draw(t, "level"),
			Window: rapid.SampledFrom([]int{512, 1024, 4096, 32768}).Draw(t, "window"),
			Memory: minMemory,
		})
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "poor") {
			d.take(minMemory - int(d.held.Load()) - rapid.IntRange(0, 4096).Draw(t, "rest"))
		}
		limits := Limits{Events: rapid.SampledFrom([]int{0, 3, 50}).Draw(t, "events"), Age: time.Minute}
		// More rings than coders, so that these change hands.
		rings := make([]*Ring, 4)
		for i := range rings {
			rings[i] = New(limits, Position{Epoch: 7})
		}
		readers := make([][]*deflateReader, len(rings))
		now := start
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
				rings[rapid.IntRange(0, len(rings)-1).Draw(t, "ring")].Append(Entry{Body: drawBody(t), Commit: now})
			},
			"append many": func(t *rapid.T) {
				r := rings[rapid.IntRange(0, len(rings)-1).Draw(t, "ring")]
				var all []Entry
				for range rapid.IntRange(0, 60).Draw(t, "n") {
					all = append(all, Entry{Body: drawBody(t), Commit: now})
				}
				r.AppendAll(all)
			},
			"join": func(t *rapid.T) {
				i := rapid.IntRange(0, len(rings)-1).Draw(t, "ring")
				f := &deflateReader{at: rings[i].Last(rapid.IntRange(0, 60).Draw(t, "last"))}
				patience := over()
				if rapid.Bool().Draw(t, "patient") {
					patience = nil
				}
				rings[i].StartDeflated(d, f.at, patience)
				readers[i] = append(readers[i], f)
			},
			"leave": func(t *rapid.T) {
				i := rapid.IntRange(0, len(rings)-1).Draw(t, "ring")
				if n := len(readers[i]); n > 0 {
					readers[i] = readers[i][:n-1]
					rings[i].StopDeflated()
				}
			},
			"read": func(t *rapid.T) {
				i := rapid.IntRange(0, len(rings)-1).Draw(t, "ring")
				most := rapid.IntRange(1, 20_000).Draw(t, "most")
				for _, f := range readers[i] {
					for range rapid.IntRange(0, 30).Draw(t, "times") {
						if !f.read(t, rings[i], d.window, most) {
							break
						}
					}
				}
			},
			"private": func(t *rapid.T) {
				for _, all := range readers {
					for _, f := range all {
						f.known = nil
					}
				}
			},
			"expire": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "s")) * time.Second)
				rings[rapid.IntRange(0, len(rings)-1).Draw(t, "ring")].Expire(now)
			},
			"trim": func(t *rapid.T) {
				r := rings[rapid.IntRange(0, len(rings)-1).Draw(t, "ring")]
				r.Trim(r.Footprint() / rapid.IntRange(1, 3).Draw(t, "share"))
			},
			"": func(t *rapid.T) {
				kept := 0
				for i, r := range rings {
					if p := r.deflated.Load(); p != nil {
						last := uint64(0)
						for _, p := range *p.packs.Load() {
							if p.first <= last || p.n.Load() == 0 {
								t.Fatalf("ring %d: a pack from %d comes after one up to %d", i, p.first, last)
							}
							last = p.beyond() - 1
							if last < r.oldest.Load() && r.deflated.Load().listeners.Load() > 0 {
								t.Fatalf("ring %d: a pack up to %d is kept, events from %d", i, last, r.oldest.Load())
							}
							kept += p.footprint()
						}
					}
				}
				if held := d.held.Load(); held > minMemory {
					t.Fatalf("%d bytes held, more than %d", held, minMemory)
				}
			},
		})
		for i, all := range readers {
			for _, f := range all {
				for f.read(t, rings[i], d.window, 16<<10) {
				}
				if f.at != rings[i].Latest() {
					t.Fatalf("a reader stops at %v, the head is %v", f.at, rings[i].Latest())
				}
				shared += f.shared
				text += f.text
			}
		}
	})
	if shared < text/10 {
		t.Errorf("only %d of %d bytes were shared: the test shows little", shared, text)
	}
}

// TestDeflatedIsMadeOnce has many readers resume from the same place at once.
func TestDeflatedIsMadeOnce(t *testing.T) {
	d := newDeflater(t, Compression{})
	r := New(Limits{}, Position{Epoch: 7})
	for i := range 2000 {
		r.Append(Entry{Body: fmt.Appendf(nil, "data: event %d of a topic that nobody listens to\n", i)})
	}
	if n := d.Stats().Events; n != 0 {
		t.Fatalf("%d events were compressed with nobody listening", n)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			f := &deflateReader{at: r.Last(2000 - i%3)}
			r.StartDeflated(d, f.at, nil)
			defer r.StopDeflated()
			for f.read(t, r, d.window, 16<<10) {
			}
			if f.shared < f.text*9/10 {
				t.Errorf("%d of %d bytes were shared", f.shared, f.text)
			}
		})
	}
	all.Wait()
	if n := d.Stats().Events; n > 2000 {
		t.Errorf("%d events were compressed, of 2000", n)
	}
}

// quietRing returns a ring with n events that nobody has compressed.
func quietRing(n int) *Ring {
	r := New(Limits{}, Position{Epoch: 7})
	for i := range n {
		r.Append(Entry{Body: fmt.Appendf(nil, "data: event %d of a topic that nobody listens to\n", i)})
	}
	return r
}

// over is a patience that has come to its end.
func over() <-chan time.Time {
	c := make(chan time.Time, 1)
	c <- start
	return c
}

// readAll reads to the head, and returns the bytes that were shared.
func readAll(t *testing.T, r *Ring, d *Deflater, from Cursor) (shared int) {
	t.Helper()
	f := &deflateReader{at: from}
	for f.read(t, r, d.window, 16<<10) {
	}
	if f.at != r.Latest() {
		t.Fatalf("stopped at %v", f.at)
	}
	return f.shared
}

// TestWhoHasNoPatienceGetsText joins in the past without time to wait: nothing is compressed for it, and what it
// did not wait for is counted. The next has the time, and each event is compressed once.
func TestWhoHasNoPatienceGetsText(t *testing.T) {
	d := newDeflater(t, Compression{})
	r := quietRing(2000)
	r.StartDeflated(d, r.Oldest(), over())
	if shared := readAll(t, r, d, r.Oldest()); shared > 0 {
		t.Errorf("%d bytes were compressed", shared)
	}
	s := d.Stats()
	if s.Events != 0 || s.Hurried < 1900 || s.Hurried > 2000 {
		t.Errorf("%d events were compressed, %d not waited for", s.Events, s.Hurried)
	}
	r.StartDeflated(d, r.Oldest(), nil)
	if shared := readAll(t, r, d, r.Oldest()); shared == 0 {
		t.Error("nothing was compressed")
	}
	if n := d.Stats(); n.Events != s.Hurried || n.Hurried != s.Hurried {
		t.Errorf("%d events were compressed, of %d that were left", n.Events, s.Hurried)
	}
}

// TestPatienceMayEndAnyTime lets patience end while the past is compressed: what was made stays, what was not is
// counted and left to the next.
func TestPatienceMayEndAnyTime(t *testing.T) {
	for range 5 {
		d := newDeflater(t, Compression{})
		r := quietRing(4096)
		patience := make(chan time.Time, 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.StartDeflated(d, r.Oldest(), patience)
		}()
		for d.Stats().Events == 0 {
			runtime.Gosched()
		}
		patience <- start
		<-done
		made := d.Stats()
		readAll(t, r, d, r.Oldest())
		r.StartDeflated(d, r.Oldest(), nil)
		all := d.Stats()
		if left := all.Events - made.Events; left != made.Hurried {
			t.Errorf("%d events were made, %d not waited for, and then %d made", made.Events, made.Hurried, left)
		}
		readAll(t, r, d, r.Oldest())
	}
}

// TestWhatIsThereIsNotWaitedFor joins where all is compressed, while somebody fills in what went before.
func TestWhatIsThereIsNotWaitedFor(t *testing.T) {
	d := newDeflater(t, Compression{})
	r := quietRing(2000)
	late := r.Last(1000)
	r.StartDeflated(d, late, nil)
	r.deflated.Load().filling <- struct{}{}
	r.StartDeflated(d, late, nil) // would wait for ever
	if shared := readAll(t, r, d, late); shared == 0 {
		t.Error("nothing was shared")
	}
	// And who would need more gives up waiting.
	r.StartDeflated(d, r.Oldest(), over())
	readAll(t, r, d, r.Oldest())
	if d.Stats().Hurried == 0 {
		t.Error("nobody lost patience")
	}
}

// TestAppendersDoNotWaitForFillers takes all places of those who fill in, with the coders they may hold.
func TestAppendersDoNotWaitForFillers(t *testing.T) {
	d := newDeflater(t, Compression{Memory: minMemory})
	var theirs []*coder
	for range cap(d.fillers) {
		theirs = append(theirs, d.borrow(&deflated{}, 1))
	}
	r := New(Limits{}, Position{Epoch: 7})
	r.StartDeflated(d, r.Latest(), nil)
	r.Append(Entry{Body: []byte("data: x\n")}) // would wait for ever
	if n := d.Stats().Events; n != 1 {
		t.Errorf("%d events were compressed", n)
	}
	for _, k := range theirs {
		d.hand(k)
	}
}

// TestDeflatedGoesWithItsListeners sees the memory come back when nobody listens between two looks.
func TestDeflatedGoesWithItsListeners(t *testing.T) {
	d := newDeflater(t, Compression{})
	r := New(Limits{Age: time.Hour}, Position{Epoch: 7})
	held := func() int64 { return d.held.Load() - int64(d.least)*coderSize }
	r.StartDeflated(d, r.Latest(), nil)
	for range 100 {
		r.Append(Entry{Body: []byte("data: x\n"), Commit: start})
	}
	r.StopDeflated()
	r.Expire(start)
	if held() == 0 {
		t.Fatal("a resume right after finds nothing")
	}
	r.StartDeflated(d, r.Latest(), nil)
	r.Expire(start)
	r.StopDeflated()
	r.Expire(start)
	if held() == 0 {
		t.Fatal("who listened between two looks was not seen")
	}
	r.Expire(start)
	if n := held(); n != 0 {
		t.Errorf("%d bytes are held for nobody", n)
	}
	r.Append(Entry{Body: []byte("data: x\n"), Commit: start})
	if n := d.Stats().Events; n != 100 {
		t.Errorf("%d events were compressed, 100 with somebody listening", n)
	}
}

// TestDeflatedWithinMemory fills the budget: events are refused, and said so, and still arrive.
func TestDeflatedWithinMemory(t *testing.T) {
	d := newDeflater(t, Compression{Memory: minMemory})
	noise := bytes.Repeat([]byte("0123456789abcdef"), 3000)
	var rings []*Ring
	for i := range 300 {
		r := New(Limits{}, Position{Epoch: uint64(i)})
		r.StartDeflated(d, r.Latest(), nil)
		for j := range 40 {
			for k := range noise[:1000] {
				noise[k] = byte('a' + (i*j*k+k*k/7)%61)
			}
			r.Append(Entry{Body: append(noise[:1000:1000], '\n')})
		}
		rings = append(rings, r)
	}
	s := d.Stats()
	if s.Refused == 0 || s.Held > minMemory || s.Held < minMemory*9/10 {
		t.Errorf("%+v, with %d bytes to use", s, minMemory)
	}
	for _, r := range rings {
		f := &deflateReader{}
		for f.read(t, r, d.window, 16<<10) {
		}
		if f.at != r.Latest() {
			t.Fatalf("stopped at %v", f.at)
		}
	}
}

// TestDeflatedBesideItsAppender reads while events are appended and evicted.
func TestDeflatedBesideItsAppender(t *testing.T) {
	d := newDeflater(t, Compression{Window: 1024})
	r := New(Limits{Events: 200}, Position{Epoch: 7})
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for {
				f := &deflateReader{at: r.Last(100)}
				r.StartDeflated(d, f.at, nil)
				for range 200 {
					before := f.at
					run, shared, n, _, lost := r.NextDeflated(&f.at, len(f.known), 4096)
					if n == 0 && lost == 0 {
						break
					}
					if lost > 0 {
						f.known = f.known[:0]
						continue
					}
					if shared {
						var err error
						if run, err = decode(run, f.known[max(0, len(f.known)-1024):]); err != nil {
							t.Errorf("after %v: %v", before, err)
							return
						}
					}
					if got := bytes.Count(run, []byte("\n\n")); got != n {
						t.Errorf("%d events after %v are %d", n, before, got)
					}
					if want := fmt.Sprintf("data: event %d \n", before.Seq()+1); !bytes.HasPrefix(run, []byte(want)) {
						t.Errorf("after %v comes %q", before, run)
					}
					f.known = append(f.known, run...)
				}
				r.StopDeflated()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 5000 {
		r.Append(Entry{Body: fmt.Appendf(nil, "data: event %d \ndata: of a topic that many listen to\n", i+1)})
	}
	close(stop)
	all.Wait()
}

func TestDeflaterNamesWhatCannotBe(t *testing.T) {
	for want, c := range map[string]Compression{
		"level":  {Level: 10},
		"window": {Window: 64 << 10},
		"memory": {Memory: 1},
	} {
		if _, err := NewDeflater(c); err == nil || !strings.Contains(err.Error(), "compression "+want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestDeflatedIsReadWithoutAllocating(t *testing.T) {
	d := newDeflater(t, Compression{})
	r := sampleRing(d, 1, 500)
	if n := testing.AllocsPerRun(100, func() {
		for c := r.Last(400); ; {
			if _, _, n, _, _ := r.NextDeflated(&c, d.window, 1000); n == 0 {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestBusyRingKeepsItsCoder appends to one ring between many that are slow: the busy one goes on from what its coder
// remembers.
func TestBusyRingKeepsItsCoder(t *testing.T) {
	d := newDeflater(t, Compression{Memory: minMemory})
	listen := func() *Ring {
		r := New(Limits{}, Position{Epoch: 7})
		r.StartDeflated(d, r.Latest(), nil)
		for range 100 {
			r.Append(Entry{Body: []byte("data: something to remember\n")})
		}
		return r
	}
	busy := listen()
	var slow []*Ring
	for range 20 {
		slow = append(slow, listen())
	}
	first := busy.Head().Seq + 1
	const n = 200
	for i := range n {
		busy.Append(Entry{Body: []byte("data: something to remember\n")})
		slow[i%len(slow)].Append(Entry{Body: []byte("data: something else to remember\n")})
	}
	relearnt := 0
	for seq := first; seq < first+n; seq++ {
		p, _ := busy.deflated.Load().packs.Load().find(seq)
		if need := p.need(int(seq - p.first)); need <= d.primed() {
			relearnt++
		}
	}
	if relearnt > n/10 {
		t.Errorf("the busy ring's coder learnt its text anew for %d of %d events", relearnt, n)
	}
}
