package cluster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"pgregory.net/rapid"

	"freshet/cluster/agree"
)

// TestDeflater: whatever is written, by whatever coder, can be read as soon as it is written.
func TestDeflater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		shared := &coders{}
		d := &deflater{w: &wire, shared: shared}
		r := newInflater(bufio.NewReaderSize(&wire, 16))
		rnd := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
		var past []byte
		for range rapid.IntRange(1, 30).Draw(t, "writes") {
			var text []byte
			n := rapid.SampledFrom([]int{1, 12, minGroup - 1, minGroup, 200, 3000, maxGroup, maxGroup + 1, 3*maxGroup - 5}).Draw(t, "bytes")
			switch rapid.SampledFrom([]string{"again", "noise", "zeros"}).Draw(t, "text") {
			case "again":
				for len(text) < n {
					text = append(text, past[rnd.IntN(len(past)+1):]...)
					text = fmt.Append(text, "tick ", rnd.IntN(1000))
				}
			case "noise":
				for len(text) < n {
					text = binary.BigEndian.AppendUint64(text, rnd.Uint64())
				}
			case "zeros":
				text = make([]byte, n)
			}
			text = text[:n]
			past = append(past, text...)
			past = past[max(0, len(past)-2*maxGroup):]
			switch rapid.SampledFrom([]string{"", "", "idle", "no coder", "coder"}).Draw(t, "coder") {
			case "idle":
				d.rest(d.used.Add(time.Minute))
			case "no coder":
				d.release()
				d.shared = nil
			case "coder":
				d.shared = shared
			}
			if _, err := d.Write(text); err != nil {
				t.Fatal(err)
			}
			if limit := n + n/100 + 16 + 8*(n/maxGroup+1); wire.Len() > limit {
				t.Fatalf("%d bytes became %d", n, wire.Len())
			}
			got := make([]byte, n)
			if _, err := io.ReadFull(r, got); err != nil {
				t.Fatalf("read %d bytes: %v", n, err)
			}
			if !bytes.Equal(got, text) {
				t.Fatal("read other bytes than were written")
			}
			if wire.Len() > 0 || r.in.r.Buffered() > 0 {
				t.Fatal("bytes are left over")
			}
		}
	})
}

// TestPrimed: without a coder of its own, too, a link learns from what it has said.
func TestPrimed(t *testing.T) {
	frames, _ := sampleFrames(2)
	for _, shared := range []*coders{nil, {}} {
		var wire bytes.Buffer
		d := &deflater{w: &wire, shared: shared}
		var sizes []int
		for range 2 {
			wire.Reset()
			if _, err := d.Write(frames[0]); err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, wire.Len())
		}
		if sizes[1]*3 > sizes[0] {
			t.Errorf("with a coder: %v: %d bytes, the same again %d", shared != nil, sizes[0], sizes[1])
		}
	}
}

// TestCoders: more busy links than coders, and then none.
func TestCoders(t *testing.T) {
	shared := &coders{}
	var busy []*deflater
	text := bytes.Repeat([]byte("a quick tick. "), 10)
	for range maxCoders + 10 {
		d := &deflater{w: io.Discard, shared: shared}
		if _, err := d.Write(text); err != nil {
			t.Fatal(err)
		}
		busy = append(busy, d)
	}
	if shared.made != maxCoders || busy[maxCoders].coder != nil {
		t.Errorf("%d links made %d coders", len(busy), shared.made)
	}
	for _, d := range busy {
		d.rest(time.Now())
	}
	if len(shared.free) != 0 {
		t.Errorf("%d coders were taken from links that use them", len(shared.free))
	}
	for _, d := range busy {
		d.rest(time.Now().Add(2 * coderIdle))
	}
	if len(shared.free) != maxCoders {
		t.Errorf("idle links gave back %d of %d coders", len(shared.free), maxCoders)
	}
}

// group is one as a peer may make it.
func group(text, packed int, b []byte) []byte {
	head := binary.AppendUvarint(nil, uint64(text)<<1|1)
	return append(binary.AppendUvarint(head, uint64(packed)), b...)
}

