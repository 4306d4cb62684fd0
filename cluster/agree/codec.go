package agree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The wire form of a message is one byte for its kind and its fields in order: numbers as varints, strings and lists
// behind their length. A field is only ever added at a message's end, under a new protocol version.

// ErrMessage says that bytes are no message.
var ErrMessage = errors.New("not a message")

// AppendMessage appends the wire form of m to dst.
func AppendMessage(dst []byte, m Message) []byte {
	c := &coder{buf: dst}
	for kind, code := range codes {
		if code != nil && code(c, uint8(kind), m) != nil {
			return c.buf
		}
	}
	panic(fmt.Sprintf("agree: no code for %T", m))
}

// ParseMessage reads one message, all of b. The bodies of entries are slices of b.
func ParseMessage(b []byte) (Message, error) {
	if len(b) == 0 || int(b[0]) >= len(codes) || codes[b[0]] == nil {
		return nil, fmt.Errorf("%w: unknown kind", ErrMessage)
	}
	c := &coder{buf: b, at: 1, reading: true}
	m := codes[b[0]](c, b[0], nil)
	if c.err == nil && c.at != len(b) {
		c.err = fmt.Errorf("%w: %d bytes too many", ErrMessage, len(b)-c.at)
	}
	if c.err != nil {
		return nil, fmt.Errorf("%T: %w", m, c.err)
	}
	return m, nil
}

// code writes a message if it is of its kind, or reads one, by one list of fields for both.
type code func(c *coder, kind uint8, m Message) Message

func codeOf[M Message](fields func(c *coder, m *M)) code {
	return func(c *coder, kind uint8, any Message) Message {
		var m M
		if !c.reading {
			var ok bool
			if m, ok = any.(M); !ok {
				return nil
			}
			c.buf = append(c.buf, kind)
		}
		fields(c, &m)
		return m
	}
}

