package sse

import (
	"bytes"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// Defaults of the decoder's bounds, in bytes.
const (
	DefaultMaxEvent = 256 << 10
	lineSlack       = 64 // a field's name and colon, beside a value of the whole event's size
)

// A Decoder turns the bytes of a stream into events:
//
//	d.Feed(chunk)
//	for d.Next(&ev) {
//		... // ev.Data is valid until the next call of Next
//	}
//	if err := d.Err(); err != nil { ...
//
// The zero value is ready for a stream's first byte. A last block that no blank
// line ended is never yielded, as the standard says: drop the decoder when the
// stream ends, or Reset it for the next stream.
type Decoder struct {
	// MaxEvent bounds the fields of one event together, in bytes. 0 = 256 KiB.
	MaxEvent int
	// MaxLine bounds one line, comments and unknown fields too, in bytes.
	// 0 = MaxEvent and a little for the field's name.
	MaxLine int
	// SkipLarge passes over an event that is larger than these, and counts
	// it, where otherwise the decoding ends with an error.
	SkipLarge bool
	// Unknown, if set, is told of each field that is neither the standard's
	// nor an extension of this package, when its line is read. The slices are
	// valid during the call.
	Unknown func(name, value []byte)

	// Where the decoder is in the bytes.
	in    lines
	valid bool   // the chunk is UTF-8 throughout
	line  []byte // a line that earlier chunks began
	bom   int    // bytes of a byte order mark seen; bomDone = past it
	err   error

	// The block that is being read.
	block Event
	hasID bool
	first []byte // the block's only data line so far, still inside the chunk
	data  []byte // the block's data lines, each with its LF, when not in first

	// What is passed over: the rest of a line, of a block. Only with SkipLarge.
	skipLine, skipBlock bool

	// What outlives a block.
	last     Event // the last strings seen, so that a repeated one costs nothing; last.ID is the last event id
	retry    time.Duration
	hasRetry bool
	comments uint64
	skipped  uint64
}

var bom = [...]byte{0xEF, 0xBB, 0xBF}

const bomDone = len(bom)

// keepBuffer is the capacity that a buffer may keep between chunks. More was
// for one large event, and is given back.
const keepBuffer = 32 << 10

// Reset makes the decoder ready for the first byte of another stream. The last
// event id is what the client remembers from before, so that a block without an
// id does not clear it.
func (d *Decoder) Reset(lastEventID string) {
	last := d.last
	last.ID = lastEventID
	*d = Decoder{MaxEvent: d.MaxEvent, MaxLine: d.MaxLine, SkipLarge: d.SkipLarge, Unknown: d.Unknown, line: d.line[:0], data: d.data[:0], last: last}
}

// Feed hands the decoder the next bytes of the stream. They must stay as they
// are until Next has returned false.
func (d *Decoder) Feed(p []byte) {
	if d.in.pos < len(d.in.text) { // the caller stopped early
		if d.first != nil {
			d.gather()
		}
		p = append(bytes.Clone(d.in.rest()), p...)
	}
	for d.bom < bomDone && len(p) > 0 {
		if p[0] != bom[d.bom] { // no mark but text
			d.line = append(d.line, bom[:d.bom]...)
			d.bom = bomDone
			break
		}
		d.bom++
		p = p[1:]
	}
	d.in.reset(p)
	d.valid = utf8.Valid(p)
}

// Next sets ev to the next event of the bytes fed, and reports whether there was
// one. ev.Data is valid until the next call of Next or Feed; the strings are
// the caller's to keep.
func (d *Decoder) Next(ev *Event) bool {
	for d.err == nil {
		line, ended := d.in.next()
		if !ended {
			d.suspend()
			return false
		}
		if len(d.line) > 0 {
			line = append(d.line, line...)
			d.line = line[:0]
			d.valid = d.valid && utf8.Valid(line)
		}
		switch {
		case d.skipLine:
			d.skipLine = false
		case len(line) == 0:
			if d.dispatch(ev) {
				return true
			}
		case len(line) > d.maxLine():
			d.largeLine(line)
		default:
			d.field(line)
		}
	}
	return false
}

// Err returns the *LimitError that ended the decoding, if one did. It stays
// until Reset.
func (d *Decoder) Err() error { return d.err }

// LastEventID returns what a client would send to resume: the id of the last
// complete block that had one.
func (d *Decoder) LastEventID() string { return d.last.ID }

// Retry returns the last reconnection time the stream set, if it set one.
func (d *Decoder) Retry() (time.Duration, bool) { return d.retry, d.hasRetry }

// Comments returns how many comment lines were read since the stream began.
func (d *Decoder) Comments() uint64 { return d.comments }

// Skipped returns how many events were too large and passed over since the
// stream began. It grows where the event would have come.
func (d *Decoder) Skipped() uint64 { return d.skipped }

// Partial reports whether the stream stands inside a block: what it began
// would be dropped if it ended here.
func (d *Decoder) Partial() bool {
	return len(d.line) > 0 || d.skipLine || d.skipBlock || d.bom > 0 && d.bom < bomDone || d.hasData() || d.hasID ||
		d.block.Type != "" || d.block.Key != "" || d.block.Topic != ""
}

// suspend keeps what the chunk leaves unfinished: the chunk is about to go.
func (d *Decoder) suspend() {
	if d.first != nil {
		d.gather()
	}
	rest := d.in.rest()
	if d.skipLine {
		return
	}
	if len(d.line)+len(rest) > d.maxLine() {
		d.largeLine(append(d.line, rest[:min(1, len(rest))]...))
		d.line, d.skipLine = d.line[:0], true
		return
	}
	if len(d.line) == 0 && cap(d.line) > max(keepBuffer, len(rest)) {
		d.line = nil
	}
	if len(d.data) == 0 && cap(d.data) > keepBuffer {
		d.data = nil
	}
	d.line = append(d.line, rest...)
}

// dispatch ends the block, and sets ev if it was an event.
func (d *Decoder) dispatch(ev *Event) bool {
	if d.hasID { // with or without data
		d.last.ID = d.block.ID
	}
	event := d.hasData()
	if d.skipBlock {
		d.skipBlock = false
		d.skipped++
	}
	if event {
		d.block.Data = d.first
		if d.first == nil {
			d.block.Data = d.data[: len(d.data)-1 : len(d.data)-1]
		}
		*ev = d.block
	}
	d.block, d.hasID, d.first, d.data = Event{}, false, nil, d.data[:0]
	return event
}

// field takes one line that is not blank.
func (d *Decoder) field(line []byte) {
	if len(line) >= 5 && string(line[:5]) == "data:" { // most lines by far
		d.addData(trimSpace(line[5:]))
		return
	}
	name, value := line, []byte{}
	for i, c := range line {
		if c == ':' {
			name, value = line[:i], trimSpace(line[i+1:])
			break
		}
	}
	switch string(name) {
	case "":
		if line[0] == ':' {
			d.comments++
		}
	case "data":
		d.addData(value)
	case "event":
		d.set(&d.block.Type, &d.last.Type, value)
	case "key":
		d.set(&d.block.Key, &d.last.Key, value)
	case "topic":
		d.set(&d.block.Topic, &d.last.Topic, value)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			seen := d.last.ID
			d.hasID = true
			d.set(&d.block.ID, &seen, value)
		}
	case "retry":
		if ms, ok := digits(value); ok {
			d.retry, d.hasRetry = ms, true
		}
	default:
		if d.Unknown != nil {
			d.Unknown(name, value)
		}
	}
}

