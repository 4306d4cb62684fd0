package cluster

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// handshake runs TLS between two identities and says how both sides ended.
func handshake(t *testing.T, client, server *linkIdentity, peer string) (error, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a pipe has no buffer: both sides would wait with an alert each
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	served := make(chan error, 1)
	go func() {
		s := tls.Server(b, server.server())
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		b.Close()
		served <- err
	}()
	c := tls.Client(a, client.client(peer))
	err = c.Handshake()
	if err == nil {
		_, err = c.Read(make([]byte, 1)) // a server's refusal of the client's certificate comes after its handshake
	}
	a.Close()
	return err, <-served
}

func TestDerivedIdentity(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	identity := func(name string, keys ...[]byte) *linkIdentity {
		id, err := deriveIdentity(name, keys)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	a, _, err := deriveAuthority(key(1))
	if err != nil {
		t.Fatal(err)
	}
	if b, _, _ := deriveAuthority(key(1)); !bytes.Equal(a.Raw, b.Raw) {
		t.Error("one key, two authorities")
	}
	for _, c := range []struct {
		what           string
		client, server *linkIdentity
		peer           string
		ok             bool
	}{
		{"one key", identity("a", key(1)), identity("b", key(1)), "b", true},
		{"another name", identity("a", key(1)), identity("b", key(1)), "c", false},
		{"another key", identity("a", key(1)), identity("b", key(2)), "b", false},
		{"rotation, the new one dials", identity("a", key(2), key(1)), identity("b", key(1), key(2)), "b", true},
		{"rotation, half way", identity("a", key(2), key(1)), identity("b", key(1)), "b", false},
	} {
		cerr, serr := handshake(t, c.client, c.server, c.peer)
		if ok := cerr == nil && serr == nil; ok != c.ok {
			t.Errorf("%s: client %v, server %v", c.what, cerr, serr)
		}
	}
}

// ownAuthority is an operator's: it signs certificates for relays, as files.
type ownAuthority struct {
	dir         string
	certificate *x509.Certificate
	signer      ed25519.PrivateKey
}

func newOwnAuthority(t *testing.T) *ownAuthority {
	t.Helper()
	seed := make([]byte, 32)
	rand.Read(seed)
	c, signer, err := deriveAuthority(seed)
	if err != nil {
		t.Fatal(err)
	}
	a := &ownAuthority{t.TempDir(), c, signer}
	a.write(t, "ca.pem", "CERTIFICATE", c.Raw)
	return a
}

func (a *ownAuthority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *ownAuthority) files(t *testing.T, name string) TLSFiles {
	t.Helper()
	c, err := issue(name, a.certificate, a.signer)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return TLSFiles{
		Cert: a.write(t, name+".pem", "CERTIFICATE", c.Certificate[0]),
		Key:  a.write(t, name+".key", "PRIVATE KEY", key),
		CA:   filepath.Join(a.dir, "ca.pem"),
	}
}

// TestOwnAuthority: with cluster.tls the authority decides who may link, whoever has the key of gossip.
func TestOwnAuthority(t *testing.T) {
	ours, others := newOwnAuthority(t), newOwnAuthority(t)
	onNetwork(t, 0, func(t *testing.T, c *testCluster) {
		files := map[string]TLSFiles{"r1": ours.files(t, "any.name"), "r2": ours.files(t, "another"), "r3": others.files(t, "r3"), "r4": {}}
		for _, name := range []string{"r1", "r2", "r3", "r4"} {
			c.add(name, func(n *Node) { n.TLS = files[name] })
		}
		for _, r := range c.relays[:2] {
			r.waitMembers(t, 2)
		}
		time.Sleep(time.Minute)
		for _, r := range c.relays {
			s, err := r.Status(t.Context())
			if err != nil || len(s.Members) != 4 {
				t.Fatalf("%s: %+v, %v", r.Name, s, err)
			}
			for _, m := range s.Members {
				if want := r.Name+m.Name == "r1r2" || r.Name+m.Name == "r2r1"; want != (m.Link != nil) {
					t.Errorf("%s has a link to %s: %v", r.Name, m.Name, m.Link != nil)
				}
			}
		}
		for _, pair := range [][2]int{{0, 2}, {2, 0}, {3, 0}} {
			a, b := c.relays[pair[0]], c.relays[pair[1]]
			address := c.net.Host(b.Name).Addr().String() + ":7947"
			if err := a.links.connect(t.Context(), b.Name, address); err == nil {
				t.Errorf("%s linked to %s", a.Name, b.Name)
			}
		}
	})
}

func TestTLSFiles(t *testing.T) {
	files := newOwnAuthority(t).files(t, "a")
	for want, change := range map[string]func(*Node){
		"cluster.tls.ca: open":             func(n *Node) { n.TLS.CA += "x" },
		"cluster.tls.ca: no certificate":   func(n *Node) { n.TLS.CA = n.TLS.Key },
		"cluster.tls.cert and .key: open":  func(n *Node) { n.TLS.Cert += "x" },
		"cluster.gossip is 0.0.0.0:1":      func(n *Node) { n.Gossip = "0.0.0.0:1" }, // certificates are for links
		"":                                 func(n *Node) { n.Links = "0.0.0.0:1" },
		"cluster.key: key 1 has 31 bytes,": func(n *Node) { n.Keys = [][]byte{make([]byte, 31)} },
	} {
		n := New("a", newShelf())
		n.TLS = files
		change(n)
		if err := n.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestRotation gives a cluster another key, one relay after the other, in three rounds: accept it, use it, forget the old one.
func TestRotation(t *testing.T) { onNetwork(t, 3, testRotation) }

func testRotation(t *testing.T, c *testCluster) {
	past, next := c.keys[0], bytes.Repeat([]byte{9}, 32)
	for _, keys := range [][][]byte{{past, next}, {next, past}, {next}} {
		for range 3 {
			old := c.relays[0]
			old.stop()
			c.relays = c.relays[1:]
			c.add(old.Name, func(n *Node) { n.Keys = keys })
			for _, r := range c.relays {
				r.waitMembers(t, 3)
			}
		}
	}
	if err := c.relays[0].publish(t.Context(), "t", "k"); err != nil {
		t.Error(err)
	}
	late := c.add("r4") // with the old key
	time.Sleep(time.Minute)
	late.waitMembers(t, 1)
}
