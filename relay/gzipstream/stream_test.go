package gzipstream

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"freshet/ringbuf"
)

var words = []string{"price", "189.2", "ACME", "{\"symbol\":", "goal", "\"home\":1", ",", "x", "Northport", "kick-off"}

func drawBody(t *rapid.T) []byte {
	switch rapid.IntRange(0, 19).Draw(t, "kind") {
	case 0:
		return append(rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "noise"), '\n')
	case 1:
		return []byte("data: " + strings.Repeat("long ", rapid.IntRange(1, 40_000).Draw(t, "times")) + "\n")
	}
	return []byte("data: " + strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 30).Draw(t, "words"), " ") + "\n")
}

// A reader is a subscriber as the relay has them: it asks for bytes as its connection takes them. want is what
// a subscriber without compression gets from the same places of the log.
type reader struct {
	ring   *ringbuf.Ring
	stream Stream
	sum    ringbuf.Sum
	cursor ringbuf.Cursor
	rest   []byte // held, goes first
	sent   int    // of the stored form of the event at cursor
	lapped bool
	torn   bool

	got    bytes.Buffer
	want   bytes.Buffer
	shared int // bytes of got
}

func join(r *ringbuf.Ring, d *ringbuf.Deflater, c ringbuf.Cursor, text string) *reader {
	r.StartDeflated(d, c, nil)
	f := &reader{ring: r, cursor: c}
	f.rest = f.stream.Open(nil, &f.sum, r, c, []byte(text))
	f.want.WriteString(text)
	return f
}

// pull lets the connection take at most max bytes, and reports whether there were any. hold says whether
// there is room for the rest of an event.
func (f *reader) pull(max int, hold bool) bool {
	if f.torn {
		return false
	}
	if len(f.rest) > 0 {
		n := min(len(f.rest), max)
		f.got.Write(f.rest[:n])
		f.rest = f.rest[n:]
		return true
	}
	at, before := f.cursor, f.stream
	if f.sent > 0 {
		p, done, lost := f.stream.Part(f.ring, &f.cursor, f.sent, max)
		if lost > 0 {
			f.torn = true
			return false
		}
		f.got.Write(p)
		if f.sent += len(p); done {
			f.sent = 0
			f.expect(at)
		}
		return true
	}
	p, shared, events, lost := f.stream.Next(f.ring, &f.cursor, max)
	switch {
	case lost > 0:
		f.cursor = f.ring.Last(1)
		f.stream.Lapped()
		f.lapped = true
		f.private("event: freshet.gap\n\n")
	case events == 0:
		return false
	case len(p) > max && hold:
		f.got.Write(p[:max])
		f.rest = bytes.Clone(p[max:])
		f.expect(at)
	case len(p) > max:
		f.stream, f.cursor = before, at
		p, _, _ = f.stream.Part(f.ring, &f.cursor, 0, max)
		f.got.Write(p)
		if f.sent = len(p); f.cursor != at {
			f.sent = 0
			f.expect(at)
		}
	default:
		f.got.Write(p)
		f.expect(at)
		if shared {
			f.shared += len(p)
		}
	}
	return true
}

func (f *reader) private(text string) {
	f.rest = f.stream.Private(f.rest, &f.sum, f.ring, f.cursor, []byte(text))
	f.want.WriteString(text)
}

// expect adds the events from at to the cursor to what is wanted.
func (f *reader) expect(at ringbuf.Cursor) {
	for at.Seq() < f.cursor.Seq() {
		e, _, _ := f.ring.Step(&at)
		f.want.Write(e.Wire)
	}
}

// idle reports whether the reader stands between events.
func (f *reader) idle() bool { return len(f.rest) == 0 && f.sent == 0 }

// check decodes what was sent. ended: a trailer must follow.
func (f *reader) check(ended bool) error {
	// More than one member would be more than one stream.
	z, err := gzip.NewReader(bytes.NewReader(f.got.Bytes()))
	if err != nil {
		return err
	}
	z.Multistream(false)
	got, err := io.ReadAll(z)
	switch {
	case ended && err != nil:
		return fmt.Errorf("at the end: %w", err)
	case !ended && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("after %d bytes: %w", len(got), err)
	case !bytes.Equal(got, f.want.Bytes()):
		return fmt.Errorf("got %d bytes, want %d:\n%.3000q\n%.3000q", len(got), f.want.Len(), got, f.want.Bytes())
	}
	return nil
}

