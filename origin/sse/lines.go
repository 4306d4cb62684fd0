package sse

import "bytes"

// lines cuts text at CR, LF and CRLF. It looks for both at memory speed, and at
// each byte once, whichever of the two the text uses.
type lines struct {
	text   []byte
	pos    int // where the next line begins
	lf     int // the first LF at or after pos, or len(text); not known while < pos
	skipLF bool
}

// reset begins a new text. A CR that ended the last text pairs with an LF that
// begins this one.
func (l *lines) reset(text []byte) {
	l.text, l.pos, l.lf = text, 0, -1
}

// next returns the next line without its end, or false if the text holds no
// further line end.
func (l *lines) next() ([]byte, bool) {
	if l.skipLF && l.pos < len(l.text) {
		l.skipLF = false
		if l.text[l.pos] == '\n' {
			l.pos++
		}
	}
	if l.lf < l.pos {
		l.lf = len(l.text)
		if i := bytes.IndexByte(l.text[l.pos:], '\n'); i >= 0 {
			l.lf = l.pos + i
		}
	}
	start := l.pos
	line := l.text[start:l.lf]
	if i := bytes.IndexByte(line, '\r'); i >= 0 {
		l.pos = start + i + 1
		l.skipLF = true
		return line[:i], true
	}
	if l.lf == len(l.text) {
		return nil, false
	}
	l.pos = l.lf + 1
	return line, true
}

// rest returns what follows the last line end and consumes it.
func (l *lines) rest() []byte {
	rest := l.text[l.pos:]
	l.pos = len(l.text)
	return rest
}
