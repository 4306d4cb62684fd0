package cluster

import (
	"net"
	"strings"
	"testing"

	"freshet/cluster/agree"
)

func TestMetadata(t *testing.T) {
	d := metadata{protocol: 1, role: agree.Hub, state: agree.Draining, region: "eu-west", link: "10.0.0.1:7947"}
	b := d.append(nil)
	got, err := parseMetadata(append(b, "of a later version"...))
	if err != nil || got != d {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(b) {
		if got, err := parseMetadata(b[:n]); err == nil {
			t.Errorf("%d of %d bytes read as %+v", n, len(b), got)
		}
	}
	open := metadata{link: "[::]:7947"}.member("a", net.IPv4(10, 1, 2, 3))
	if open.Link != "10.1.2.3:7947" {
		t.Errorf("an unspecified host becomes %q", open.Link)
	}
}

// TestNames: what gossip could not carry is refused before anything starts, by the name of its field.
func TestNames(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	for _, c := range []struct {
		m    *Members
		link string
		want string
	}{
		{&Members{Name: "a"}, "10.0.0.1:7947", ""},
		{&Members{Name: long[1:], Region: long[1:], Cluster: strings.Repeat("l", 255)}, "[fe80::1]:7947", ""},
		{&Members{}, "", "cluster.name is empty"},
		{&Members{Name: long}, "", "cluster.name has 129 bytes, at most 128"},
		{&Members{Name: "a", Region: long}, "", "cluster.region has 129 bytes, at most 128"},
		{&Members{Name: "a", Cluster: strings.Repeat("l", 256)}, "", "cluster.label has 256 bytes, at most 255"},
		{&Members{Name: "a\r\nb"}, "", `cluster.name "a\r\nb" is not one word`},
		{&Members{Name: "a", Region: "eu west"}, "", `cluster.region "eu west" is not one word`},
		{&Members{Name: "a"}, strings.Repeat("h", 600) + ":7947", "cluster.links"},
	} {
		c.m.linkAt = c.link
		err := c.m.check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.m, err, c.want)
		}
		if n := len(c.m.metadata().append(nil)); err == nil && n > maxMetadata {
			t.Errorf("%d bytes of metadata passed", n)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(metadata{region: "eu", link: "a:1"}.append(nil))
	f.Add([]byte{1, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseMetadata(b)
		if err != nil {
			return
		}
		if again, err := parseMetadata(d.append(nil)); err != nil || again != d {
			t.Errorf("%+v, then %+v, %v", d, again, err)
		}
	})
}
