package sse

import "unicode/utf8"

// replaceInvalid decodes a value as browsers do: each maximal part of bytes that could
// begin a character but does not become one is a U+FFFD (WHATWG Encoding,
// section 4.1). To decode line by line is the same as to decode the stream,
// for no line end is ever part of a character.
func replaceInvalid(value []byte) []byte {
	out := make([]byte, 0, len(value)+8)
	for len(value) > 0 {
		if r, n := utf8.DecodeRune(value); r != utf8.RuneError || n > 1 {
			out = append(out, value[:n]...)
			value = value[n:]
			continue
		}
		out = append(out, "\uFFFD"...)
		value = value[badPrefix(value):]
	}
	return out
}

// badPrefix returns how many bytes at the head of p, which does not begin with
// a character, one U+FFFD stands for.
func badPrefix(p []byte) int {
	need, low, high := 0, byte(0x80), byte(0xBF)
	switch c := p[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	}
	n := 1
	for n <= need && n < len(p) && p[n] >= low && p[n] <= high {
		low, high = 0x80, 0xBF
		n++
	}
	return n
}
