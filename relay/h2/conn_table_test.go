package h2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// early is a peer whose first request, with a dynamic table, is sent before it has our SETTINGS.
func early(t *testing.T) *peer {
	t.Helper()
	p := newPeer(t, nil)
	p.wire.WriteString(http2.ClientPreface)
	_ = p.WriteSettings()
	p.request(1, true, "user-agent: puppet")
	p.request(3, true, "user-agent: puppet")
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.events = nil
	p.answers()
	return p
}

func TestTableUntilAck(t *testing.T) {
	p := early(t)
	if p.conn.decoder == nil {
		t.Fatal("no decoder")
	}
	_ = p.WriteSettingsAck()
	_ = p.send()
	if p.conn.decoder != nil {
		t.Fatal("the decoder outlives its table")
	}
	p.encoder.SetMaxDynamicTableSize(0)
	p.request(5, true, "user-agent: puppet")
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	if !p.conn.tableless || p.conn.decoder != nil {
		t.Fatal("a peer that gave up its table still has one")
	}
	p.request(7, true, "user-agent: puppet")
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantEvents("request 5 GET /events/a end", "request 7 GET /events/a end")

	// It cannot take that back.
	p.headers(9, true, append([]byte{0x3f, 0xe1, 0x1f}, p.fields(":method: GET")...))
	_ = p.send()
	p.wantEnd(http2.ErrCodeCompression, "")
}

// TestTableOfThoseWhoNeverRead: a peer that ignores SETTINGS_HEADER_TABLE_SIZE, but had nothing in
// its table before, keeps working.
func TestTableOfThoseWhoNeverRead(t *testing.T) {
	p := newPeer(t, nil)
	p.wire.WriteString(http2.ClientPreface)
	_ = p.WriteSettings()
	_ = p.WriteSettingsAck()
	for id := uint32(1); id < 9; id += 2 {
		p.request(id, true, "user-agent: puppet")
	}
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	if len(p.events) != 4 || p.conn.decoder == nil {
		t.Fatalf("events %q, decoder %v", p.events, p.conn.decoder)
	}
	// One that uses a dead table's entries does not.
	p = early(t)
	_ = p.WriteSettingsAck()
	p.request(5, true, "user-agent: puppet")
	_ = p.send()
	p.wantEnd(http2.ErrCodeCompression, "")
}

// TestTableOfThoseWhoNeedNone: nothing stays of a decoder that learnt nothing.
func TestTableOfThoseWhoNeedNone(t *testing.T) {
	p := newPeer(t, nil)
	p.wire.WriteString(http2.ClientPreface)
	_ = p.WriteSettings()
	_ = p.WriteSettingsAck()
	block := AppendFields(nil, 0, []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}})
	p.headers(1, true, block)
	if err := p.send(); err != nil {
		t.Fatal(err)
	}
	p.wantEvents("request 1 GET / end")
	if p.conn.decoder != nil {
		t.Fatal("a decoder is kept")
	}
}

func TestTableSizeErrors(t *testing.T) {
	get := string([]byte{0x82, 0x86, 0x84}) // GET, http, /
	for name, c := range map[string]struct {
		block string
		ok    bool
	}{
		"none":               {get, true},
		"zero":               {"\x20" + get, true},
		"two at the head":    {"\x20\x3f\xe1\x1f" + get, true},
		"less than an entry": {"\x21" + get, false},
		"more than ever":     {"\x3f\xe2\x1f" + get, false},
		"at the end":         {get + "\x20", false},
		"behind a literal":   {get + "\x00\x01a\x01b\x20", false},
		"behind an indexed":  {get + "\x40\x81\x1f\x01b\x20", false},
		"index 0":            {get + "\x80", false},
		"beyond the table":   {get + "\xbe", false},
		"truncated":          {get + "\x00\x05a", false},
		"huge integer":       {get + "\xff" + strings.Repeat("\xff", 12) + "\x01", false},
	} {
		t.Run(name, func(t *testing.T) {
			scratch := NewScratch(nil)
			for _, flags := range []http2.Flags{0, http2.FlagHeadersPadded, http2.FlagHeadersPriority, http2.FlagHeadersPadded | http2.FlagHeadersPriority} {
				p := newPeer(t, nil)
				p.conn = New(scratch, p)
				p.wire.WriteString(http2.ClientPreface)
				_ = p.WriteSettings()
				_ = p.WriteSettingsAck()
				payload := []byte(c.block)
				if flags.Has(http2.FlagHeadersPriority) {
					payload = append([]byte{0, 0, 0, 0, 20}, payload...)
				}
				if flags.Has(http2.FlagHeadersPadded) {
					payload = append(append([]byte{3}, payload...), 0x20, 0x20, 0x20)
				}
				p.wire.Write(rawFrame(http2.FrameHeaders, flags|http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, 1, payload))
				if err := p.send(); c.ok {
					if err != nil {
						t.Fatal(err)
					}
					p.wantEvents("request 1 GET / end")
					continue
				}
				p.wantEnd(http2.ErrCodeCompression, "")
			}
			// The Scratch is as good as new for the next connection.
			p := newPeer(t, nil)
			p.conn = New(scratch, p)
			p.wire.WriteString(http2.ClientPreface)
			_ = p.WriteSettings()
			_ = p.WriteSettingsAck()
			p.encoder.SetMaxDynamicTableSize(0)
			p.request(1, true)
			p.request(3, true)
			if err := p.send(); err != nil {
				t.Fatal(err)
			}
			p.wantEvents("request 1 GET /events/a end", "request 3 GET /events/a end")
		})
	}
}

// TestSharedDecoderKeepsNothing: what one connection did to the decoder that it shares, even by a
// block that ends in the middle, is nothing to another.
func TestSharedDecoderKeepsNothing(t *testing.T) {
	scratch := NewScratch(nil)
	join := func() *peer {
		p := newPeer(t, nil)
		p.conn = New(scratch, p)
		p.wire.WriteString(http2.ClientPreface)
		_ = p.WriteSettings()
		_ = p.WriteSettingsAck()
		p.headers(1, true, []byte{0x20, 0x82, 0x86, 0x84})
		if err := p.send(); err != nil {
			t.Fatal(err)
		}
		if !p.conn.tableless {
			t.Fatal("not on the shared decoder")
		}
		p.events = nil
		p.answers()
		return p
	}
	good := join()
	for _, bad := range []string{"\x82\x86\x84\x00\x7f", "\x40\x01a\x01b\x82", "\xff", "\x3f\xe1\x1f"} {
		p := join()
		p.headers(3, true, []byte(bad))
		_ = p.send()
		good.headers(good.conn.lastID+2, true, []byte{0x82, 0x86, 0x84})
		if err := good.send(); err != nil {
			t.Fatalf("after %q elsewhere: %v", bad, err)
		}
		good.wantEvents("request " + itoa(good.conn.lastID) + " GET / end")
	}
	good.headers(good.conn.lastID+2, true, []byte{0x82, 0x86, 0x84, 0xbe})
	_ = good.send()
	good.wantEnd(http2.ErrCodeCompression, "")
}
