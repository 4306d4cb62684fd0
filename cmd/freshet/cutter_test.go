package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// cutter stands between a client and a relay, as networks do, and cuts connections.
type cutter struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	open   map[net.Conn]struct{} // the clients' ends
	budget int                   // bytes that go down yet before the next cut; negative: no bound
	cuts   int
}

// newCutter puts a cutter in front of the relay at url.
func newCutter(t *testing.T, url string) *cutter {
	c := &cutter{target: strings.TrimPrefix(url, "http://"), open: map[net.Conn]struct{}{}, budget: -1}
	c.listener = acceptClients(t, c.carry, c.cut)
	return c
}

// acceptClients has each client's connection carried, until the test is over: then cut ends those that are open.
func acceptClients(t testing.TB, carry func(client net.Conn), cut func()) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		cut()
		all.Wait()
	})
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { carry(client) })
		}
	})
	return l
}

func (c *cutter) url() string { return "http://" + c.listener.Addr().String() }

// carry moves bytes both ways until either side closes, or a cut.
func (c *cutter) carry(client net.Conn) {
	defer client.Close()
	relay, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer relay.Close()
	c.mu.Lock()
	c.open[client] = struct{}{}
	c.mu.Unlock()
	up := make(chan struct{})
	go func() {
		defer close(up)
		io.Copy(relay, client)
		relay.Close()
	}()
	buffer := make([]byte, 4096)
	for {
		n, err := relay.Read(buffer)
		n, last := c.spend(n)
		client.Write(buffer[:n])
		if last || err != nil {
			break
		}
	}
	c.mu.Lock()
	delete(c.open, client)
	c.mu.Unlock()
	client.Close()
	<-up
}

// spend takes n bytes off the budget, and reports how many of them may go, and whether
// they are the connection's last.
func (c *cutter) spend(n int) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.budget < 0 || n < c.budget {
		if c.budget >= 0 {
			c.budget -= n
		}
		return n, false
	}
	n, c.budget = c.budget, -1
	c.cuts++
	return n, true
}

// cut resets every connection now, as when a phone leaves the net.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for client := range c.open {
		client.(*net.TCPConn).SetLinger(0) // RST, not FIN
		client.Close()
		c.cuts++
	}
	c.budget = -1
}

// cutAfter closes the connection that carries the nth byte from now on, behind it.
func (c *cutter) cutAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget = n
}

// count is how many cuts there were.
func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}
