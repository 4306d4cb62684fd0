package sse

import (
	"strconv"
	"time"
)

// AppendBody appends everything of the event that does not depend on its id or
// topic: the type and the key where there are any, and the data as one data
// line for each of its lines. It fails with a *FieldError, and leaves dst as it
// was, when a field cannot be written so that it is read back the same.
func (e Event) AppendBody(dst []byte) ([]byte, error) {
	if err := e.writable(); err != nil {
		return dst, err
	}
	return e.appendBody(dst), nil
}

// Append appends the whole event: its topic if it has one, the body, the id if
// it has one, and the blank line. It fails as AppendBody does.
func (e Event) Append(dst []byte) ([]byte, error) {
	if err := e.writable(); err != nil {
		return dst, err
	}
	if e.Topic != "" {
		dst = appendField(dst, "topic: ", e.Topic)
	}
	dst = e.appendBody(dst)
	if e.ID != "" {
		dst = AppendID(dst, e.ID)
	}
	return append(dst, '\n'), nil
}

func (e *Event) appendBody(dst []byte) []byte {
	if e.Type != "" {
		dst = appendField(dst, "event: ", e.Type)
	}
	if e.Key != "" {
		dst = appendField(dst, "key: ", e.Key)
	}
	return appendData(dst, e.Data)
}

// AppendID appends an id field. The caller answers for id holding no CR, LF or
// NUL; see UsableID.
func AppendID(dst []byte, id string) []byte { return appendField(dst, "id: ", id) }

// AppendRetry appends a retry field, which readers act on at once, before any
// blank line.
func AppendRetry(dst []byte, d time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, max(d.Milliseconds(), 0), 10)
	return append(dst, '\n')
}

// AppendComment appends text as comment lines, or one empty comment. Between
// events it is a heartbeat: no parser makes anything of it.
func AppendComment(dst []byte, text string) []byte {
	dst = append(dst, ':')
	blank := text != ""
	for i := 0; i < len(text); i++ {
		if blank {
			dst = append(dst, ' ')
			blank = false
		}
		if c := text[i]; c == '\n' || c == '\r' {
			dst = append(dst, '\n', ':')
			blank = true
			continue
		}
		dst = append(dst, text[i])
	}
	return append(dst, '\n')
}

// appendData appends one data line for each line of data, whichever line end
// separates them. The space after the colon is the one that a parser takes
// away, so lines keep theirs.
func appendData(dst, data []byte) []byte {
	var l lines
	l.reset(data)
	for {
		line, ended := l.next()
		if !ended {
			line = l.rest()
		}
		if len(line) == 0 {
			dst = append(dst, "data:\n"...)
		} else {
			dst = append(dst, "data: "...)
			dst = append(dst, line...)
			dst = append(dst, '\n')
		}
		if !ended {
			return dst
		}
	}
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, value...)
	return append(dst, '\n')
}