// set gives a field of the block its value, in the string seen if that is it.
func (d *Decoder) set(field, seen *string, value []byte) {
	if string(value) != *seen {
		*seen = string(d.text(value))
	}
	*field = *seen
	d.fits(d.dataSize())
}

func (d *Decoder) hasData() bool { return d.first != nil || len(d.data) > 0 }

// addData takes a data line's value. Most events have one, which stays where
// it is in the chunk; the rest are gathered.
func (d *Decoder) addData(value []byte) {
	if d.skipBlock {
		return
	}
	value = d.text(value)
	if !d.hasData() {
		if d.fits(len(value)) {
			d.first = value
		}
		return
	}
	if !d.fits(d.dataSize() + 1 + len(value)) {
		return
	}
	if d.first != nil {
		d.gather()
	}
	d.data = append(append(d.data, value...), '\n')
}

// dataSize returns the size of the data so far as the event would have it.
func (d *Decoder) dataSize() int { return len(d.first) + max(len(d.data)-1, 0) }

func (d *Decoder) gather() {
	d.data = append(append(d.data[:0], d.first...), '\n')
	d.first = nil
}

// fits holds the block's strings and its data to the limit.
func (d *Decoder) fits(data int) bool {
	if d.block.size()+data <= d.maxEvent() {
		return true
	}
	d.large(&LimitError{What: "event", Limit: "MaxEvent", Max: d.maxEvent()})
	return false
}

// largeLine takes a line of which at least the first byte is here. A comment is
// no loss.
func (d *Decoder) largeLine(line []byte) {
	if d.SkipLarge && line[0] == ':' {
		d.comments++
		return
	}
	d.large(&LimitError{What: "line", Limit: "MaxLine", Max: d.maxLine()})
}

func (d *Decoder) large(err *LimitError) {
	if !d.SkipLarge {
		d.err = err
		return
	}
	// Of the block only its id is of use from here on.
	d.skipBlock = true
	d.first, d.data = nil, d.data[:0]
	if len(d.block.ID) > d.maxEvent() {
		d.block.ID, d.hasID = "", false
	}
	d.block = Event{ID: d.block.ID}
}

func (d *Decoder) maxEvent() int {
	if d.MaxEvent > 0 {
		return d.MaxEvent
	}
	return DefaultMaxEvent
}

func (d *Decoder) maxLine() int {
	if d.MaxLine > 0 {
		return d.MaxLine
	}
	return d.maxEvent() + lineSlack
}

// trimSpace takes away the one space that may follow a field's colon.
func trimSpace(value []byte) []byte {
	if len(value) > 0 && value[0] == ' ' {
		return value[1:]
	}
	return value
}

// digits reads a retry field's value, milliseconds, as far as a Duration goes.
func digits(value []byte) (time.Duration, bool) {
	const most = math.MaxInt64 / int64(time.Millisecond)
	var ms int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		ms = min(ms*10+int64(c-'0'), most/10)
	}
	return time.Duration(ms) * time.Millisecond, len(value) > 0
}

// text decodes a value, which all but always is what it was.
func (d *Decoder) text(value []byte) []byte {
	if d.valid || utf8.Valid(value) {
		return value
	}
	return replaceInvalid(value)
}

// A LimitError says that the stream held more than the decoder may keep.
type LimitError struct {
	What  string // "event" or "line"
	Limit string // the decoder's field that set the limit: "MaxEvent" or "MaxLine"
	Max   int    // bytes
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("sse: %s larger than %d bytes (%s)", e.What, e.Max, e.Limit)
}
