package netloop

import (
	"net"
	"net/netip"
	"testing"
)

// Whoever takes a place, and however it came, all count together.
func TestPlaces(t *testing.T) {
	p := NewPlaces(4, 0.5)
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for range 2 {
		if !p.Take() || !p.Claim(one) {
			t.Fatal("an address does not get its share")
		}
	}
	if !p.Take() || p.Claim(one) {
		t.Error("an address gets more than its share")
	}
	if !p.Claim(other) {
		t.Error("another address does not get its share")
	}
	if !p.Take() || p.Take() || p.Taken() != 4 {
		t.Errorf("%d of 4 places are taken", p.Taken())
	}
	p.Yield(one)
	p.Give()
	if !p.Take() || !p.Claim(one) {
		t.Error("a place that was given back is not there")
	}
	for range 2 {
		p.Yield(one)
	}
	p.Yield(other)
	if len(p.addresses) != 0 {
		t.Errorf("addresses are left: %v", p.addresses)
	}
}

func TestSourceOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::",
	} {
		for _, addr := range []net.Addr{&net.TCPAddr{IP: net.ParseIP(in)}, &net.UDPAddr{IP: net.ParseIP(in)}} {
			if got := SourceOf(addr); got.String() != want {
				t.Errorf("%s by %s counts as %v, want %s", in, addr.Network(), got, want)
			}
		}
	}
	if got := SourceOf(inProcess{}); got.IsValid() {
		t.Errorf("no address counts as %v", got)
	}
}
