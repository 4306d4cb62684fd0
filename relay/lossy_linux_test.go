package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A lossyLink joins two network namespaces by a link that drops, delays and reorders:
//
//	sockets of near ─▶ kernel ─▶ TUN ─▶ [ lost? late? ] ─▶ TUN ─▶ kernel ─▶ sockets of far
//
// Everything above the link is the kernel's own: its TCP with SACK, RACK and tail loss probes, and UDP under QUIC.
// The link itself is a goroutine each way that does to packets what tc-netem would, which kernels often lack.
type lossyLink struct {
	near, far namespace

	packets, dropped atomic.Int64
}

// newLossyLink returns a link that drops this part of the packets and delays the others by delay and up to jitter
// more, each way. It skips the test where namespaces or TUN devices are not to be had.
func newLossyLink(t *testing.T, loss float64, delay, jitter time.Duration) *lossyLink {
	t.Helper()
	l := &lossyLink{near: newNamespace(t), far: newNamespace(t)}
	near := l.near.openTUN(t, "10.77.0.1")
	far := l.far.openTUN(t, "10.77.0.2")
	carry := func(from, to *os.File, seed uint64) {
		random := rand.New(rand.NewPCG(6, seed))
		packet := make([]byte, 2048)
		for {
			n, err := from.Read(packet)
			if err != nil {
				return
			}
			l.packets.Add(1)
			if random.Float64() < loss {
				l.dropped.Add(1)
				continue
			}
			p := append([]byte(nil), packet[:n]...)
			time.AfterFunc(delay+rand.N(jitter), func() { _, _ = to.Write(p) }) // a closed link drops what is on its way
		}
	}
	go carry(near, far, 1)
	go carry(far, near, 2)
	return l
}

// A namespace runs functions on a thread that is in a network of its own. Sockets stay in the network that they were
// made in, whoever uses them.
type namespace chan func()

func newNamespace(t *testing.T) namespace {
	t.Helper()
	n := make(namespace)
	entered := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		entered <- unix.Unshare(unix.CLONE_NEWNET)
		for do := range n {
			do()
		}
	}()
	if err := <-entered; err != nil {
		close(n)
		t.Skipf("needs a network namespace, which takes CAP_SYS_ADMIN: %v", err)
	}
	t.Cleanup(func() { close(n) })
	return n
}

// in runs do on the namespace's thread. Sockets that it makes must be made by itself, not by goroutines.
func (n namespace) in(do func() error) error {
	done := make(chan error)
	n <- func() { done <- do() }
	return <-done
}

// openTUN makes a TUN device that is up and has the address.
func (n namespace) openTUN(t *testing.T, address string) *os.File {
	t.Helper()
	var device *os.File
	err := n.in(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		link, err := unix.NewIfreq("lossy0")
		if err == nil {
			link.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, link)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("make a TUN device: %w", err)
		}
		device = os.NewFile(uintptr(fd), "tun") // only now: before, the runtime's poller is told of an error, and of nothing after
		control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(control)
		set := func(request uint, of func(*unix.Ifreq) error) error {
			r, err := unix.NewIfreq("lossy0")
			if err == nil {
				err = of(r)
			}
			if err == nil {
				err = unix.IoctlIfreq(control, request, r)
			}
			return err
		}
		return errors.Join(
			set(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(address).To4()) }),
			set(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }),
			set(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }),
		)
	})
	if device != nil {
		t.Cleanup(func() { device.Close() })
	}
	if err != nil {
		t.Skipf("needs a TUN device: %v", err)
	}
	return device
}
