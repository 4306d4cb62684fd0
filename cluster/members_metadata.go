package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/hashicorp/memberlist"

	"freshet/cluster/agree"
)

// metadata is what a relay says of itself by gossip, beside its name and address. Its wire form is a version, the three
// small values, and the texts behind their lengths; later versions only add at the end, and readers ignore what they do
// not know, so that old and new relays live together during an upgrade.
type metadata struct {
	protocol uint8
	role     agree.Role
	state    agree.State
	region   string
	link     string // address; an empty or unspecified host means the one that the relay gossips from
}

const metadataVersion = 1

const (
	maxMetadata = memberlist.MetaMaxSize // 512
	maxName     = 128                    // bytes of a relay's or a region's name; every packet of gossip repeats the former
)

func (m *Members) metadata() metadata {
	m.mu.Lock()
	defer m.mu.Unlock()
	return metadata{m.Protocol, m.Role, m.state, m.Region, m.linkAt}
}

// check refuses what gossip cannot carry.
func (m *Members) check() error {
	for _, f := range [...]struct {
		field, text string
		most        int
	}{{"cluster.name", m.Name, maxName}, {"cluster.region", m.Region, maxName}, {"cluster.label", m.Cluster, memberlist.LabelMaxSize}} {
		if len(f.text) > f.most {
			return fmt.Errorf("%s has %d bytes, at most %d are taken", f.field, len(f.text), f.most)
		}
		if strings.ContainsFunc(f.text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("%s %q is not one word of visible ASCII characters", f.field, f.text)
		}
	}
	if m.Name == "" {
		return errors.New("cluster.name is empty")
	}
	if n := len(m.metadata().append(nil)); n > maxMetadata {
		return fmt.Errorf("cluster.links: the address %q is too long: with cluster.region it takes %d bytes in gossip, at most %d fit", m.linkAt, n, maxMetadata)
	}
	return nil
}

func (d metadata) append(b []byte) []byte {
	b = append(b, metadataVersion, d.protocol, uint8(d.role), uint8(d.state))
	for _, s := range [...]string{d.region, d.link} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

var errMetadata = errors.New("not a relay's metadata")

func parseMetadata(b []byte) (metadata, error) {
	if len(b) < 4 || b[0] < metadataVersion || agree.Role(b[2]) > agree.Edge || agree.State(b[3]) > agree.Draining {
		return metadata{}, errMetadata
	}
	d := metadata{protocol: b[1], role: agree.Role(b[2]), state: agree.State(b[3])}
	b = b[4:]
	for _, s := range [...]*string{&d.region, &d.link} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return metadata{}, errMetadata
		}
		*s = string(b[size : size+int(n)])
		b = b[size+int(n):]
	}
	return d, nil
}

// member completes the metadata by what gossip knows.
func (d metadata) member(name string, addr net.IP) Member {
	link := d.link
	if host, port, err := net.SplitHostPort(link); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			link = net.JoinHostPort(addr.String(), port)
		}
	}
	return Member{
		Member:   agree.Member{Name: name, Region: d.region, Role: d.role, State: d.state},
		Link:     link,
		Protocol: d.protocol,
	}
}