// scenario has readers join, read as their connections let them, stand still, be lapped, get private text, heartbeats
// and an end, while events come and go, and memory is short.
func scenario(t *rapid.T) {
	d, err := ringbuf.NewDeflater(ringbuf.Compression{
		Level:  rapid.SampledFrom([]int{1, 7, 9}).Draw(t, "level"),
		Window: rapid.SampledFrom([]int{512, 2048, 32768}).Draw(t, "window"),
		Memory: 4 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
	r := ringbuf.New(ringbuf.Limits{
		Events: rapid.SampledFrom([]int{0, 5, 100}).Draw(t, "events"), Age: time.Minute}, ringbuf.Position{Epoch: 7})
	var readers []*reader
	pick := func(t *rapid.T) *reader {
		if len(readers) == 0 {
			t.Skip("nobody reads")
		}
		return readers[rapid.IntRange(0, len(readers)-1).Draw(t, "reader")]
	}
	drain := func(f *reader) {
		for f.pull(16<<10, true) {
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) {
			r.Append(ringbuf.Entry{Body: drawBody(t), Commit: now})
		},
		"append many": func(t *rapid.T) {
			var all []ringbuf.Entry
			for range rapid.IntRange(0, 100).Draw(t, "n") {
				all = append(all, ringbuf.Entry{Body: drawBody(t), Commit: now})
			}
			r.AppendAll(all)
		},
		"join": func(t *rapid.T) {
			text := strings.Repeat("event: freshet.open ", rapid.IntRange(0, 200).Draw(t, "open"))
			readers = append(readers, join(r, d, r.Last(rapid.IntRange(0, 100).Draw(t, "last")), text))
		},
		"pull": func(t *rapid.T) {
			f, max := pick(t), rapid.IntRange(1, 20_000).Draw(t, "max")
			hold := rapid.Bool().Draw(t, "hold")
			for range rapid.IntRange(0, 50).Draw(t, "times") {
				if !f.pull(max, hold) {
					break
				}
			}
		},
		"drip": func(t *rapid.T) {
			f, hold := pick(t), rapid.Bool().Draw(t, "hold")
			for range rapid.IntRange(0, 50).Draw(t, "times") {
				f.pull(1, hold)
			}
		},
		"arrive": func(t *rapid.T) {
			f := pick(t)
			drain(f)
			if f.torn {
				return
			}
			if err := f.check(false); err != nil {
				t.Fatal(err)
			}
			if f.cursor != r.Latest() {
				t.Fatalf("the reader is at %v, the head is %v", f.cursor, r.Latest())
			}
		},
		"heartbeat": func(t *rapid.T) {
			if f := pick(t); f.idle() && !f.torn {
				f.got.Write(Heartbeat())
			}
		},
		"private": func(t *rapid.T) {
			if f := pick(t); f.idle() && !f.torn {
				f.private("event: freshet.other\n\n")
			}
		},
		"end": func(t *rapid.T) {
			f := pick(t)
			drain(f)
			if f.torn {
				return
			}
			g := *f // the end of it, without ending it
			g.got = *bytes.NewBuffer(bytes.Clone(f.got.Bytes()))
			g.want = *bytes.NewBuffer(bytes.Clone(f.want.Bytes()))
			g.got.Write(g.stream.End(nil, &g.sum, r, g.cursor, []byte("event: freshet.end\n\n")))
			g.want.WriteString("event: freshet.end\n\n")
			if err := g.check(!f.lapped); err != nil {
				t.Fatal(err)
			}
		},
		"leave": func(t *rapid.T) {
			if n := len(readers); n > 0 {
				readers = readers[:n-1]
				r.StopDeflated()
			}
		},
		"expire": func(t *rapid.T) {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "s")) * time.Second)
			r.Expire(now)
		},
		"trim": func(t *rapid.T) {
			r.Trim(r.Footprint() / rapid.IntRange(1, 3).Draw(t, "share"))
		},
	})
	for _, f := range readers {
		drain(f)
		if f.torn {
			continue
		}
		if err := f.check(false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatGoDecodesIsTheIdentityStream(t *testing.T) { rapid.Check(t, scenario) }

func FuzzStream(f *testing.F) {
	f.Add([]byte("a few bytes to choose by, so that there is something to begin with"))
	f.Add(bytes.Repeat([]byte{3, 1, 4, 1, 5, 9, 2, 6}, 400))
	f.Fuzz(rapid.MakeFuzz(scenario))
}

// TestEventsArriveOneByOne reads through a pipe: each event is decoded before the next is made, in
// step and out of it.
func TestEventsArriveOneByOne(t *testing.T) {
	d, err := ringbuf.NewDeflater(ringbuf.Compression{})
	if err != nil {
		t.Fatal(err)
	}
	r := ringbuf.New(ringbuf.Limits{}, ringbuf.Position{Epoch: 7})
	f := join(r, d, r.Latest(), "retry: 2000\nevent: freshet.open\ndata:\nid: 7-0\n\n")
	in, out := io.Pipe()
	defer in.Close()
	defer out.Close()
	decoded := make(chan []byte)
	go func() {
		defer close(decoded)
		z, err := gzip.NewReader(in)
		if err != nil {
			t.Error(err)
			return
		}
		for {
			b := make([]byte, 4096)
			n, err := z.Read(b)
			if err != nil {
				return
			}
			decoded <- b[:n]
		}
	}()
	send := func() {
		for f.pull(16<<10, true) {
		}
		if _, err := out.Write(f.got.Bytes()); err != nil {
			t.Fatal(err)
		}
		f.got.Reset()
		want := bytes.Clone(f.want.Bytes())
		f.want.Reset()
		for got := []byte(nil); !bytes.Equal(got, want); {
			b, ok := <-decoded
			if got = append(got, b...); !ok || !bytes.HasPrefix(want, got) {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	send()
	for i := range 300 {
		r.Append(ringbuf.Entry{Body: fmt.Appendf(nil, "data: {\"event\":%d}\n", i)})
		send()
		if i%10 == 0 {
			f.got.Write(Heartbeat())
		}
		if i == 200 {
			f.private("event: freshet.gap\ndata: {}\n\n")
		}
	}
	if f.shared == 0 {
		t.Error("nothing was shared")
	}
}

// TestInStepFromTheFirstEvent has somebody wait for a topic to begin: all of its events are shared, because the
// coder knows no more than the reader. So it is counted to the byte.
func TestInStepFromTheFirstEvent(t *testing.T) {
	d, err := ringbuf.NewDeflater(ringbuf.Compression{})
	if err != nil {
		t.Fatal(err)
	}
	r := ringbuf.New(ringbuf.Limits{}, ringbuf.Position{Epoch: 7})
	f := join(r, d, r.Latest(), "event: freshet.open\n\n")
	for f.pull(16<<10, true) {
	}
	f.got.Reset()
	for i := range 100 {
		r.Append(ringbuf.Entry{Body: fmt.Appendf(nil, "data: {\"event\":%d, \"of\":%q}\n", i, strings.Repeat("x", i%7))})
		for f.pull(16<<10, true) {
		}
	}
	if stored := f.got.Len() - f.shared; stored > 0 {
		t.Errorf("%d of %d bytes were not shared", stored, f.got.Len())
	}
}

// A reader that has got more than any window can ask for is in step, for every window.
func TestWindowsFitInWhatIsCounted(t *testing.T) {
	for _, window := range []int{512, 4096, 32767, 32768} {
		d, err := ringbuf.NewDeflater(ringbuf.Compression{Window: window})
		if err != nil {
			t.Fatal(err)
		}
		if d.Window() > mostOwn || d.Window() < window-1 {
			t.Errorf("the window is %d, of %d; a stream counts to %d", d.Window(), window, mostOwn)
		}
	}
	s := Stream{}
	s.lose()
	s.add(1 << 20)
	if s.own() != mostOwn || !s.adrift() {
		t.Errorf("1 MiB of text: %d counted, adrift %v", s.own(), s.adrift())
	}
	s.setOwn(0)
	if s.own() != 0 || !s.adrift() {
		t.Errorf("private text: %d counted, adrift %v", s.own(), s.adrift())
	}
}

func TestStoredFormFromAnyOffset(t *testing.T) {
	for _, n := range []int{0, 1, 100, blockMost - 1, blockMost, blockMost + 1, 3*blockMost + 7} {
		text := bytes.Repeat([]byte("0123456789"), n/10+1)[:n]
		all := appendStored(nil, text, 0, storedLen(n))
		if len(all) != storedLen(n) {
			t.Fatalf("%d bytes of text make %d, not %d", n, len(all), storedLen(n))
		}
		for _, cut := range []int{0, 1, 3, 5, 6, n - 1, n, n + 4, n + 5, n + 7, blockMost + 4, blockMost + 5, blockMost + 9} {
			if cut = min(max(cut, 0), len(all)); !bytes.Equal(appendStored(appendStored(nil, text, 0, cut), text, cut, len(all)), all) {
				t.Errorf("%d bytes of text, cut at %d", n, cut)
			}
		}
	}
}

func TestNothingIsAllocatedInStep(t *testing.T) {
	d, _ := ringbuf.NewDeflater(ringbuf.Compression{})
	r := ringbuf.New(ringbuf.Limits{}, ringbuf.Position{Epoch: 7})
	r.StartDeflated(d, r.Latest(), nil)
	for i := range 1000 {
		r.Append(ringbuf.Entry{Body: fmt.Appendf(nil, "data: {\"event\":%d}\n", i)})
	}
	var s Stream
	var sum ringbuf.Sum
	c := r.Oldest()
	s.Open(nil, &sum, r, c, nil)
	for range 100 {
		s.Next(r, &c, 1000)
	}
	if n := testing.AllocsPerRun(100, func() {
		s, c := s, c
		for {
			if _, _, events, _ := s.Next(r, &c, 1000); events == 0 {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
