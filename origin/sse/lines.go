package sse

import "bytes"

// lines cuts text at CR, LF and CRLF. It looks for both at memory speed, and at
// each byte once for each, whichever of the two the text uses.
type lines struct {
	text   []byte
	pos    int // where the next line begins
	lf, cr int // the first of each at or after pos, or len(text); not known while < pos
	skipLF bool
}

// reset begins a new text. A CR that ended the last text pairs with an LF that
// begins this one.
func (l *lines) reset(text []byte) {
	l.text, l.pos, l.lf, l.cr = text, 0, -1, -1
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
	start := l.pos
	if l.lf < start {
		l.lf = find(l.text, start, '\n')
	}
	if l.cr < start {
		l.cr = find(l.text, start, '\r')
	}
	end := l.lf
	if l.cr < end {
		end = l.cr
		l.skipLF = true
	} else if end == len(l.text) {
		return nil, false
	}
	l.pos = end + 1
	return l.text[start:end], true
}

func find(text []byte, from int, c byte) int {
	if i := bytes.IndexByte(text[from:], c); i >= 0 {
		return from + i
	}
	return len(text)
}

// rest returns what follows the last line end and consumes it.
func (l *lines) rest() []byte {
	rest := l.text[l.pos:]
	l.pos = len(l.text)
	return rest
}
