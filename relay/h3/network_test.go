package h3

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// A network carries packets in memory, as well as it is told to.
type network struct {
	simnet.PerfectRouter

	mu      sync.Mutex
	random  *rand.Rand
	loss    float64       // part of the packets that do not arrive
	delay   time.Duration // of each packet
	jitter  time.Duration // on top, at most: packets overtake one another
	dropped int
	down    map[string]bool // addresses that nothing reaches and that reach nobody
	hops    int
}

func newNetwork() *network {
	return &network{random: rand.New(rand.NewPCG(1, 2)), down: make(map[string]bool)}
}

// Rough makes the network lose, delay and reorder from now on.
func (n *network) Rough(loss float64, delay, jitter time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss, n.delay, n.jitter = loss, delay, jitter
}

// Cut takes an address off the network, or puts it back.
func (n *network) Cut(addr net.Addr, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[addr.String()] = down
}

func (n *network) SendPacket(p simnet.Packet) error {
	n.mu.Lock()
	n.hops++
	if n.down[p.From.String()] || n.down[p.To.String()] || n.random.Float64() < n.loss {
		n.dropped++
		n.mu.Unlock()
		return nil
	}
	delay := n.delay
	if n.jitter > 0 {
		delay += time.Duration(n.random.Int64N(int64(n.jitter)))
	}
	n.mu.Unlock()
	if delay == 0 {
		_ = n.PerfectRouter.SendPacket(p) // to nobody: lost
		return nil
	}
	time.AfterFunc(delay, func() { _ = n.PerfectRouter.SendPacket(p) })
	return nil
}

// endpoint is a packet conn at host, which is the last byte of its address.
func (n *network) endpoint(t testing.TB, host byte) net.PacketConn {
	t.Helper()
	return simnet.NewBlockingSimConn(&net.UDPAddr{IP: net.IPv4(10, 0, 0, host), Port: 4430}, n)
}