func deflated(t *testing.T, text []byte, end func(*flate.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := end(w); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBombs: what no relay sends ends the link, and costs no more than it weighs.
func TestBombs(t *testing.T) {
	zeros := make([]byte, maxGroup)
	bomb := deflated(t, zeros, (*flate.Writer).Flush)
	tick := deflated(t, []byte("tick"), (*flate.Writer).Flush)
	last := deflated(t, []byte("tick"), (*flate.Writer).Close)
	for what, b := range map[string][]byte{
		"inflates too much":        group(maxGroup, len(bomb), bomb),
		"is larger than a group":   group(maxGroup+1, 60_000, bomb),
		"has less than it says":    group(5, len(tick), tick),
		"ends the stream":          group(4, len(last), last),
		"ends the stream, says on": group(5, len(last), last),
		"is empty":                 group(0, 0, nil),
		"is empty, and plain":      {0},
		"is plain and too large":   binary.AppendUvarint(nil, (maxGroup+1)<<1),
		"is endless":               group(4, 1<<31, tick),
		"goes on after its text":   group(4, len(tick)+9, append(tick, make([]byte, 9)...)),
	} {
		n, err := io.Copy(io.Discard, newInflater(bufio.NewReader(bytes.NewReader(b))))
		if !errors.Is(err, errInflation) || n > 8 {
			t.Errorf("a group that %s: %d bytes, %v", what, n, err)
		}
	}

	// A frame that is announced, and does not come.
	head := binary.BigEndian.AppendUint32(nil, maxFrame)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := frame(bytes.NewReader(head), maxFrame); err == nil {
		t.Error("a frame of four bytes")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 2*trusted {
		t.Errorf("a frame that does not come took %d bytes", n)
	}
	want := make([]byte, 5*trusted+3)
	rand.NewChaCha8([32]byte{}).Read(want)
	if got, err := frame(bytes.NewReader(want), len(want)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a long frame: %v", err)
	}
}

func FuzzInflater(f *testing.F) {
	var wire bytes.Buffer
	d := &deflater{w: &wire, shared: &coders{}}
	for _, text := range []string{"short", string(bytes.Repeat([]byte("long and the same again, "), 100))} {
		if _, err := d.Write([]byte(text)); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(wire.Bytes()))
	}
	f.Add(group(3, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := io.Copy(io.Discard, newInflater(bufio.NewReader(bytes.NewReader(b))))
		if n > int64(len(b))*maxInflation {
			t.Errorf("%d bytes became %d (%v)", len(b), n, err)
		}
	})
}

// TestOldAndNew: a relay that does not compress, as before a rolling upgrade, beside two that do.
func TestOldAndNew(t *testing.T) {
	const topics, n = 12, 40 // enough for every relay to own some
	onNetwork(t, 0, func(t *testing.T, c *testCluster) {
		for _, name := range []string{"r1", "r2", "r3"} {
			c.add(name, func(n *Node) { n.Plain = name == "r2" })
		}
		for _, r := range c.relays {
			r.waitMembers(t, 3)
			for i := range topics {
				r.Open(fmt.Sprint(i))
			}
		}
		for i := range topics * n {
			if err := c.relays[i%3].publish(t.Context(), fmt.Sprint(i%topics), fmt.Sprint("event ", i)); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range c.relays {
			for i := range topics {
				r.wantOnce(t, fmt.Sprint(i), n)
			}
		}
		for _, pair := range [][2]int{{0, 1}, {1, 2}, {0, 2}} {
			a, b := c.relays[pair[0]], c.relays[pair[1]]
			s := a.links.status(b.Name)
			plain := a.Plain || b.Plain
			if s == nil || s.Text == 0 || plain != (s.Sent >= s.Text) {
				t.Errorf("%s to %s: %+v, compressed: want %v", a.Name, b.Name, s, !plain)
			}
		}
	})
}

// sampleFrames are what a link carries of topics whose events are like a ticker's, a tape's and a match's.
func sampleFrames(n int) (frames [][]byte, size int) {
	rnd := rand.New(rand.NewPCG(7, 7))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	for i := range n {
		topic := rnd.IntN(200)
		var body []byte
		switch topic % 7 {
		default:
			bid := 100 + float64(topic) + rnd.NormFloat64()/4
			body = fmt.Appendf(nil, "data: {\"bid\":%.2f,\"ask\":%.2f}\n", bid, bid+0.01*float64(1+rnd.IntN(5)))
		case 4, 5:
			body = fmt.Appendf(nil, "event: trade\ndata: {\"symbol\":\"SYM%d\",\"side\":%q,\"price\":%.2f,\"size\":%d,\"n\":%d}\n",
				topic, pick("buy", "sell"), 189+rnd.NormFloat64()/4, 10*(1+rnd.IntN(40)), 10000+rnd.IntN(90000))
		case 6:
			body = fmt.Appendf(nil, "event: incident\ndata: {\"match\":\"match-%d\",\"minute\":%d,\"second\":%d,\"kind\":%q,\"team\":%q,"+
				"\"player\":%d,\"possession\":%d,\"x\":%.1f,\"y\":%.1f}\n", topic, i/120%90, i%60, pick("shot", "corner", "foul", "throw-in", "offside"),
				pick("Northport", "Ashvale"), 1+rnd.IntN(23), 40+rnd.IntN(20), 105*rnd.Float64(), 68*rnd.Float64())
		}
		e := agree.Entry{Key: fmt.Sprintf("\r3w5e11264sgsf-%x", i), Sum: rnd.Uint64(), Commit: 1_790_000_000_000 + int64(i), Body: body}
		e.Epoch, e.Seq = 1_790_000_000<<16|4711, uint64(i/200+1)
		l := &link{wake: make(chan struct{}, 1)}
		l.send(agree.Entries{Topic: agree.Topic(fmt.Sprint("prices/sym-", topic)), Entries: []agree.Entry{e}, Visible: e.Seq})
		frames = append(frames, l.pending)
		size += len(l.pending)
	}
	return frames, size
}

// BenchmarkLinkDeflate reports what a link's events weigh and cost, by how many are written together: with a coder that
// remembers, and without. The factor is that of the plain frames, of the same run.
func BenchmarkLinkDeflate(b *testing.B) {
	frames, plain := sampleFrames(5000)
	for _, kind := range []string{"coder", "primed"} {
		for _, together := range []int{1, 4, 16, 64} {
			b.Run(fmt.Sprintf("%s/events=%d", kind, together), func(b *testing.B) {
				var groups [][]byte
				for i := 0; i < len(frames); i += together {
					groups = append(groups, bytes.Join(frames[i:min(i+together, len(frames))], nil))
				}
				var wire bytes.Buffer
				shared := &coders{}
				if kind == "primed" {
					shared = nil
				}
				var deflating, inflating time.Duration
				for b.Loop() {
					wire.Reset()
					d := &deflater{w: &wire, shared: shared}
					began := time.Now()
					for _, g := range groups {
						if _, err := d.Write(g); err != nil {
							b.Fatal(err)
						}
					}
					d.release()
					deflating += time.Since(began)
					began = time.Now()
					n, err := io.Copy(io.Discard, newInflater(bufio.NewReaderSize(bytes.NewReader(wire.Bytes()), 32<<10)))
					inflating += time.Since(began)
					if n != int64(plain) || err != io.EOF && err != nil {
						b.Fatal(n, err)
					}
				}
				events := float64(len(frames))
				b.ReportMetric(float64(plain)/events, "plain-B/event")
				b.ReportMetric(float64(wire.Len())/events, "B/event")
				b.ReportMetric(float64(plain)/float64(wire.Len()), "factor")
				b.ReportMetric(float64(deflating.Nanoseconds())/float64(b.N)/events/1e3, "deflate-us/event")
				b.ReportMetric(float64(inflating.Nanoseconds())/float64(b.N)/events/1e3, "inflate-us/event")
			})
		}
	}
}
