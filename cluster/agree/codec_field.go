package agree

import (
	"encoding/binary"
	"fmt"
	"math"
)

// coder writes to the end of buf, or reads it from at on. Writing changes nothing but buf: entries are shared.
type coder struct {
	buf     []byte
	at      int
	reading bool
	err     error // the first; what is read after it means nothing
}

func (c *coder) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s at byte %d", ErrMessage, what, c.at)
	}
}

// fields writes or reads what the pointers point to, in order.
func (c *coder) fields(pointers ...any) {
	for _, p := range pointers {
		c.field(p)
	}
}

func (c *coder) field(pointer any) {
	switch v := pointer.(type) {
	case *uint64:
		c.number(v)
	case *int64:
		c.signed(v)
	case *bool:
		c.flag(v)
	case *string:
		c.text(v)
	case *[]byte:
		c.bytes(v)
	case *Topic:
		c.text((*string)(v))
	case *Kind:
		c.small((*uint8)(v))
	case *Found:
		c.small((*uint8)(v))
	case *Outcome:
		c.small((*uint8)(v))
	case *RequestKind:
		c.small((*uint8)(v))

	case *Lineage:
		list(c, (*[]Span)(v), (*coder).span)
	case *[]Entry:
		list(c, v, (*coder).entry)
	case *[]Position:
		list(c, v, (*coder).position)
	case *[]Memo:
		list(c, v, (*coder).memo)
	case *[]FeedMark:
		list(c, v, (*coder).feed)
	case *[]Note:
		list(c, v, (*coder).note)
	case *[]Branch:
		list(c, v, (*coder).branch)
	case *[]Result:
		list(c, v, (*coder).result)
	case *[]Adoption:
		list(c, v, (*coder).adoption)
	case *[]uint64:
		list(c, v, (*coder).number)

	case *Copy:
		c.fields(&v.Common, &v.Base, &v.Lineage, &v.Memos, &v.Marks, &v.Notes, &v.Entries)
	case *Route:
		c.fields(&v.Found, &v.After, &v.Skip, &v.Lost, &v.Missing)
	case *Position:
		c.position(v)
	case *FeedMark:
		c.feed(v)
	default:
		panic(fmt.Sprintf("agree: no code for %T", pointer))
	}
}

func (c *coder) position(p *Position) { c.fields(&p.Epoch, &p.Seq) }
func (c *coder) span(s *Span)         { c.fields(&s.Epoch, &s.First) }
func (c *coder) branch(b *Branch)     { c.fields(&b.Epoch, &b.First, &b.After) }
func (c *coder) adoption(a *Adoption) { c.fields(&a.Former, &a.At) }
func (c *coder) result(r *Result)     { c.fields(&r.Outcome, &r.Position, &r.ID, &r.Count) }

func (c *coder) note(n *Note) {
	c.fields(&n.Alias.Former, &n.Alias.Seq)
	c.branch(&n.Branch)
	c.text(&n.Recalled)
}

func (c *coder) memo(m *Memo) {
	c.fields(&m.Key, &m.Number, &m.High, &m.Position, &m.ID, &m.Sum, &m.At)
}

func (c *coder) entry(e *Entry) {
	c.fields(&e.Position, &e.Former, &e.Key, &e.Number, &e.ID, &e.Sum, &e.Commit, &e.Kind, &e.Feed, &e.Body)
}

// feed is one byte for an entry that no feed brought.
func (c *coder) feed(m *FeedMark) {
	if c.text(&m.Name); m.Name != "" {
		c.fields(&m.Epoch, &m.Pull, &m.Named, &m.Merged)
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
	if c.number(&n); !c.reading {
		return
	}
	if n > math.MaxUint8 {
		c.fail("small number")
	}
	*v = uint8(n)
}

func (c *coder) signed(v *int64) {
	n := uint64(*v)
	if c.number(&n); c.reading {
		*v = int64(n)
	}
}

func (c *coder) flag(v *bool) {
	n := uint64(0)
	if *v {
		n = 1
	}
	if c.number(&n); !c.reading {
		return
	}
	if n > 1 {
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
