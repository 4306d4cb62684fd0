package main

import (
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A tearer stands between a publisher and a relay, and tears each connection at a byte that
// chance draws, whichever way it goes: sometimes with a reset, which also takes what is under
// way, sometimes with an end.
type tearer struct {
	listener net.Listener
	target   string
	most     int // bytes a connection carries, at most
	tears    atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
}

func newTearer(t *testing.T, url string, seed uint64, most int) *tearer {
	t.Helper()
	_, address, _ := strings.Cut(url, "://")
	c := &tearer{target: address, most: most, random: rand.New(rand.NewPCG(seed, 1))}
	c.listener = acceptClients(t, c.carry, func() {}) // each connection has its own end
	return c
}

func (c *tearer) url(scheme string) string { return scheme + "://" + c.listener.Addr().String() }

func (c *tearer) draw() (budget int64, reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.random.IntN(c.most)), c.random.IntN(2) == 0
}

// carry moves bytes both ways until both together have used the budget up.
func (c *tearer) carry(client net.Conn) {
	defer client.Close()
	relay, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer relay.Close()
	budget, reset := c.draw()
	var left atomic.Int64
	left.Store(budget)
	var both sync.WaitGroup
	one := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buffer := make([]byte, 4096)
		for {
			n, err := from.Read(buffer)
			rest := left.Add(int64(-n))
			last := rest < 0 && n > 0
			if last {
				n = max(n+int(rest), 0)
			}
			if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
				return
			}
			if last {
				c.tears.Add(1)
				if reset {
					for _, end := range []net.Conn{client, relay} {
						_ = end.(*net.TCPConn).SetLinger(0)
					}
				}
				return
			}
		}
	}
	both.Go(func() { one(relay, client) })
	both.Go(func() { one(client, relay) })
	both.Wait()
}
