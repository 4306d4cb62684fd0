package ringbuf

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
)

// A Deflater makes the compressed form of the events of any number of rings: the writers that do it, which
// belong to no ring, and the budget that what they made has to fit in. Make one with NewDeflater.
type Deflater struct {
	// Static after construction.
	level  int
	window int
	memory int64
	least  int // coders there is always memory for
	most   int // coders, if there is memory

	held    atomic.Int64  // memory of what is kept in compressed form, and of the coders
	made    atomic.Uint64 // events compressed
	text    atomic.Uint64 // their bytes before
	bytes   atomic.Uint64 // and after
	refused atomic.Uint64 // events that had no room
	hurried atomic.Uint64 // events that a reader did not wait for

	// fillers has a token for each who fills in what was not compressed when it was appended: fewer than there are
	// coders, so that who appends never waits behind them.
	fillers chan struct{}

	// mu guards the coders that are not at work. It is held for a moment only.
	mu    sync.Mutex
	back  sync.Cond // a coder came back
	count int       // coders there are
	loans uint64
	idle  []*coder // least recently used first
}

// Compression configures a Deflater.
type Compression struct {
	// Level is that of flate, 1 to 9; 0 = 7. Below 7 the coder looks for no matches in
	// events shorter than 128 bytes.
	Level int
	// Window is how far back an event may refer, in bytes of the topic's text, 512 to 32768, of which the last does not
	// count; 0 = 4096.
	// A subscriber who joins gets about as many bytes uncompressed before it shares.
	Window int
	// Memory bounds what is kept in compressed form over all rings, and the coders, in bytes; 0 = 64 MiB. Events
	// past it go out uncompressed.
	Memory int
}

const (
	minWindow = 512
	maxWindow = 32 << 10 // what deflate knows

	// MostWindow is the most that Window returns. It fits in 15 bits, which readers count in.
	MostWindow = maxWindow - 1
	minMemory  = 4 << 20 // a few coders and some room

	// coderSize is about the memory of a coder at level 7; bytes.
	coderSize = 1 << 20
	// coderShare is the part of Memory, one in so many, that coders may take which are kept
	// for the sake of what they remember.
	coderShare = 4
)

// NewDeflater returns a Deflater, or an error that names the field that cannot be.
func NewDeflater(c Compression) (*Deflater, error) {
	if c.Level == 0 {
		c.Level = 7
	}
	if c.Window == 0 {
		c.Window = 4096
	}
	if c.Memory == 0 {
		c.Memory = 64 << 20
	}
	switch {
	case c.Level < 1 || c.Level > 9:
		return nil, fmt.Errorf("ringbuf: compression level is %d, not between 1 and 9", c.Level)
	case c.Window < minWindow || c.Window > maxWindow:
		return nil, fmt.Errorf("ringbuf: compression window is %d bytes, not between %d and %d", c.Window, minWindow, maxWindow)
	case c.Memory < minMemory:
		return nil, fmt.Errorf("ringbuf: compression memory is %d bytes, less than %d", c.Memory, minMemory)
	}
	d := &Deflater{level: c.Level, window: min(c.Window, MostWindow), memory: int64(c.Memory)}
	d.least = min(max(2, runtime.GOMAXPROCS(0)), c.Memory/2/coderSize)
	d.most = max(d.least, c.Memory/coderShare/coderSize)
	d.held.Store(int64(d.least) * coderSize)
	d.back.L = &d.mu
	d.fillers = make(chan struct{}, d.least/2)
	return d, nil
}

// Window returns how far back an event may refer, in bytes of text.
func (d *Deflater) Window() int { return d.window }

// DeflaterStats is what a Deflater has done, and holds.
type DeflaterStats struct {
	Held    int64  // memory, bytes; that of a few coders is always set aside
	Events  uint64 // compressed
	Text    uint64 // bytes of these before
	Bytes   uint64 // and after
	Refused uint64 // events not compressed for want of memory
	Hurried uint64 // events not compressed because a reader had no time to wait
}

// Stats returns what the Deflater has done until now.
func (d *Deflater) Stats() DeflaterStats {
	return DeflaterStats{
		Held:    d.held.Load(),
		Events:  d.made.Load(),
		Text:    d.text.Load(),
		Bytes:   d.bytes.Load(),
		Refused: d.refused.Load(),
		Hurried: d.hurried.Load(),
	}
}

// take asks for n bytes of the budget.
func (d *Deflater) take(n int) bool {
	if d.held.Add(int64(n)) > d.memory {
		d.held.Add(int64(-n))
		return false
	}
	return true
}

func (d *Deflater) give(n int) { d.held.Add(int64(-n)) }

