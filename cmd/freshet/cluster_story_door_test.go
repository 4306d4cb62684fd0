package main

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// A door is where a relay's clients come in, for as long as the test runs: whoever is behind it, it has one address. A
// relay in a test's process can be neither killed nor stopped: its door is.
type door struct {
	listener net.Listener

	mu      sync.Mutex            // guards what follows
	target  string                // who is behind it; empty: it is shut
	open    map[net.Conn]struct{} // both ends of what it carries
	held    bool                  // nothing goes through, either way
	changed chan struct{}         // closed and replaced when held changes
	slams   int                   // connections that were reset
}

func newDoor(t testing.TB) *door {
	t.Helper()
	d := &door{open: map[net.Conn]struct{}{}, changed: make(chan struct{})}
	d.listener = acceptClients(t, d.carry, d.slam)
	return d
}

func (d *door) url() string { return "http://" + d.listener.Addr().String() }

// lead opens the door to a relay.
func (d *door) lead(url string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.target = strings.TrimPrefix(url, "http://")
}

// slam resets every connection and takes no other, as the kernel does for a process that was killed.
func (d *door) slam() {
	d.hold(false)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.target = ""
	for c := range d.open {
		c.(*net.TCPConn).SetLinger(0) // RST, not FIN
		c.Close()
		d.slams++
	}
}

// hold stops all that is under way, without loss, until it is told otherwise.
func (d *door) hold(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != on {
		d.held = on
		close(d.changed)
		d.changed = make(chan struct{})
	}
}

// pass waits while the door is held.
func (d *door) pass() {
	for {
		d.mu.Lock()
		held, changed := d.held, d.changed
		d.mu.Unlock()
		if !held {
			return
		}
		<-changed
	}
}

// keep notes a connection so that it can be reset; false: the door is shut.
func (d *door) keep(c net.Conn) (target string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.target == "" {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		return "", false
	}
	d.open[c] = struct{}{}
	return d.target, true
}

func (d *door) drop(c net.Conn) {
	c.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, c)
}

// carry moves bytes both ways until either side closes.
func (d *door) carry(client net.Conn) {
	target, ok := d.keep(client)
	if !ok {
		return
	}
	defer d.drop(client)
	d.pass()
	relay, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	if _, ok := d.keep(relay); !ok {
		return
	}
	defer d.drop(relay)
	var both sync.WaitGroup
	one := func(to, from net.Conn) {
		defer to.Close()
		buffer := make([]byte, 8<<10)
		for {
			n, err := from.Read(buffer)
			d.pass()
			if n > 0 {
				if _, failed := to.Write(buffer[:n]); failed != nil {
					from.Close()
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	both.Go(func() { one(relay, client) })
	both.Go(func() { one(client, relay) })
	both.Wait()
}
