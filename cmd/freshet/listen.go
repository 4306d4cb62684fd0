package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"freshet/cmd/freshet/config"
)

// listeners are the relay's sockets. One that is off is nil.
type listeners struct {
	public, plain, admin net.Listener
	http3                net.PacketConn
}

// openListeners opens them all, or none and tells everything that is in the way.
func openListeners(c config.Listen) (*listeners, error) {
	l := &listeners{}
	var all []error
	for _, want := range []struct {
		name, address string
		listener      *net.Listener
	}{
		{"public", c.Public, &l.public},
		{"plain", c.Plain, &l.plain},
		{"admin", c.Admin, &l.admin},
	} {
		if want.address == "" {
			continue
		}
		opened, err := net.Listen("tcp", want.address)
		if err != nil {
			all = append(all, explainListen(want.name, want.address, err))
			continue
		}
		*want.listener = opened
	}
	if c.HTTP3 && l.public != nil {
		if err := l.openHTTP3(c.Public); err != nil {
			all = append(all, err)
		}
	}
	if len(all) > 0 {
		l.close()
		return nil, errors.Join(all...)
	}
	return l, nil
}

// openHTTP3 opens the UDP port of the public listener's number. Where any number would do,
// it looks for one that is free for both.
func (l *listeners) openHTTP3(address string) error {
	for again := 10; ; again-- {
		opened, err := net.ListenPacket("udp", l.public.Addr().String())
		if err == nil {
			l.http3 = opened
			return nil
		}
		if !strings.HasSuffix(address, ":0") || again == 0 {
			return fmt.Errorf("listen.http3: cannot listen on UDP %s beside the public listener: %w; turn HTTP/3 off with -set listen.http3=false", l.public.Addr(), err)
		}
		other, err := net.Listen("tcp", address)
		if err != nil {
			return explainListen("public", address, err)
		}
		l.public.Close()
		l.public = other
	}
}

// close closes those that are open; nil is none.
func (l *listeners) close() {
	if l == nil {
		return
	}
	for _, open := range []net.Listener{l.public, l.plain, l.admin} {
		if open != nil {
			open.Close()
		}
	}
	if l.http3 != nil {
		l.http3.Close()
	}
}

// explainListen says in one line what is wrong and what to do about it.
func explainListen(name, address string, err error) error {
	return explainAddress("listen."+name, "-"+name+" HOST:PORT", address, err)
}

// explainAddress does it for any setting, which other chooses another address for.
func explainAddress(setting, other, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s is in use by another program; choose another with %s", setting, address, other)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: no permission to listen on %s; choose a port above 1023, or grant CAP_NET_BIND_SERVICE", setting, address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %s is not an address of this machine", setting, address)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("%s: the host of %s is unknown: %s", setting, address, dns.Err)
	}
	return fmt.Errorf("%s: %w", setting, err)
}

// listenerURL is where a browser on this machine would find the listener.
func listenerURL(scheme string, l net.Listener) string {
	if l == nil {
		return ""
	}
	address := l.Addr().String()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return scheme + "://" + address
	}
	if ip := net.ParseIP(host); ip != nil && (ip.IsUnspecified() || scheme == "https" && ip.IsLoopback()) {
		host = "localhost" // where anything listens to all addresses; and a name is what certificates are for
	}
	return scheme + "://" + strings.TrimSuffix(net.JoinHostPort(host, port), defaultPort(scheme))
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return ":443"
	}
	return ":80"
}
