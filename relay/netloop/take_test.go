package netloop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// A wrapped response writer, as middleware makes them.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestTakeFindsTheEngine(t *testing.T) {
	var on program
	eachProtocol(t, func() *Engine {
		return &Engine{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			on.ServeHTTP(wrapped{wrapped{w}}, r)
		})}
	}, func(t *testing.T, s *site, c *http.Client, url string) {
		k := on.next(s.engine)
		k.send("event\n")
		resp := get(t, c, url)
		wantLine(t, bufio.NewReader(resp.Body), "event")
	})

	w := httptest.NewRecorder()
	on.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), ErrForeign.Error()) {
		t.Errorf("taken from a foreign server: %d %s", w.Code, w.Body)
	}
}

func TestTakeComesFirst(t *testing.T) {
	e := &Engine{Loops: 1}
	k := newTicker(e, 0)
	e.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/after" {
			_, _ = io.WriteString(w, "something")
			_ = http.NewResponseController(w).Flush()
			if err := Take(w, r, &tickerBody{ticker: k}, k.fanout); err == nil {
				t.Error("taken after it has begun")
			}
			return
		}
		if err := Take(w, r, &tickerBody{ticker: k}, k.fanout); err != nil {
			t.Error(err)
		}
		if err := Take(w, r, &tickerBody{ticker: k}, k.fanout); err == nil {
			t.Error("taken twice")
		}
		if _, err := io.WriteString(w, "something"); err == nil {
			t.Error("written after it was taken")
		}
	})
	s := serve(t, e)
	k.send("event\n")
	for _, p := range []string{"h2", "http/1.1"} {
		c, url := s.client(p)
		resp := get(t, c, url)
		wantLine(t, bufio.NewReader(resp.Body), "event")
		if p == "h2" {
			resp = get(t, c, url+"/after")
			if b, err := io.ReadAll(resp.Body); string(b) != "something" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		}
	}
}

func TestHTTP1Wire(t *testing.T) {
	on := new(program)
	e := &Engine{Loops: 1, Handler: on}
	s := serve(t, e)
	for version, body := range map[string]string{
		"HTTP/1.1": "6\r\nhello\n\r\n0\r\n\r\n",
		"HTTP/1.0": "hello\n",
	} {
		k := on.next(e)
		k.send("hello\n")
		nc := dial(t, s.plain)
		fmt.Fprintf(nc, "GET / %s\r\nHost: a\r\n\r\nGET /pipelined HTTP/1.1\r\n", version)
		r := bufio.NewReader(nc)
		header := ""
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == "\r\n" {
				break
			}
			header += line
		}
		if !strings.HasPrefix(header, "HTTP/1.1 200 OK\r\n") || !strings.Contains(header, "Connection: close\r\n") ||
			!strings.Contains(header, "Date: ") || strings.Contains(header, "chunked") != (version == "HTTP/1.1") {
			t.Errorf("%s: header\n%s", version, header)
		}
		k.end()
		if got, err := io.ReadAll(r); string(got) != body || err != nil {
			t.Errorf("%s: body %q, %v; want %q", version, got, err, body)
		}
	}
	wait(t, "all to be gone", func() bool { return s.engine.Stats().Connections == 0 })
}

func TestHTTP1PeerThatGoesIsNoticed(t *testing.T) {
	for _, portable := range []bool{false, true} {
		e := &Engine{Loops: 1, Portable: portable}
		k := newTicker(e, 0)
		e.Handler = k
		s := serve(t, e)
		for _, how := range []string{"close", "flood"} {
			n := len(k.closes())
			nc := dial(t, s.plain)
			fmt.Fprint(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			wait(t, "the subscriber", func() bool { return e.Stats().Subscribers == 1 })
			if how == "close" {
				nc.Close()
			} else {
				for {
					if _, err := nc.Write(make([]byte, 4<<10)); err != nil {
						break
					}
				}
			}
			wait(t, "the body to be closed", func() bool { return len(k.closes()) == n+1 })
			if got := k.closes()[n]; !errors.Is(got, ErrGone) {
				t.Errorf("%s: closed with %v", how, got)
			}
			wait(t, "the connection to be counted out", func() bool { return e.Stats().Connections == 0 })
		}
		s.stop()
	}
}

// A client that does not read harms nobody, holds little, and is closed.
func TestSlowReaderIsAlone(t *testing.T) {
	for _, portable := range []bool{false, true} {
		e := &Engine{Loops: 1, Portable: portable, Stall: 500 * time.Millisecond}
		k := newTicker(e, 0)
		e.Handler = k
		s := serve(t, e)
		slow := dial(t, s.plain)
		fmt.Fprint(slow, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		slow2 := s.dialPeer(true, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		slow2.ok(slow2.WriteWindowUpdate(0, 1<<30))
		slow2.request(1, "GET", "/", true)
		wait(t, "the slow ones", func() bool { return e.Stats().Subscribers == 2 })

		c, url := s.client("h2")
		fast := bufio.NewReader(get(t, c, url).Body)
		event := strings.Repeat("x", 10<<10) + "\n"
		for stalled := 0; stalled < 2; {
			// The fast one gets each event at once, whatever the others do.
			k.send(event)
			if line, err := fast.ReadString('\n'); err != nil || line != event {
				t.Fatalf("read %d bytes, %v", len(line), err)
			}
			stalled = len(k.closes())
		}
		for _, cause := range k.closes() {
			if !errors.Is(cause, ErrStalled) {
				t.Errorf("closed with %v", cause)
			}
		}
		wait(t, "both to be counted", func() bool { return e.Stats().Loops[0].Stalled == 2 })
		s.stop()
	}
}

// Streams come and go while events are sent, from all sides.
func TestComingAndGoing(t *testing.T) {
	e := &Engine{Loops: 2}
	mux := http.NewServeMux()
	e.Handler = mux
	g := newStage(e)
	mux.Handle("/events", g)
	s := serve(t, e)
	stop := make(chan struct{})
	var sent atomic.Int64
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				g.send()
				sent.Add(1)
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	done := make(chan bool)
	for _, p := range protocols {
		c, url := s.client(p)
		for range 4 {
			go func() {
				ok := true
				for range 10 {
					resp, err := c.Get(url + "/events")
					if err != nil {
						ok = false
						break
					}
					line, err := bufio.NewReader(resp.Body).ReadString('\n')
					ok = ok && err == nil && len(line) == len(g.event)
					resp.Body.Close()
				}
				done <- ok
			}()
		}
	}
	for range 4 * len(protocols) {
		if !<-done {
			t.Error("a subscriber did not get its event")
		}
	}
	close(stop)
	wait(t, "all to be gone", func() bool { return g.open.Load() == 0 })
	if n := g.fanout.Streams(); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}
