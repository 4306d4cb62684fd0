package origin

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"freshet/origin/sse"
)

// arrivals is a Sink that passes on the data of what it gets.
type arrivals chan string

func (a arrivals) Append(ctx context.Context, topic string, e sse.Event) (string, error) {
	select {
	case a <- string(e.Data):
		return e.ID, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (a arrivals) Gap(ctx context.Context, topic, lastEventID, oldestID string) error {
	_, err := a.Append(ctx, topic, sse.Event{Data: []byte("GAP")})
	return err
}

func (a arrivals) End(ctx context.Context, topic string) error { return nil }

// Want wants the next arrival.
func (a arrivals) Want(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-a:
		if got != want {
			t.Fatalf("%q arrived, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%q did not arrive", want)
	}
}

// start runs the source until the test ends.
func start(t *testing.T, s *Source) arrivals {
	t.Helper()
	a := make(arrivals)
	s.Topic, s.Sink, s.Retry = "t", a, 10*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return a
}

// stream answers with an event for each text that comes, at once.
func stream(w http.ResponseWriter, r *http.Request, texts ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i, text := range texts {
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i+1, text)
		w.(http.Flusher).Flush()
	}
	<-r.Context().Done()
}

func TestSourceProtocols(t *testing.T) {
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", major), func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				stream(w, r, r.Proto, r.Header.Get("X-Key"), r.Header.Get("Accept"))
			}))
			srv.EnableHTTP2 = major == 2
			srv.StartTLS()
			defer srv.Close()
			roots := x509.NewCertPool()
			roots.AddCert(srv.Certificate())
			a := start(t, &Source{URLs: []string{srv.URL}, TLS: &tls.Config{RootCAs: roots}, Header: http.Header{"x-key": {"secret"}}})
			a.Want(t, fmt.Sprintf("HTTP/%d.%d", major, 2-major))
			a.Want(t, "secret")
			a.Want(t, "text/event-stream")
			srv.CloseClientConnections()
		})
	}
}

func TestSourceClientCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, fmt.Sprint(len(r.TLS.PeerCertificates), " certificate"))
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	a := start(t, &Source{URLs: []string{srv.URL}, TLS: &tls.Config{RootCAs: roots, Certificates: srv.TLS.Certificates}})
	a.Want(t, "1 certificate")
	srv.CloseClientConnections()
}

func TestSourceUntrustedOrigin(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { stream(w, r, "x") }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	s := &Source{URLs: []string{srv.URL}, Topic: "t", Sink: make(arrivals)}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.connect(t.Context(), srv.URL, ""); err == nil {
		t.Error("an origin without a trusted certificate was believed")
	}
}

func TestSourceRedirects(t *testing.T) {
	var moved atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			moved.Add(1)
			http.Redirect(w, r, "/new", http.StatusTemporaryRedirect)
			return
		}
		stream(w, r, r.URL.Path+" after "+r.Header.Get("Last-Event-ID"))
	}))
	defer srv.Close()
	a := start(t, &Source{URLs: []string{srv.URL + "/old"}, LastEventID: "a b"})
	a.Want(t, "/new after a b")
	srv.CloseClientConnections()
	a.Want(t, "/new after 1")
	if moved.Load() < 2 {
		t.Error("the second attempt did not begin at the URL that was given")
	}
	srv.CloseClientConnections()
}

// Compressed events arrive when they are flushed, not when more follow.
func TestSourceGzip(t *testing.T) {
	next := make(chan string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Encoding", "gzip")
		w.(http.Flusher).Flush() // the gzip header comes with the first event
		z := gzip.NewWriter(w)
		for {
			select {
			case text := <-next:
				fmt.Fprintf(z, "data: %s\n\n", text)
				z.Flush()
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer srv.Close()
	a := start(t, &Source{URLs: []string{srv.URL}})
	for _, text := range []string{"one", "two", "three"} {
		next <- text
		a.Want(t, text)
	}
	srv.CloseClientConnections()
}

// A compressed stream whose heartbeats inflate to nothing is not silent.
func TestSourceGzipHeartbeats(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		r := o.WantRequest("")
		r.answer <- &http.Response{StatusCode: 200, Body: r.r, Header: http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"gzip"}}}
		z := gzip.NewWriter(r.w)
		fmt.Fprint(z, "id: 1\ndata: a\n\n")
		z.Flush()
		for range 20 {
			time.Sleep(30 * time.Second)
			z.Flush()
		}
		o.WantNone(40 * time.Second)
		l.Want(t, "t 1 a")
		o.WantRequest("1").answer <- &http.Response{StatusCode: 200, Body: r.r, Header: http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"br"}}}
		o.WantRequest("1")
	})
}