// codes by kind. Numbers are for ever.
var codes = [...]code{
	1: codeOf(func(c *coder, m *Follow) {
		c.topic(&m.Topic)
		c.lineage(&m.Lineage)
		c.number(&m.Head)
		c.flag(&m.Direct)
		c.text(&m.Avoid)
		c.number(&m.Serial)
	}),
	2: codeOf(func(c *coder, m *Begin) {
		c.topic(&m.Topic)
		c.copy(&m.Copy)
		c.text(&m.Holder)
		c.number(&m.Epoch)
		c.number(&m.Goal)
		c.number(&m.Tail)
		c.flag(&m.Lag)
		c.number(&m.Serial)
	}),
	3: codeOf(func(c *coder, m *Entries) {
		c.topic(&m.Topic)
		list(c, &m.Entries, (*coder).entry)
		list(c, &m.Notes, (*coder).note)
		c.number(&m.Visible)
	}),
	4: codeOf(func(c *coder, m *Unfollow) { c.topic(&m.Topic) }),
	5: codeOf(func(c *coder, m *Reset) { c.topic(&m.Topic) }),
	6: codeOf(func(c *coder, m *Redirect) {
		c.topic(&m.Topic)
		c.text(&m.Holder)
		c.number(&m.Epoch)
		c.small((*uint8)(&m.Request.Kind))
		c.number(&m.Request.Serial)
	}),
	7: codeOf(func(c *coder, m *Publish) {
		c.topic(&m.Topic)
		c.number(&m.Batch)
		list(c, &m.Entries, (*coder).entry)
	}),
	8: codeOf(func(c *coder, m *Published) {
		c.topic(&m.Topic)
		c.number(&m.Batch)
		list(c, &m.Results, (*coder).result)
	}),
	9: codeOf(func(c *coder, m *Enlist) {
		c.topic(&m.Topic)
		c.number(&m.Epoch)
		c.number(&m.Base)
		c.lineage(&m.Lineage)
		c.number(&m.Head)
	}),
	10: codeOf(func(c *coder, m *Enlisted) {
		c.topic(&m.Topic)
		c.number(&m.Epoch)
		c.lineage(&m.Lineage)
		c.number(&m.Head)
	}),
	11: codeOf(func(c *coder, m *Append) {
		c.topic(&m.Topic)
		c.number(&m.Epoch)
		c.number(&m.Mark)
		c.flag(&m.First)
		c.copy(&m.Copy)
		c.number(&m.Visible)
	}),
	12: codeOf(func(c *coder, m *Ack) { c.topic(&m.Topic); c.number(&m.Epoch); c.number(&m.Mark) }),
	13: codeOf(func(c *coder, m *Refuse) {
		c.topic(&m.Topic)
		c.number(&m.Epoch)
		c.number(&m.Fence)
		c.text(&m.Holder)
	}),
	14: codeOf(func(c *coder, m *Dismiss) { c.topic(&m.Topic); c.number(&m.Epoch); c.text(&m.Holder) }),
	15: codeOf(func(c *coder, m *Inquire) { c.topic(&m.Topic); c.number(&m.Epoch) }),
	16: codeOf(func(c *coder, m *Have) {
		c.topic(&m.Topic)
		c.number(&m.Epoch)
		c.lineage(&m.Lineage)
		c.number(&m.Head)
		c.text(&m.Holder)
		c.number(&m.HolderEpoch)
	}),
	17: codeOf(func(c *coder, m *Pull) {
		c.topic(&m.Topic)
		c.number(&m.Epoch)
		c.lineage(&m.Lineage)
		c.number(&m.Head)
	}),
	18: codeOf(func(c *coder, m *Pulled) { c.topic(&m.Topic); c.number(&m.Epoch); c.copy(&m.Copy) }),
	19: codeOf(func(c *coder, m *Move) { c.topic(&m.Topic); c.number(&m.Epoch) }),
	20: codeOf(func(c *coder, m *Prepared) { c.topic(&m.Topic); c.number(&m.Epoch) }),
	21: codeOf(func(c *coder, m *Seal) { c.topic(&m.Topic); c.number(&m.Epoch); c.copy(&m.Copy) }),
	22: codeOf(func(c *coder, m *Owned) { c.topic(&m.Topic); c.number(&m.Epoch); c.number(&m.Seal) }),
	23: codeOf(func(c *coder, m *Offer) {
		c.topic(&m.Topic)
		c.number(&m.Serial)
		list(c, &m.Lost, (*coder).branch)
		list(c, &m.Entries, (*coder).entry)
	}),
	24: codeOf(func(c *coder, m *Adopted) {
		c.topic(&m.Topic)
		c.number(&m.Serial)
		list(c, &m.Places, (*coder).adoption)
	}),
	25: codeOf(func(c *coder, m *Where) {
		c.topic(&m.Topic)
		c.number(&m.Ticket)
		c.text(&m.ID)
	}),
	26: codeOf(func(c *coder, m *There) {
		c.topic(&m.Topic)
		c.number(&m.Ticket)
		c.small((*uint8)(&m.Route.Found))
		c.number(&m.Route.After)
		list(c, &m.Route.Skip, (*coder).number)
		c.position(&m.Route.Lost)
		c.flag(&m.Route.Missing)
		c.position(&m.At)
	}),
	27: codeOf(func(c *coder, m *Released) { c.topic(&m.Topic) }),
	28: codeOf(func(c *coder, m *Forgotten) { c.topic(&m.Topic); c.number(&m.Epoch) }),
	29: codeOf(func(c *coder, m *Want) { c.topic(&m.Topic); c.text(&m.ID); c.flag(&m.Known); c.flag(&m.Over) }),
	30: codeOf(func(c *coder, m *Sourced) { c.topic(&m.Topic); c.number(&m.Status) }),
}

// coder writes to the end of buf, or reads it from at on.
type coder struct {
	buf     []byte
	at      int
	reading bool
	err     error
}

func (c *coder) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s at byte %d", ErrMessage, what, c.at)
	}
}

func (c *coder) number(v *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	n, size := binary.Uvarint(c.buf[c.at:])
	if size <= 0 || size > 1 && n>>(7*(size-1)) == 0 { // cut off, too long, or not the shortest form
		c.fail("number")
		c.at = len(c.buf)
		return
	}
	*v = n
	c.at += size
}

