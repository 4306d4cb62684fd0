package h2

import (
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A Scratch holds what reading needs only for the length of a call of Receive, and the
// limits. One is shared by all connections of a loop.
type Scratch struct {
	limits limits
	epoch  time.Time // the first time that Receive was given; budgets count seconds from it

	framer *http2.Framer // of whole frames; a header block is one frame for it, however many it came in
	input  frameInput    // what framer reads

	// plain decodes for every connection whose peer obeyed our SETTINGS_HEADER_TABLE_SIZE
	// of 0: without a dynamic table a decoder knows nothing from one block to the next.
	plain *hpack.Decoder
}

// NewScratch returns a Scratch for connections that keep to cfg, which nil makes all defaults.
func NewScratch(cfg *Config) *Scratch {
	if cfg == nil {
		cfg = new(Config)
	}
	s := &Scratch{limits: cfg.limits()}
	s.plain = hpack.NewDecoder(0, func(hpack.HeaderField) {})
	s.framer = http2.NewFramer(nil, &s.input)
	s.framer.SetReuseFrames()
	s.framer.SetMaxReadFrameSize(uint32(max(s.limits.block, maxFrame)))
	// Twice what is promised, so that a list or a string that is too long by less
	// than that can be told from an attack and be answered 431.
	s.framer.MaxHeaderListSize = 2 * s.limits.headerList
	return s
}

// read returns one whole frame. It is valid until the next call. Its header blocks are decoded by dec.
func (s *Scratch) read(head *[frameHead]byte, payload []byte, dec *hpack.Decoder) (http2.Frame, error) {
	s.input = frameInput{head: *head, payload: payload}
	s.framer.ReadMetaHeaders = dec
	f, err := s.framer.ReadFrame()
	if err != nil {
		_ = s.plain.Close() // so that a block which one connection left undecoded ends with it
	}
	s.input.payload = nil
	s.framer.ReadMetaHeaders = nil
	return f, err
}

// second is the number of whole seconds from the first time seen to now.
func (s *Scratch) second(now time.Time) uint32 {
	if s.epoch.IsZero() {
		s.epoch = now
	}
	return uint32(max(0, now.Sub(s.epoch)/time.Second))
}

// A frameInput is one frame, its header and its payload in two places.
type frameInput struct {
	head    [frameHead]byte
	read    int // of head
	payload []byte
}

func (in *frameInput) Read(p []byte) (int, error) {
	if in.read < frameHead {
		n := copy(p, in.head[in.read:])
		in.read += n
		return n, nil
	}
	n := copy(p, in.payload)
	in.payload = in.payload[n:]
	if n == 0 && len(p) > 0 {
		return 0, errShortFrame
	}
	return n, nil
}
