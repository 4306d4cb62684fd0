package cluster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
)

// A link compresses if both ends say so in their headers. Its frames then travel in groups. A group begins with a varint:
// the length of its text, doubled. If that is odd, another varint is the length of what follows: deflate blocks (RFC 1951)
// of the text, ended by an empty stored one, that may refer to the text of the deflated groups before; else the text follows.
// Each direction is one deflate stream, so an event is known by its likeness to those before it, whatever topic they were of.
//
// What is written together is a group: a busy link has few and long ones. A coder that remembers (level 7: those below
// search nothing in under 128 bytes) is what compresses best, and holds a megabyte. There are maxCoders, and a link keeps one
// only while it is in use; others deflate without one, primed with the last text: see BenchmarkLinkDeflate for what each costs.
// A decoder need not know which it was.
//
// Who receives holds no more than the inflater's window beside one frame: text is inflated as it is read. A group that
// claims to be larger than groups are, or that inflates more than maxInflation times, is no relay's.
const (
	maxGroup     = 64 << 10        // of text
	maxHead      = 6               // two varints up to 4 * maxGroup
	minGroup     = 64              // of text that is worth compressing: pings are not
	maxInflation = 200             // text over bytes; what would be above is sent as it is
	primer       = 4 << 10         // of text, for coders without memory: more costs time and saves little
	maxCoders    = 32              // with memory
	coderIdle    = 1 * time.Second // after this a link gives its coder back
)

var errInflation = errors.New("link: a compressed group is none that a relay sends")

// coders are the compressors that busy links share.
type coders struct {
	mu   sync.Mutex // guards what follows; held for moments only
	free []*flate.Writer
	made int
}

// take gives one, or nil if all are in use.
func (c *coders) take() *flate.Writer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		w := c.free[n-1]
		c.free = c.free[:n-1]
		return w
	}
	if c.made == maxCoders {
		return nil
	}
	w, err := flate.NewWriter(io.Discard, 7)
	if err != nil {
		return nil
	}
	c.made++
	return w
}

