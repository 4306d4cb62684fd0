package agree

import (
	"errors"
	"fmt"
	"reflect"
)

// The wire form of a message is one byte for its kind and its fields in order: numbers as varints, strings and lists
// behind their length. A field is only ever added at a message's end, under a new protocol version.

// ErrMessage says that bytes are no message.
var ErrMessage = errors.New("not a message")

// messages by kind: for each, its fields, once for writing and reading. Numbers are for ever.
var messages = [...]message{
	1: of(func(c *coder, m *Follow) { c.fields(&m.Topic, &m.Lineage, &m.Head, &m.Direct, &m.Avoid, &m.Serial) }),
	2: of(func(c *coder, m *Begin) {
		c.fields(&m.Topic, &m.Copy, &m.Holder, &m.Epoch, &m.Goal, &m.Tail, &m.Lag, &m.Serial)
	}),
	3: of(func(c *coder, m *Entries) { c.fields(&m.Topic, &m.Entries, &m.Notes, &m.Visible) }),
	4: of(func(c *coder, m *Unfollow) { c.fields(&m.Topic) }),
	5: of(func(c *coder, m *Reset) { c.fields(&m.Topic) }),
	6: of(func(c *coder, m *Redirect) {
		c.fields(&m.Topic, &m.Holder, &m.Epoch, &m.Request.Kind, &m.Request.Serial)
	}),
	7:  of(func(c *coder, m *Publish) { c.fields(&m.Topic, &m.Batch, &m.Entries) }),
	8:  of(func(c *coder, m *Published) { c.fields(&m.Topic, &m.Batch, &m.Results) }),
	9:  of(func(c *coder, m *Enlist) { c.fields(&m.Topic, &m.Epoch, &m.Base, &m.Lineage, &m.Head) }),
	10: of(func(c *coder, m *Enlisted) { c.fields(&m.Topic, &m.Epoch, &m.Lineage, &m.Head) }),
	11: of(func(c *coder, m *Append) { c.fields(&m.Topic, &m.Epoch, &m.Mark, &m.First, &m.Copy, &m.Visible) }),
	12: of(func(c *coder, m *Ack) { c.fields(&m.Topic, &m.Epoch, &m.Mark) }),
	13: of(func(c *coder, m *Refuse) { c.fields(&m.Topic, &m.Epoch, &m.Fence, &m.Holder) }),
	14: of(func(c *coder, m *Dismiss) { c.fields(&m.Topic, &m.Epoch, &m.Holder) }),
	15: of(func(c *coder, m *Inquire) { c.fields(&m.Topic, &m.Epoch) }),
	16: of(func(c *coder, m *Have) { c.fields(&m.Topic, &m.Epoch, &m.Lineage, &m.Head, &m.Holder, &m.HolderEpoch) }),
	17: of(func(c *coder, m *Pull) { c.fields(&m.Topic, &m.Epoch, &m.Lineage, &m.Head) }),
	18: of(func(c *coder, m *Pulled) { c.fields(&m.Topic, &m.Epoch, &m.Copy) }),
	19: of(func(c *coder, m *Move) { c.fields(&m.Topic, &m.Epoch) }),
	20: of(func(c *coder, m *Prepared) { c.fields(&m.Topic, &m.Epoch) }),
	21: of(func(c *coder, m *Seal) { c.fields(&m.Topic, &m.Epoch, &m.Copy) }),
	22: of(func(c *coder, m *Owned) { c.fields(&m.Topic, &m.Epoch, &m.Seal) }),
	23: of(func(c *coder, m *Offer) { c.fields(&m.Topic, &m.Serial, &m.Lost, &m.Entries) }),
	24: of(func(c *coder, m *Adopted) { c.fields(&m.Topic, &m.Serial, &m.Places) }),
	25: of(func(c *coder, m *Where) { c.fields(&m.Topic, &m.Ticket, &m.ID) }),
	26: of(func(c *coder, m *There) { c.fields(&m.Topic, &m.Ticket, &m.Route, &m.At) }),
	27: of(func(c *coder, m *Released) { c.fields(&m.Topic) }),
	28: of(func(c *coder, m *Forgotten) { c.fields(&m.Topic, &m.Epoch) }),
	29: of(func(c *coder, m *Want) { c.fields(&m.Topic, &m.ID, &m.Known, &m.Over) }),
	30: of(func(c *coder, m *Sourced) { c.fields(&m.Topic, &m.Status) }),
}

// message is one kind: what it is, and the function that writes one, or reads one if c reads.
type message struct {
	what reflect.Type
	code func(c *coder, m Message) Message
}

func of[M Message](fields func(c *coder, m *M)) message {
	return message{reflect.TypeFor[M](), func(c *coder, any Message) Message {
		if c.reading {
			var m M
			fields(c, &m)
			return m
		}
		m := any.(M)
		fields(c, &m)
		return any
	}}
}

// kinds is messages, the other way round.
var kinds = func() map[reflect.Type]uint8 {
	k := make(map[reflect.Type]uint8, len(messages))
	for kind, m := range messages {
		if m.code != nil {
			k[m.what] = uint8(kind)
		}
	}
	return k
}()

// AppendMessage appends the wire form of m to dst.
func AppendMessage(dst []byte, m Message) []byte {
	kind, known := kinds[reflect.TypeOf(m)]
	if !known {
		panic(fmt.Sprintf("agree: no code for %T", m))
	}
	c := &coder{buf: append(dst, kind)}
	messages[kind].code(c, m)
	return c.buf
}

// ParseMessage reads one message, all of b. The bodies of entries are slices of b.
func ParseMessage(b []byte) (Message, error) {
	if len(b) == 0 || int(b[0]) >= len(messages) || messages[b[0]].code == nil {
		return nil, fmt.Errorf("%w: unknown kind", ErrMessage)
	}
	c := &coder{buf: b, at: 1, reading: true}
	m := messages[b[0]].code(c, nil)
	if c.err == nil && c.at != len(b) {
		c.err = fmt.Errorf("%w: %d bytes too many", ErrMessage, len(b)-c.at)
	}
	if c.err != nil {
		return nil, fmt.Errorf("%T: %w", m, c.err)
	}
	return m, nil
}
