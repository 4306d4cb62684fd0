//go:build linux

package bench

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// packed reads a compressed stream. To decode ten thousand would measure the decoder, so most are only counted: every
// event ends in an empty stored block (RFC 1951, section 3.2.4), whose last four bytes nothing else is likely to have.
// One in keepEvery is kept, and decoded when all is over. Latencies are not known.
type packed struct {
	topic int
	last  uint32 // the last four bytes
	keep  bool
	all   []byte // if kept
	open  bool   // the opening block has come
}

const keepEvery = 100

const flushMark = 0x0000ffff

func (k *packed) receive(p []byte, t *tally) {
	if k.keep {
		k.all = append(k.all, p...)
	}
	last := k.last
	for _, c := range p {
		if last = last<<8 | uint32(c); last != flushMark {
			continue
		}
		if k.open {
			t.delivered++
		} else {
			k.open = true
			t.opened++
		}
	}
	k.last = last
}

// decode checks the streams that were kept: t gets what was lost, doubled or foreign in them.
func (r *run) decode(p *publisher, t *tally) {
	for _, reading := range r.pollers {
		reading.guard.Lock()
		defer reading.guard.Unlock()
	}
	for _, k := range r.kept {
		got, s := tally{}, subscriber{next: 1}
		text, err := k.text()
		if err != nil {
			r.failed(fmt.Errorf("decode a stream: %w", err))
			continue
		}
		s.receive(text, 0, &got)
		t.lost += got.lost + p.published[k.topic] - min(p.published[k.topic], got.delivered)
		t.doubled += got.doubled
		t.foreign += got.foreign
		t.gaps += got.gaps
	}
}

func (k *packed) text() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(k.all))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	if !errors.Is(err, io.ErrUnexpectedEOF) { // the stream has not ended
		return nil, err
	}
	return text, nil
}

// appendIncident appends text like that of a match.
func appendIncident(dst []byte, n uint64) []byte {
	seed := n * 0x9e3779b97f4a7c15
	pick := func(words ...string) string {
		seed ^= seed >> 29
		seed *= 0xbf58476d1ce4e5b9
		return words[seed>>32%uint64(len(words))]
	}
	seconds := n % 5400
	dst = fmt.Appendf(dst, `{"match":"match-42","minute":%d,"second":%d,"kind":"%s","team":"%s","player":%d,"x":%.1f,"score":{"home":%d,"away":%d}}`,
		seconds/60, seconds%60, pick("shot", "corner", "foul", "throw-in", "offside", "goal-kick"), pick("Northport", "Ashvale"),
		1+seed>>40%23, float64(seed>>20%1050)/10, n/900, n/1500)
	return dst
}
