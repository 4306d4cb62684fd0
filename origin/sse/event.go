package sse

import (
	"bytes"
	"fmt"
	"strings"
)

// An Event is one event as its block gave it.
type Event struct {
	ID    string // the block's own id field; "" when it had none, or an empty one
	Type  string // "" means message, as in browsers
	Key   string // extension field; "" = none
	Topic string // extension field; "" = none
	Data  []byte // lines separated by LF, without the last one's LF
}

// ReservedPrefix begins the types of control events. Only relays write them.
const ReservedPrefix = "freshet."

// Types of the control events.
const (
	TypeOpen = ReservedPrefix + "open" // the first block of a stream, with the id to resume from
	TypeGap  = ReservedPrefix + "gap"  // events are missing here
	TypeEnd  = ReservedPrefix + "end"  // the topic has ended
)

// Control reports whether the event is of a reserved type.
func (e Event) Control() bool { return strings.HasPrefix(e.Type, ReservedPrefix) }

// Clone returns a copy whose data is its own.
func (e Event) Clone() Event {
	e.Data = bytes.Clone(e.Data)
	return e
}

// size is what the event counts against Decoder.MaxEvent.
func (e *Event) size() int {
	return len(e.ID) + len(e.Type) + len(e.Key) + len(e.Topic) + len(e.Data)
}

// Validate reports, as a *FieldError, why the event may not be published: a
// field holds what its line cannot carry or what would forge another field, or
// the type is reserved. Data may be anything.
func (e Event) Validate() error {
	if err := e.writable(); err != nil {
		return err
	}
	// A NUL can be written in these fields, but it is a sign of an accident
	// or an attack, so publishers may not.
	for _, f := range []struct{ name, value string }{{"event", e.Type}, {"key", e.Key}} {
		if strings.IndexByte(f.value, 0) >= 0 {
			return &FieldError{Field: f.name, Reason: "contains NUL"}
		}
	}
	if e.Control() {
		return &FieldError{Field: "event", Reason: fmt.Sprintf("%q is reserved: types that begin with %q are the relay's own", clip(e.Type), ReservedPrefix)}
	}
	return nil
}

// writable reports which field could not be read back as it is: line ends
// anywhere, and NUL in an id, which makes parsers ignore the field.
func (e *Event) writable() error {
	if err := writable("event", e.Type, false); err != nil {
		return err
	}
	if err := writable("key", e.Key, false); err != nil {
		return err
	}
	if err := writable("topic", e.Topic, false); err != nil {
		return err
	}
	return writable("id", e.ID, true)
}

func writable(field, value string, refuseNUL bool) error {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c > '\r':
		case c == '\n':
			return &FieldError{Field: field, Reason: "contains a line feed"}
		case c == '\r':
			return &FieldError{Field: field, Reason: "contains a carriage return"}
		case c == 0 && refuseNUL:
			return &FieldError{Field: field, Reason: "contains NUL"}
		}
	}
	return nil
}

// A FieldError says which field of an event is wrong, and how. Fields are
// named as on the wire: event, key, topic, id.
type FieldError struct {
	Field  string
	Reason string
}

func (e *FieldError) Error() string { return "sse: " + e.Field + " " + e.Reason }

// clip keeps a quoted value short in an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
