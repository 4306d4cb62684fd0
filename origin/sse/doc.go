// Package sse is the wire format of Server-Sent Events, both ways, as WHATWG
// HTML section 9.2 defines it.
//
//	bytes, in any chunking --> Decoder --> Event --> AppendBody / Append --> bytes
//	          io.Reader    --> Reader  --> Event
//
// The Decoder is a state machine without I/O. Whatever the chunking, it yields
// the events that a browser would have dispatched from the same bytes, with
// the same type and data, and knows the same last event id. It is bounded: an
// event or a line that is too large is an error, never memory. It allocates
// nothing but the strings of the event that it yields.
//
// The encoder's output is read back as the same event by any conforming
// parser; the one thing the format cannot carry is which kind of line end
// stood inside the data: they all become line feeds. Within an event the id is
// the last field, so that a client which acts on a field at once, instead of at
// the blank line, loses nothing when the stream tears. What comes before the id
// is the event's body, the part that stays the same whatever id it is given.
//
//	event: goal          \
//	key: 7f3a             |  body
//	data: {"score":"1:0"} /
//	id: 1-2k
//	(blank line)
//
// Two fields are not the standard's: topic says where an event belongs in a
// stream of many topics, key names it for whoever wants to recognise it again.
// Standard parsers pass over fields that they do not know.
//
// The package also holds the rules for names that travel beside events and that
// every part must agree on: what is a topic, and which ids can come back to us
// in a Last-Event-ID header.
//
// Nothing here is safe for concurrent use, and nothing starts a goroutine.
package sse