func (c *coder) small(v *uint8) {
	n := uint64(*v)
	if c.number(&n); n > math.MaxUint8 {
		c.fail("small number")
	}
	*v = uint8(n)
}

func (c *coder) signed(v *int64) {
	n := uint64(*v)
	c.number(&n)
	*v = int64(n)
}

func (c *coder) flag(v *bool) {
	n := uint64(0)
	if *v {
		n = 1
	}
	if c.number(&n); n > 1 {
		c.fail("flag")
	}
	*v = n == 1
}

// bytes are shared with the buffer when read.
func (c *coder) bytes(v *[]byte) {
	n := uint64(len(*v))
	c.number(&n)
	if !c.reading {
		c.buf = append(c.buf, *v...)
		return
	}
	if n > uint64(len(c.buf)-c.at) {
		c.fail("length")
		c.at = len(c.buf)
		return
	}
	*v = nil
	if n > 0 {
		*v = c.buf[c.at : c.at+int(n) : c.at+int(n)]
	}
	c.at += int(n)
}

func (c *coder) text(v *string) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, uint64(len(*v)))
		c.buf = append(c.buf, *v...)
		return
	}
	var b []byte
	c.bytes(&b)
	*v = string(b)
}

func (c *coder) topic(t *Topic) { c.text((*string)(t)) }

// list grows as its items are read, so a length that lies costs nothing: every item has at least one byte.
func list[T any](c *coder, v *[]T, item func(*coder, *T)) {
	n := uint64(len(*v))
	c.number(&n)
	if !c.reading {
		for i := range *v {
			item(c, &(*v)[i])
		}
		return
	}
	if n > uint64(len(c.buf)-c.at) {
		c.fail("list")
		return
	}
	for range n {
		if c.err != nil {
			return
		}
		var x T
		item(c, &x)
		*v = append(*v, x)
	}
}

func (c *coder) position(p *Position) { c.number(&p.Epoch); c.number(&p.Seq) }
func (c *coder) span(s *Span)         { c.number(&s.Epoch); c.number(&s.First) }
func (c *coder) alias(a *Alias)       { c.position(&a.Former); c.number(&a.Seq) }

func (c *coder) adoption(a *Adoption) { c.position(&a.Former); c.position(&a.At) }

func (c *coder) lineage(l *Lineage) { list(c, (*[]Span)(l), (*coder).span) }

func (c *coder) branch(b *Branch) { c.number(&b.Epoch); c.number(&b.First); c.position(&b.After) }

func (c *coder) note(n *Note) { c.alias(&n.Alias); c.branch(&n.Branch); c.text(&n.Recalled) }

func (c *coder) memo(m *Memo) {
	c.text(&m.Key)
	c.number(&m.Number)
	c.number(&m.High)
	c.position(&m.Position)
	c.text(&m.ID)
	c.number(&m.Sum)
	c.signed(&m.At)
}

func (c *coder) result(r *Result) {
	c.small((*uint8)(&r.Outcome))
	c.position(&r.Position)
	c.text(&r.ID)
	c.number(&r.Count)
}

func (c *coder) entry(e *Entry) {
	c.position(&e.Position)
	list(c, &e.Former, (*coder).position)
	c.text(&e.Key)
	c.number(&e.Number)
	c.text(&e.ID)
	c.number(&e.Sum)
	c.signed(&e.Commit)
	c.small((*uint8)(&e.Kind))
	c.feed(&e.Feed)
	c.bytes(&e.Body)
}

func (c *coder) feed(m *FeedMark) {
	if c.text(&m.Name); m.Name == "" {
		return
	}
	c.number(&m.Epoch)
	c.number(&m.Pull)
	c.flag(&m.Named)
	c.flag(&m.Merged)
}

func (c *coder) copy(p *Copy) {
	c.number(&p.Common)
	c.number(&p.Base)
	c.lineage(&p.Lineage)
	list(c, &p.Memos, (*coder).memo)
	list(c, &p.Marks, (*coder).feed)
	list(c, &p.Notes, (*coder).note)
	list(c, &p.Entries, (*coder).entry)
}
