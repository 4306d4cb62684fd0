package h2

import "golang.org/x/net/http2"

// firstTable is SETTINGS_HEADER_TABLE_SIZE until the peer knows ours, which is 0.
const firstTable = 4096

// smallestEntry is the size of an empty field in a dynamic table (RFC 7541 4.1).
const smallestEntry = 32

// useTable obeys what a header block that has been decoded says about the dynamic table.
//
// A peer that has one must, once it has acknowledged our SETTINGS, begin its next block by
// saying that the table's size is 0 (RFC 7541 4.2). One that does not never read the setting,
// h2spec for one: it may go on with a table of up to the size that every peer is born with. A size that
// is neither 0 nor of any use is still the error that RFC 7541 6.3 asks for. fresh says
// that our decoder's table was empty before the block.
func (c *Conn) useTable(t tableUse, fresh bool) error {
	switch {
	case t.misplaced:
		return c.fail(http2.ErrCodeCompression, "table size update within a header block")
	case !c.acked:
	case t.sliver:
		return c.fail(http2.ErrCodeCompression, "table size update above SETTINGS_HEADER_TABLE_SIZE, 0")
	case t.resized && t.last == 0:
		c.tableless = true
		c.decoder = nil
	case fresh && !t.inserts: // many clients never use a table, nor say so
		c.decoder = nil
	}
	return nil
}

// A tableUse is what a header block does with the peer's dynamic table.
type tableUse struct {
	last      uint64 // the last size update's value
	resized   bool   // there is one
	misplaced bool   // one comes behind a field
	sliver    bool   // one is not 0, and too small for any entry
	inserts   bool   // a field is added to the table
}

// findTableUse looks through a header block that has been decoded. Size updates must come
// before all fields (RFC 7541 4.2), but hpack.Decoder enforces that only while its table is
// not empty, and ours mostly is. And it tells nobody of those it obeys.
func findTableUse(p []byte, f http2.Flags) (t tableUse) {
	if f.Has(http2.FlagHeadersPadded) {
		p, _ = unpad(p)
	}
	if f.Has(http2.FlagHeadersPriority) && len(p) >= 5 {
		p = p[5:]
	}
	fields := false
	for len(p) > 0 {
		var name uint64
		switch b := p[0]; {
		case b&0x80 != 0: // indexed
			_, p = integer(p, 7)
			fields = true
			continue
		case b&0xe0 == 0x20: // size update
			t.last, p = integer(p, 5)
			t.resized = true
			t.sliver = t.sliver || t.last != 0 && t.last < smallestEntry
			t.misplaced = t.misplaced || fields
			continue
		case b&0x40 != 0: // literal with indexing
			name, p = integer(p, 6)
			t.inserts = true
		default: // literal without
			name, p = integer(p, 4)
		}
		fields = true
		if name == 0 {
			p = skipString(p)
		}
		p = skipString(p)
	}
	return t
}

// integer decodes what a Decoder has taken already.
func integer(p []byte, bits uint) (v uint64, rest []byte) {
	full := uint64(1)<<bits - 1
	v = uint64(p[0]) & full
	p = p[1:]
	if v < full {
		return v, p
	}
	for shift := 0; len(p) > 0; shift += 7 {
		b := p[0]
		p = p[1:]
		v += uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
	}
	return v, p
}

func skipString(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	n, p := integer(p, 7)
	return p[min(n, uint64(len(p))):]
}