// A coder is a flate writer and what it remembers: consecutive text of one ring, the dictionary
// first. Forgetting and learning anew costs several times what an event does, so a coder that comes to the next
// event of the same ring goes on from where it is, for as long as what it remembers is no longer
// than the window: then no reference can reach further back.
type coder struct {
	writer *flate.Writer
	out    []byte // what the writer wrote for this event
	words  []byte // the dictionary; the writer keeps hold of it

	shared bool // for owners that come too seldom for one of their own

	owner *deflated // nil = remembers nothing
	next  uint64    // sequence of the event that would continue it
	text  int       // bytes it remembers
}

// Write takes what the writer writes.
func (k *coder) Write(p []byte) (int, error) {
	k.out = append(k.out, p...)
	return len(p), nil
}

// borrow returns a coder: one that remembers what precedes the event seq of owner if there
// is one. It waits while all are at work.
func (d *Deflater) borrow(owner *deflated, seq uint64) *coder {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loans++
	since := d.loans - owner.asked
	owner.asked = d.loans
	for {
		for i := len(d.idle) - 1; i >= 0; i-- {
			if k := d.idle[i]; k.owner == owner && k.next == seq {
				k.shared = false
				return d.lend(i)
			}
		}
		if d.count < d.least || d.count < d.most && d.take(coderSize) {
			d.count++
			k := &coder{words: make([]byte, 0, d.window)}
			k.writer, _ = flate.NewWriter(k, d.level) // the level was checked
			return k
		}
		if len(d.idle) > 0 {
			return d.lend(d.spare(since))
		}
		d.back.Wait()
	}
}

// lend takes a coder out of the idle ones.
func (d *Deflater) lend(i int) *coder {
	k := d.idle[i]
	d.idle = append(d.idle[:i], d.idle[i+1:]...)
	return k
}

// spare returns the idle coder that is to learn something else, for an owner that borrowed one
// so many loans ago. If that is fewer than there are coders, it is the one used least recently, and the owner
// will find it again. Else it would not; so those who come seldom share one, which stays in the processor's
// cache, and leave the others to the busy.
func (d *Deflater) spare(since uint64) int {
	if since > uint64(d.count) {
		for i, k := range slices.Backward(d.idle) {
			if k.shared {
				return i
			}
		}
	}
	d.idle[0].shared = since > uint64(d.count)
	return 0
}

// hand gives a coder back.
func (d *Deflater) hand(k *coder) {
	const roomy = 64 << 10 // more is not kept; bytes
	if cap(k.out) > roomy {
		k.out = nil
	}
	d.mu.Lock()
	d.idle = append(d.idle, k)
	d.mu.Unlock()
	d.back.Signal()
}

// encode returns the compressed form of the event seq, whose bytes are text, in the view v of owner's
// ring: deflate blocks up to a byte boundary, none of them final (RFC 1951, section 3.2). They refer back at most
// need bytes before the event, and need is at most the window. The result is valid until the next call.
func (d *Deflater) encode(k *coder, owner *deflated, v *view, seq uint64, text []byte) (out []byte, need int) {
	if k.owner != owner || k.next != seq || k.text > d.window {
		k.words = v.appendBefore(k.words[:0], seq, d.primed())
		k.writer.ResetDict(k, k.words)
		k.owner, k.text = owner, len(k.words)
	}
	need = k.text
	k.out = k.out[:0]
	// Writing to memory cannot fail. The flush ends in an empty stored block, which aligns the next event
	// and makes decoders give out what they have (RFC 1951, section 3.2.4).
	_, _ = k.writer.Write(text)
	_ = k.writer.Flush()
	k.next = seq + 1
	k.text += len(text)
	d.made.Add(1)
	d.text.Add(uint64(len(text)))
	d.bytes.Add(uint64(len(k.out)))
	return k.out, need
}

// primed is how long a dictionary is: what is left of the window is for the events that
// follow without a new one.
func (d *Deflater) primed() int { return d.window * 5 / 8 }

// appendBefore appends the last n bytes of text before the event seq, which v holds, or as many as it holds.
func (v *view) appendBefore(dst []byte, seq uint64, n int) []byte {
	k := v.find(seq)
	first := k
	stop := v.segs[k].start(int(seq - v.segs[k].first))
	left := n - stop // what the segments before have to give
	for left > 0 && first > 0 {
		first--
		left -= v.whole(first)
	}
	for i := first; i <= k; i++ {
		end := stop
		if i < k {
			end = v.whole(i)
		}
		start := 0
		if i == first {
			start = max(0, -left)
		}
		dst = append(dst, v.segs[i].buf[start:end]...)
	}
	return dst
}

// whole is the length of the text of segment i, which is not the last.
func (v *view) whole(i int) int {
	return v.segs[i].stop(int(v.segs[i+1].first-v.segs[i].first) - 1)
}
