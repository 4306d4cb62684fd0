package h3

import (
	"net/http"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// serveHTTP answers one request.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w), stall: s.Stall}
	defer a.extend() // for what http3 still has to write
	c.busy.Add(1)
	defer c.rest()
	if s.stats.requests.Add(1) > int64(s.Requests) {
		s.stats.requests.Add(-1)
		s.stats.refused[refusedRequests].Add(1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many requests at once", http.StatusServiceUnavailable)
		return
	}
	defer s.stats.requests.Add(-1)
	// What comes before the end of the handshake may be somebody else's repetition of it, which must
	// not do anything twice (RFC 8470 5.2).
	select {
	case <-c.quic.HandshakeComplete():
	default:
		if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions {
			s.stats.early.Add(1)
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusTooEarly)
			return
		}
	}
	s.Handler.ServeHTTP(a, r)
	if r.Context().Err() != nil && !a.taken {
		c.left()
	}
}

// answer lets no write of a handler wait for the peer for longer than a stall, unless the handler sets
// a deadline of its own.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	own     bool // the handler sets deadlines
	taken   bool
}

func (a *answer) extend() {
	if !a.own && !a.taken {
		_ = a.control.SetWriteDeadline(time.Now().Add(a.stall))
	}
}

func (a *answer) WriteHeader(status int) {
	a.extend()
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.extend()
	return a.ResponseWriter.Write(p)
}

func (a *answer) Flush() { _ = a.FlushError() }

func (a *answer) FlushError() error {
	a.extend()
	return a.control.Flush()
}

func (a *answer) SetWriteDeadline(t time.Time) error {
	a.own = true
	return a.control.SetWriteDeadline(t)
}

// HTTPStream makes answer an http3.HTTPStreamer.
func (a *answer) HTTPStream() (*http3.Stream, error) {
	a.extend()
	stream, err := a.ResponseWriter.(http3.HTTPStreamer).HTTPStream()
	a.taken = a.taken || err == nil
	return stream, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
