package sse

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reference reads a whole stream by the words of WHATWG HTML 9.2.6, as plainly
// as they can be written.
func reference(stream []byte) (events []Event, lastID string) {
	text := decodeUTF8(bytes.TrimPrefix(stream, []byte("\xEF\xBB\xBF")))
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	lines := strings.Split(text, "\n")
	var block Event
	var data strings.Builder
	idBuffer := ""
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			lastID = idBuffer
			if data.Len() > 0 {
				block.Data = []byte(strings.TrimSuffix(data.String(), "\n"))
				events = append(events, block)
			}
			block = Event{}
			data.Reset()
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data.WriteString(value + "\n")
		case "event":
			block.Type = value
		case "key":
			block.Key = value
		case "topic":
			block.Topic = value
		case "id":
			if !strings.Contains(value, "\x00") {
				block.ID, idBuffer = value, value
			}
		}
	}
	return events, lastID
}

// decodeUTF8 is the decoder of WHATWG Encoding, section 8.1.1.
func decodeUTF8(p []byte) string {
	var out strings.Builder
	var point rune
	needed, seen := 0, 0
	low, high := byte(0x80), byte(0xBF)
	for i := 0; i < len(p); i++ {
		c := p[i]
		if needed == 0 {
			switch {
			case c < 0x80:
				out.WriteByte(c)
			case c >= 0xC2 && c <= 0xDF:
				needed, point = 1, rune(c&0x1F)
			case c >= 0xE0 && c <= 0xEF:
				if c == 0xE0 {
					low = 0xA0
				}
				if c == 0xED {
					high = 0x9F
				}
				needed, point = 2, rune(c&0xF)
			case c >= 0xF0 && c <= 0xF4:
				if c == 0xF0 {
					low = 0x90
				}
				if c == 0xF4 {
					high = 0x8F
				}
				needed, point = 3, rune(c&7)
			default:
				out.WriteString("\uFFFD")
			}
			continue
		}
		if c < low || c > high {
			needed, seen, low, high = 0, 0, 0x80, 0xBF
			out.WriteString("\uFFFD")
			i-- // the byte is read again
			continue
		}
		low, high = 0x80, 0xBF
		point = point<<6 | rune(c&0x3F)
		if seen++; seen == needed {
			out.WriteRune(point)
			needed, seen = 0, 0
		}
	}
	if needed > 0 {
		out.WriteString("\uFFFD")
	}
	return out.String()
}

// Any bytes, cut anywhere, are the events the standard says, or one clear error.
func FuzzDecoder(f *testing.F) {
	for _, c := range decodings {
		f.Add([]byte(c.text), uint64(len(c.text)))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		want, lastID := reference(stream)
		cuts := rand.New(rand.NewPCG(seed, 1))
		var chunks []string
		for rest := string(stream); rest != ""; {
			n := min(1+cuts.IntN(1+cuts.IntN(40)), len(rest))
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		var d Decoder
		if diff := cmp.Diff(want, decodeAll(&d, chunks...)); diff != "" || d.LastEventID() != lastID {
			t.Errorf("%q: last id %q, want %q; events (-want +got):\n%s", chunks, d.LastEventID(), lastID, diff)
		}
		// Under tight limits: the same events up to an error, whatever the cuts.
		tight := Decoder{MaxEvent: 20, MaxLine: 30}
		cut := decodeAll(&tight, chunks...)
		whole := Decoder{MaxEvent: 20, MaxLine: 30}
		if diff := cmp.Diff(decodeAll(&whole, string(stream)), cut); diff != "" {
			t.Errorf("%q under limits (-whole +cut):\n%s", chunks, diff)
		}
		if (tight.Err() == nil) != (whole.Err() == nil) {
			t.Errorf("%q: error %v when cut, %v when whole", chunks, tight.Err(), whole.Err())
		}
		if cap(tight.line) > 100 || cap(tight.data) > 100 {
			t.Errorf("%q: keeps %d and %d bytes", chunks, cap(tight.line), cap(tight.data))
		}
	})
}

// Whatever can be encoded is read back as the same event.
func FuzzEncoder(f *testing.F) {
	f.Add("1", "goal", "k", "a/b", []byte("a\r\nb\rc\n"))
	f.Add("", "", "", "", []byte{})
	f.Add("\x00", "a\nb", "\r", "\uFEFF", []byte("\xff\n\n\nid: 3"))
	f.Fuzz(func(t *testing.T, id, typ, key, topic string, data []byte) {
		checkRoundTrip(t, Event{ID: id, Type: typ, Key: key, Topic: topic, Data: data})
	})
}

func checkRoundTrip(t interface{ Errorf(string, ...any) }, e Event) {
	b, err := e.Append(nil)
	if err != nil {
		if !strings.ContainsAny(e.ID+e.Type+e.Key+e.Topic, "\r\n\x00") {
			t.Errorf("%+v refused: %v", e, err)
		}
		return
	}
	want := Event{ID: decodeUTF8([]byte(e.ID)), Type: decodeUTF8([]byte(e.Type)), Key: decodeUTF8([]byte(e.Key)), Topic: decodeUTF8([]byte(e.Topic))}
	want.Data = []byte(strings.ReplaceAll(strings.ReplaceAll(decodeUTF8(e.Data), "\r\n", "\n"), "\r", "\n"))
	got, _ := reference(append([]byte("data: before\n\n"), b...))
	if len(got) == 0 {
		t.Errorf("%q: no event", b)
		return
	}
	if diff := cmp.Diff([]Event{want}, got[1:]); diff != "" {
		t.Errorf("%q (-want +got):\n%s", b, diff)
	}
}

func TestRoundTrip(t *testing.T) {
	hostile := rapid.StringOf(rapid.SampledFrom([]rune("ab:\r\n \x00\u00e9\uFEFF\U0001F30A")))
	rapid.Check(t, func(t *rapid.T) {
		e := Event{ID: hostile.Draw(t, "id"), Type: hostile.Draw(t, "type"), Key: hostile.Draw(t, "key"), Topic: hostile.Draw(t, "topic"), Data: []byte(hostile.Draw(t, "data"))}
		checkRoundTrip(t, e)
	})
}

// Streams made of the pieces that matter, rather than of any bytes.
func TestDecodeAgainstReference(t *testing.T) {
	piece := rapid.SampledFrom([]string{"\r", "\n", "\r\n", "\n\n", "data", "data:", "data: ", "id", "id: ", "event: ", "key:", "topic: ", "retry: 1", ":", " ", "a", "\x00", "\xEF\xBB\xBF", "\xE2\x82", "\xAC", "\xF0", "\u00e9"})
	rapid.Check(t, func(t *rapid.T) {
		stream := strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(t, "stream"), "")
		var chunks []string
		for rest := stream; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		want, lastID := reference([]byte(stream))
		var d Decoder
		if diff := cmp.Diff(want, decodeAll(&d, chunks...)); diff != "" || d.LastEventID() != lastID {
			t.Errorf("%q: last id %q, want %q; events (-want +got):\n%s", chunks, d.LastEventID(), lastID, diff)
		}
	})
}

func TestBadPrefixAgreesWithUTF8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.SampledFrom([]byte{'a', 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xE1, 0xED, 0xF0, 0xF1, 0xF4, 0xF5}), 0, 12).Draw(t, "bytes")
		got := string(replaceInvalid(p))
		if want := decodeUTF8(p); got != want || !utf8.ValidString(got) {
			t.Errorf("%x: %q, want %q", p, got, want)
		}
	})
}