func (c *coders) give(w *flate.Writer) {
	w.ResetDict(io.Discard, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(c.free, w)
}

// deflater compresses what is written to a link. It is owned by the link's writer.
type deflater struct {
	w      io.Writer
	shared *coders       // nil: always without memory
	coder  *flate.Writer // nil: none, now
	used   time.Time
	recent []byte // the last text that the other side's inflater has
	packed bytes.Buffer
}

// Write sends frames in groups. It writes all or fails.
func (d *deflater) Write(b []byte) (int, error) {
	for text := range slices.Chunk(b, maxGroup) {
		if err := d.group(text); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (d *deflater) group(text []byte) error {
	if len(text) < minGroup {
		return d.plain(text)
	}
	d.begin()
	if err := d.deflate(text); err != nil {
		return err
	}
	n := d.packed.Len() - maxHead
	if len(text) > n*maxInflation {
		d.release() // it has seen text that the other side's inflater will not
		return d.plain(text)
	}
	d.recent = append(d.recent, text[max(0, len(text)-primer):]...)
	if over := len(d.recent) - primer; over > 0 {
		d.recent = append(d.recent[:0], d.recent[over:]...)
	}
	return d.send(uint64(len(text))<<1|1, uint64(n))
}

func (d *deflater) plain(text []byte) error {
	d.begin()
	d.packed.Write(text)
	return d.send(uint64(len(text)) << 1)
}

// begin makes room for a head; send puts one before what was written since.
func (d *deflater) begin() {
	d.packed.Reset()
	d.packed.Write(make([]byte, maxHead))
}

func (d *deflater) send(numbers ...uint64) error {
	var head []byte
	for _, n := range numbers {
		head = binary.AppendUvarint(head, n)
	}
	group := d.packed.Bytes()[maxHead-len(head):]
	copy(group, head)
	_, err := d.w.Write(group)
	return err
}

func (d *deflater) deflate(text []byte) error {
	d.used = time.Now()
	if d.coder == nil && d.shared != nil {
		if d.coder = d.shared.take(); d.coder != nil {
			d.coder.ResetDict(&d.packed, d.recent)
		}
	}
	if d.coder == nil {
		return flate.StatelessDeflate(&d.packed, text, false, d.recent)
	}
	if _, err := d.coder.Write(text); err != nil {
		return err
	}
	return d.coder.Flush()
}

// rest gives back what an idle link does not need.
func (d *deflater) rest(now time.Time) {
	if now.Sub(d.used) > coderIdle {
		d.release()
		d.packed = bytes.Buffer{}
	}
}

func (d *deflater) release() {
	if d.coder != nil {
		d.shared.give(d.coder)
		d.coder = nil
	}
}

// inflater reads the frames in a link's groups. It is owned by the link's reader.
type inflater struct {
	in    groupReader
	flate io.Reader // nil: nothing compressed has come yet
	text  int       // left of this group
	flat  bool      // this group is not compressed
}

// groupReader gives an inflater the bytes of one group and nothing beyond.
type groupReader struct {
	r    *bufio.Reader
	left int    // of the group
	tail []byte // of the one before: its last block, which says nothing, may not be read before there is more to ask for
}

const maxTail = 8 // an end-of-block code of 15 bits, three bits, and the length 0 twice

func (g *groupReader) end() error {
	if len(g.tail)+g.left > maxTail {
		return errInflation
	}
	for ; g.left > 0; g.left-- {
		b, err := g.r.ReadByte()
		if err != nil {
			return err
		}
		g.tail = append(g.tail, b)
	}
	return nil
}

func (g *groupReader) Read(b []byte) (int, error) {
	if len(g.tail) > 0 {
		n := copy(b, g.tail)
		g.tail = g.tail[n:]
		return n, nil
	}
	if g.left == 0 {
		return 0, errInflation
	}
	n, err := g.r.Read(b[:min(len(b), g.left)])
	g.left -= n
	return n, err
}

func (g *groupReader) ReadByte() (byte, error) {
	if len(g.tail) > 0 {
		b := g.tail[0]
		g.tail = g.tail[1:]
		return b, nil
	}
	if g.left == 0 {
		return 0, errInflation
	}
	b, err := g.r.ReadByte()
	if err == nil {
		g.left--
	}
	return b, err
}

func newInflater(r *bufio.Reader) *inflater { return &inflater{in: groupReader{r: r}} }

func (i *inflater) Read(b []byte) (int, error) {
	if i.text == 0 {
		if err := i.next(); err != nil {
			return 0, err
		}
	}
	b = b[:min(len(b), i.text)]
	if i.flat {
		n, err := i.in.r.Read(b)
		i.text -= n
		return n, err
	}
	n, err := i.flate.Read(b)
	i.text -= n
	switch {
	case err == io.EOF: // a final block: there is none, ever
		return n, errInflation
	case err != nil:
		return n, err
	case i.text == 0:
		return n, i.in.end()
	}
	return n, nil
}

// next reads a group's head.
func (i *inflater) next() error {
	text, err := binary.ReadUvarint(i.in.r)
	if err != nil {
		return err
	}
	i.flat = text&1 == 0
	text >>= 1
	if text == 0 || text > maxGroup {
		return fmt.Errorf("%w: its text has %d bytes", errInflation, text)
	}
	if !i.flat {
		packed, err := binary.ReadUvarint(i.in.r)
		if err != nil {
			return err
		}
		if packed > 2*maxGroup || text > packed*maxInflation {
			return fmt.Errorf("%w: %d bytes would inflate to %d", errInflation, packed, text)
		}
		i.in.left = int(packed)
		if i.flate == nil {
			i.flate = flate.NewReader(&i.in)
		}
	}
	i.text = int(text)
	return nil
}
