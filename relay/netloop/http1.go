package netloop

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// headerSlop is what net/http reads of a header beyond MaxHeaderBytes.
const headerSlop = 4 << 10

// newHTTP1 is the net/http server that reads HTTP/1.1. Its connections come from the
// listener, after the engine has accepted them, and go when Take takes them away.
func newHTTP1(e *Engine) (*http.Server, *inProcessListener) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !e.enter() {
				panic(http.ErrAbortHandler)
			}
			defer e.handlers.Done()
			e.Handler.ServeHTTP(w, r)
		}),
		Protocols:         protocols,
		ReadHeaderTimeout: e.HeaderRead,
		IdleTimeout:       e.Idle,
		MaxHeaderBytes:    max(1, e.HeaderBytes-headerSlop),
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return e.requestBase },
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, connOf(nc))
		},
	}
	return s, &inProcessListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// enter counts a handler of HTTP/1.1 in, unless Run waits for the last of them.
func (e *Engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return false
	}
	e.handlers.Add(1)
	return true
}

// connOf is the conn that net/http or a tls.Conn has.
func connOf(nc net.Conn) *conn {
	if under, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = under.NetConn()
	}
	c, _ := nc.(*conn)
	return c
}

// An inProcessListener hands over connections that were accepted elsewhere.
type inProcessListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// deliver blocks until the server has taken nc, or closes it.
func (l *inProcessListener) deliver(nc net.Conn) {
	select {
	case l.conns <- nc:
	case <-l.closed:
		_ = nc.Close()
	}
}

func (l *inProcessListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *inProcessListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *inProcessListener) Addr() net.Addr { return inProcess{} }

type inProcess struct{}

func (inProcess) Network() string { return "in-process" }
func (inProcess) String() string  { return "in-process" }

var errNotHijacked = errors.New("netloop: the connection cannot be taken from net/http")
