package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// Who comes over TLS by TCP is told of HTTP/3, and nobody else is: h2c has no name to be
// proved, and HTTP/3 is there already.
func TestHTTP3IsAdvertised(t *testing.T) {
	r := serveRelay(t, Config{})
	_, port, _ := net.SplitHostPort(r.http3)
	for _, p := range r.protocols(t) {
		res, err := p.client.Get(p.url + "/events/t?from=nonsense")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		want := ""
		if p.name == "h2" || p.name == "http1-tls" {
			want = `h3=":` + port + `"; ma=600`
		}
		if got := res.Header.Get("Alt-Svc"); got != want {
			t.Errorf("%s: Alt-Svc %q, want %q", p.name, got, want)
		}
	}
}

// The limit on subscribers of one address is one over all protocols.
func TestHTTP3SharesLimits(t *testing.T) {
	r := serveRelay(t, Config{Limits: Limits{Subscribers: 4, AddressShare: 0.5}})
	byName := make(map[string]protocol)
	for _, p := range r.protocols(t) {
		byName[p.name] = p
	}
	byName["h3"].subscribe(t, "/events/t")
	byName["h2"].subscribe(t, "/events/t")
	for _, name := range []string{"h3", "h2"} {
		res, err := byName[name].client.Get(byName[name].url + "/events/t")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a third subscriber over %s: %s, want 503", name, res.Status)
		}
	}
}

// So is the limit on connections of one address: who holds its share by TCP has no room by UDP, and the
// other way round.
func TestHTTP3SharesConnections(t *testing.T) {
	r := serveRelay(t, Config{Limits: Limits{Connections: 8, AddressShare: 0.5}})
	streams, clients := make(map[string]*puppet), make(map[string]*http.Client)
	for _, p := range r.protocols(t)[:4] {
		streams[p.name], clients[p.name] = p.subscribe(t, "/events/t"), p.client
	}
	ask := func(name string) error { // over a connection of its own, which stays open
		all := r.protocols(t)
		p := all[slices.IndexFunc(all, func(p protocol) bool { return p.name == name })]
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/events/t?from=nonsense", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			return errors.New(res.Status)
		}
		return nil
	}
	for _, name := range []string{"h3", "h2", "http1"} {
		if ask(name) == nil {
			t.Errorf("a fifth connection, over %s, is taken", name)
		}
	}
	for free, taker := range map[string]string{"h2": "h3", "h3": "h2"} {
		streams[free].Cut()
		eventually(t, "a place of "+free+" is free for "+taker, func() bool {
			clients[free].CloseIdleConnections()
			return ask(taker) == nil
		})
	}
}

// A relay that drains tells every connection to go at once, by GOAWAY, while its streams are let go one after the
// other. Who comes meanwhile by TCP is told when to come back; by UDP it is refused, and turns to TCP.
func TestDrainSaysGoAway(t *testing.T) {
	const streams = 500 // on each connection: they are let go over a millisecond for each
	r := serveRelay(t, Config{Drain: time.Minute})
	clients := make(map[string]protocol)
	var all []*puppet
	for _, p := range r.protocols(t) {
		if clients[p.name] = p; p.name != "h2" && p.name != "h3" {
			continue
		}
		var joining sync.WaitGroup
		joined := make(chan *puppet, streams)
		for range streams {
			joining.Go(func() { joined <- p.subscribe(t, "/events/t") })
		}
		joining.Wait()
		close(joined)
		for s := range joined {
			all = append(all, s)
		}
	}
	r.cancel()
	eventually(t, "it drains", r.draining)

	anew := false
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { anew = !c.Reused }}
	eventually(t, "HTTP/2 leaves its connection alone", func() bool {
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, clients["h2"].url+"/events/t", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/event-stream")
		res, err := clients["h2"].client.Do(req)
		if err != nil {
			t.Fatalf("by TCP: %v", err)
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || !bytes.HasPrefix(answer, []byte("retry: ")) {
			t.Fatalf("by TCP: %s %q %v, want when to come back", res.Status, answer, err)
		}
		return anew
	})
	eventually(t, "HTTP/3 is refused", func() bool {
		res, err := clients["h3"].client.Get(clients["h3"].url + "/events/t")
		if err == nil {
			res.Body.Close()
		}
		refused, ok := errors.AsType[*quic.TransportError](err)
		return ok && refused.ErrorCode == quic.ConnectionRefused
	})
	if n := r.admission.subscribers.Load(); n == 0 {
		t.Error("everybody has been let go already: this shows nothing")
	}
	for _, s := range all {
		s.WantEnd()
	}
	r.shut(t)
	for _, address := range []string{r.plain, r.public} {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			t.Errorf("%s is still listened on", address)
		}
	}
}
