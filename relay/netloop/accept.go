package netloop

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A listener is one that an engine accepts from.
type listener struct {
	// Static after construction.
	engine *Engine
	net    net.Listener
	secure *tls.Config // nil = plain

	once sync.Once
	done chan struct{}

	refusing atomic.Int32 // connections that are being refused
}

func (l *listener) stopped() chan struct{} {
	l.once.Do(func() { l.done = make(chan struct{}) })
	return l.done
}

func (l *listener) close() {
	done := l.stopped()
	select {
	case <-done:
	default:
		close(done)
	}
	l.net.Close()
}

// run accepts until the listener is closed. It survives everything else: a listener that gives
// up because of a shortage keeps a server down after the shortage.
func (l *listener) run() {
	e, done := l.engine, l.stopped()
	// A descriptor to give up when there is none left, so that a client can be accepted
	// and told, and does not hang in the backlog.
	spare := openSpare()
	defer func() { spare.Close() }()
	delay := time.Duration(0)
	for {
		nc, err := l.net.Accept()
		if err == nil {
			delay = 0
			l.welcome(nc)
			continue
		}
		select {
		case <-done:
			return
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if outOfDescriptors(err) {
			e.counters.refused[refusedDescriptor].Add(1)
			if spare != nil {
				spare.Close()
				l.shed()
				spare = openSpare()
			}
		} else {
			e.log.Warn("accept failed", "err", err)
		}
		// The connection that could not be accepted is still there: asking again at once would spin.
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(delay):
		case <-done:
			return
		}
	}
}

// openSpare is nil when there is no descriptor to spare.
func openSpare() *os.File {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return nil
	}
	return f
}

// shed accepts one connection with the descriptor that was just given up, and refuses it.
func (l *listener) shed() {
	if d, ok := l.net.(interface{ SetDeadline(time.Time) error }); ok {
		// Nobody may be waiting: accept fails for want of a descriptor before it looks.
		_ = d.SetDeadline(time.Now().Add(10 * time.Millisecond))
		defer d.SetDeadline(time.Time{})
	} else {
		return
	}
	if nc, err := l.net.Accept(); err == nil {
		l.sayBusy(nc, shedLinger)
		nc.Close()
	}
}

// welcome admits a connection and starts its handshake, or refuses it.
func (l *listener) welcome(nc net.Conn) {
	e := l.engine
	e.counters.accepted.Add(1)
	c := newConn(e, l.net.Addr(), nc)
	begin := func() {
		setSocketOptions(nc, e.UnsentBytes, e.Unacked)
		e.arrivals.Go(func() { c.arrive(l.secure) })
	}
	switch why := e.admission.admit(c, l.stopped(), begin); why {
	case parked:
	case admitted:
		begin()
	default:
		e.counters.refused[why].Add(1)
		l.refuse(nc)
	}
}

const (
	maxRefusing    = 64                    // connections refused politely at once
	refusalLinger  = time.Second           // for the client to ask, and to read why
	shedLinger     = 20 * time.Millisecond // the same, while the listener waits for it
	maxRefusedHead = 16 << 10              // bytes of its request that are read for that
)

// refuse closes a connection so that the client can tell it from a crash: a plain one is answered, one
// that expects TLS gets FIN. Closing at once with bytes unread would be RST, which can
// take back what was said.
func (l *listener) refuse(nc net.Conn) {
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok || l.refusing.Add(1) > maxRefusing {
		if ok {
			l.refusing.Add(-1)
		}
		nc.Close()
		return
	}
	l.engine.arrivals.Go(func() {
		defer l.refusing.Add(-1)
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(refusalLinger))
		l.sayBusy(nc, refusalLinger)
		_ = half.CloseWrite()
		_, _ = io.CopyN(io.Discard, nc, 16<<10)
	})
}

// sayBusy answers what a plain connection asks for. A browser's EventSource gives up for ever on any status but 200
// (WHATWG HTML 9.2.3): it is told to come back instead. Who does not ask in HTTP/1.1 gets no answer.
func (l *listener) sayBusy(nc net.Conn, linger time.Duration) {
	if l.secure != nil {
		return
	}
	_ = nc.SetDeadline(time.Now().Add(linger))
	request, err := http.ReadRequest(bufio.NewReader(io.LimitReader(nc, maxRefusedHead)))
	if err != nil || request.ProtoMajor != 1 {
		return
	}
	retry := 2*time.Second + rand.N(8*time.Second)
	if strings.Contains(request.Header.Get("Accept"), "text/event-stream") {
		_, _ = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store, no-transform\r\n"+
			"Connection: close\r\n\r\nretry: %d\n", retry.Milliseconds())
		return
	}
	const problem = `{"title":"Service Unavailable","status":503,"detail":"the relay has as many connections as limits.connections, limits.address_share or limits.handshakes allow"}` + "\n"
	_, _ = fmt.Fprintf(nc, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nContent-Type: application/problem+json\r\n"+
		"Content-Length: %d\r\nConnection: close\r\n\r\n%s", int(retry.Seconds()+0.5), len(problem), problem)
}
