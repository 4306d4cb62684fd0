package relay

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A listener that fails ends the relay with an error.
func TestRunFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newTestRelay(t, Config{AdminListener: l})
	l.Close()
	if err := r.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

// A relay without subscribers stops at once, and its listeners are closed.
func TestRunStopsAtOnce(t *testing.T) {
	s := serveRelay(t, Config{Drain: time.Hour})
	p := s.protocols(t)[0]
	res, err := p.client.Get("http://" + s.admin + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
	s.shut(t)
	for _, addr := range []string{s.plain, s.public, s.admin} {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Errorf("%s is still listened on", addr)
		}
	}
}

// A header that is too large is refused, whatever the protocol.
func TestRunHeaderLimit(t *testing.T) {
	s := serveRelay(t, Config{Limits: Limits{HeaderBytes: 4 << 10}})
	for _, p := range s.protocols(t) {
		req, err := http.NewRequest("GET", p.url+"/events/t", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			req.Header.Set(fmt.Sprint("X-Large-", i), strings.Repeat("x", 500))
		}
		res, err := p.client.Do(req)
		if err != nil {
			continue // refused by the connection
		}
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %s", p.name, res.Status)
		}
	}
}
