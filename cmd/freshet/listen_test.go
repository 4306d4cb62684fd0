package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"freshet/cmd/freshet/config"
)

func TestOpenListenersTellsAll(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	_, err = openListeners(config.Listen{Public: address, Plain: "127.0.0.1:0", Admin: "192.0.2.1:1"})
	want := "listen.public: " + address + " is in use by another program; choose another with -public HOST:PORT\n" +
		"listen.admin: 192.0.2.1:1 is not an address of this machine"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

func TestExplainListen(t *testing.T) {
	denied := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}
	unknown := &net.OpError{Op: "listen", Err: &net.DNSError{Err: "no such host", Name: "nowhere.test"}}
	for err, want := range map[error]string{
		denied:            "no permission to listen on x:443; choose a port above 1023",
		unknown:           "the host of x:443 is unknown: no such host",
		fmt.Errorf("odd"): "listen.plain: odd",
	} {
		if got := explainListen("plain", "x:443", err).Error(); !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%v: %q does not say %q", err, got, want)
		}
	}
}

// addressed is a listener that is only asked where it is.
type addressed struct {
	net.Listener
	at net.TCPAddr
}

func (a addressed) Addr() net.Addr { return &a.at }

func TestListenerURL(t *testing.T) {
	for _, c := range []struct {
		scheme, ip string
		port       int
		want       string
	}{
		{"http", "127.0.0.1", 8080, "http://127.0.0.1:8080"},
		{"http", "::", 8080, "http://localhost:8080"},
		{"http", "0.0.0.0", 80, "http://localhost"},
		{"https", "127.0.0.1", 8443, "https://localhost:8443"},
		{"https", "192.0.2.1", 443, "https://192.0.2.1"},
		{"https", "2001:db8::1", 80, "https://[2001:db8::1]:80"},
		{"http", "192.0.2.1", 443, "http://192.0.2.1:443"},
	} {
		l := addressed{at: net.TCPAddr{IP: net.ParseIP(c.ip), Port: c.port}}
		if got := listenerURL(c.scheme, l); got != c.want {
			t.Errorf("%s on %v: %s, want %s", c.scheme, l.at.String(), got, c.want)
		}
	}
}
