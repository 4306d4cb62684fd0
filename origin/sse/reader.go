package sse

import (
	"io"
	"iter"
)

// A Reader decodes the stream that it reads. The embedded decoder's bounds may
// be set before the first call of Read.
type Reader struct {
	Decoder
	src   io.Reader
	chunk []byte
	fed   bool  // the decoder may hold more events
	err   error // what the source returned
}

// NewReader returns a reader of src. It reads no more than one chunk ahead.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// readChunk is how much a Reader asks for at a time.
const readChunk = 16 << 10

// Read sets ev to the next event. ev.Data is valid until the next call. The
// error is io.EOF when the stream ended between blocks, io.ErrUnexpectedEOF
// when it ended inside one, which is dropped, a *LimitError, or the source's.
func (r *Reader) Read(ev *Event) error {
	if r.chunk == nil {
		r.chunk = make([]byte, readChunk)
	}
	for {
		if r.fed && r.Next(ev) {
			return nil
		}
		if r.fed = false; r.Err() != nil {
			return r.Err()
		}
		if r.err != nil {
			if r.err == io.EOF && r.Partial() {
				return io.ErrUnexpectedEOF
			}
			return r.err
		}
		var n int
		n, r.err = r.src.Read(r.chunk)
		r.Feed(r.chunk[:n])
		r.fed = true
	}
}

// All yields every event of the stream, and last the error that ended it unless
// that is its plain end. The events are the caller's to keep.
func (r *Reader) All() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			var ev Event
			err := r.Read(&ev)
			if err == io.EOF {
				return
			}
			if !yield(ev.Clone(), err) || err != nil {
				return
			}
		}
	}
}
