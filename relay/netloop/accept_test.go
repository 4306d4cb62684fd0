package netloop

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// answers reports whether the site answers a request of a new client.
func answers(t testing.TB, s *site, protocol string) bool {
	c, url := s.client(protocol)
	defer c.CloseIdleConnections()
	resp, err := c.Get(url)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == 200
}

var empty = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// The connection that is one too many is told so, and room is found again when one leaves.
func TestConnectionsAreLimited(t *testing.T) {
	for _, portable := range []bool{false, true} {
		s := serve(t, &Engine{Handler: empty, Loops: 2, Connections: 10, AddressShare: 1, Portable: portable})
		var here []*peer
		for range 10 {
			p := s.dialPeer(false)
			p.request(1, "GET", "/", true)
			if f, ok := p.next().(*http2.HeadersFrame); !ok {
				t.Fatalf("frame %v", f)
			}
			here = append(here, p)
		}
		extra := dial(t, s.plain)
		fmt.Fprint(extra, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(extra), nil)
		if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("answer %v %v", resp, err)
		}
		// An EventSource gives up for ever on a 503.
		browser := dial(t, s.plain)
		fmt.Fprint(browser, "GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
		resp, err = http.ReadResponse(bufio.NewReader(browser), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("answer %v %v", resp, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || !regexp.MustCompile(`^retry: \d{4,5}\n$`).Match(body) {
			t.Errorf("body %q %v", body, err)
		}
		prior := dial(t, s.plain)
		fmt.Fprint(prior, http2.ClientPreface)
		wantEOF(t, prior)
		wantEOF(t, dial(t, s.secure))
		if n := s.engine.Stats().Refused.Connections; n != 4 {
			t.Errorf("%d connections refused, want 4", n)
		}
		// Those who are here are served on.
		here[0].request(3, "GET", "/", true)
		if f, ok := here[0].next().(*http2.HeadersFrame); !ok {
			t.Errorf("frame %v", f)
		}
		here[9].Close()
		wait(t, "a place", func() bool { return s.engine.Stats().Connections == 9 })
		if !answers(t, s, "h2") {
			t.Error("the free place was not given")
		}
		s.stop()
	}
}

func TestAddressesShare(t *testing.T) {
	s := serve(t, &Engine{Handler: empty, Loops: 1, Connections: 10, AddressShare: 0.5})
	from := func(ip string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		nc, err := d.Dial("tcp", s.plain)
		if err != nil {
			t.Skip("no second loopback address: ", err)
		}
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	ask := func(nc net.Conn) int {
		fmt.Fprint(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			return 0
		}
		return resp.StatusCode
	}
	for range 5 {
		if got := ask(from("127.0.0.1")); got != 200 {
			t.Fatalf("answer %d", got)
		}
	}
	for range 2 {
		if got := ask(from("127.0.0.1")); got == 200 {
			t.Error("one address has more than its share")
		}
	}
	for range 5 {
		if got := ask(from("127.0.0.2")); got != 200 {
			t.Errorf("another address: answer %d", got)
		}
	}
	if r := s.engine.Stats().Refused; r.Address != 2 || r.Connections != 0 {
		t.Errorf("refused %+v", r)
	}
}

// A crowd behind one address is served in turn: nobody is refused, and an address of its own is not behind it.
func TestHandshakesOfOneAddressTakeTurns(t *testing.T) {
	const each, crowd = 4, 40
	var a admission
	a.init(NewPlaces(100, 0.8), 5, 0.8)
	e := &Engine{}
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	var begun []*conn
	come := func(source netip.Addr) (*conn, refusal) {
		c := &conn{engine: e, source: source, accepted: time.Now()}
		why := a.admit(c, nil, func() { begun = append(begun, c) })
		if why == admitted {
			begun = append(begun, c)
		}
		return c, why
	}
	var all []*conn
	for i := range crowd {
		c, why := come(one)
		if want := map[bool]refusal{true: admitted, false: parked}[i < each]; why != want {
			t.Fatalf("connection %d: %v, want %v", i, why, want)
		}
		all = append(all, c)
	}
	stranger, why := come(other)
	if why != admitted {
		t.Fatalf("another address: %v", why)
	}
	a.endHandshake(stranger)
	for i := 0; i < len(begun); i++ { // each that ends lets the next begin
		if open, handshakes := a.counts(); open != crowd+1 || handshakes > each {
			t.Fatalf("%d connections, %d handshakes", open, handshakes)
		}
		a.endHandshake(begun[i])
	}
	begun = slices.DeleteFunc(begun, func(c *conn) bool { return c == stranger })
	if !slices.Equal(begun, all) {
		t.Errorf("%d of %d began, or not in the order they came", len(begun), crowd)
	}
	if _, handshakes := a.counts(); handshakes != 0 || len(a.parked) != 0 {
		t.Errorf("%d handshakes and %d parkings are left", handshakes, len(a.parked))
	}
}

// Clients that connect and say nothing hold the places for handshakes; whoever comes then
// takes the place of the oldest of them.
func TestSilentClientsGiveWay(t *testing.T) {
	e := &Engine{Handler: empty, Loops: 2, Handshakes: 10, AddressShare: 1, Connections: 100}
	e.setup()
	e.admission.patience = 20 * time.Millisecond
	s := serve(t, e)
	var silent []net.Conn
	for i := range 10 {
		nc := dial(t, []string{s.plain, s.secure}[i%2])
		if i%4 == 1 { // a record begun and not ended
			_, _ = nc.Write([]byte{22, 3, 1, 2})
		}
		silent = append(silent, nc)
	}
	wait(t, "all places to be taken", func() bool { return e.Stats().Handshakes == 10 })
	for _, p := range protocols {
		if !answers(t, s, p) {
			t.Errorf("%s: no answer", p)
		}
	}
	wantEOF(t, silent[0])
	if n := e.Stats().Refused.Handshakes; n == 0 {
		t.Error("none gave way")
	}
	if n := e.Stats().Handshakes; n > 10 {
		t.Errorf("%d handshakes, the limit is 10", n)
	}
}

func TestHandshakesEndInTime(t *testing.T) {
	s := serve(t, &Engine{Handler: empty, Loops: 1, Handshake: 50 * time.Millisecond, HeaderRead: 50 * time.Millisecond})
	say := map[string]string{"nothing": "", "part of a preface": http2.ClientPreface[:10], "a preface and no more": http2.ClientPreface,
		"part of a header": "GET / HTTP/1.1\r\nHost:", "part of a record": "\x16\x03\x01"}
	for what, text := range say {
		for _, addr := range []string{s.plain, s.secure} {
			nc := dial(t, addr)
			if _, err := io.WriteString(nc, text); err != nil {
				t.Fatal(err)
			}
			_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s on %s: not closed", what, addr)
			}
		}
	}
	// After the handshake the preface is waited for as well.
	tc, err := tls.Dial("tcp", s.secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	wantEOF(t, tc)
	wait(t, "all to be gone", func() bool { return s.engine.Stats().Connections == 0 })
}

// A preface that comes one byte at a time is a preface; the rest of the bytes is not lost.
func TestPrefaceInPieces(t *testing.T) {
	s := serve(t, &Engine{Handler: empty, Loops: 1})
	nc := dial(t, s.plain)
	for _, b := range subscribeAll(nil, 1) {
		if _, err := nc.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	p := &peer{t: t, Conn: nc, Framer: http2.NewFramer(nc, nc)}
	if f, ok := p.next().(*http2.HeadersFrame); !ok {
		t.Fatalf("frame %v", f)
	}
	nc = dial(t, s.plain)
	for _, b := range []byte("PRI /x HTTP/1.1\r\nHost: a\r\n\r\n") { // begins like one
		if _, err := nc.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if resp, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || resp.StatusCode != 200 {
		t.Fatalf("answer %v %v", resp, err)
	}
}

// shortVariable makes the test program a server with few descriptors, see TestMain.
const shortVariable = "NETLOOP_TEST_DESCRIPTORS"

// serveShort is that server. Its own limit does not help it: it is set too high.
func serveShort(limit string) {
	n, _ := strconv.Atoi(limit)
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(n), Max: uint64(n)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	e := &Engine{Handler: empty, Loops: 1, Connections: 10 * n, AddressShare: 1}
	e.Serve(l, nil)
	fmt.Println(l.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		in := bufio.NewReader(os.Stdin)
		for {
			if _, err := in.ReadString('\n'); err != nil {
				cancel()
				return
			}
			fmt.Println(e.Stats().Refused.Descriptors)
		}
	}()
	if err := e.Run(ctx); err != nil {
		panic(err)
	}
}

// A server without a descriptor left refuses who comes, keeps who is there, and recovers.
func TestDescriptorsRunOut(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), shortVariable+"=40")
	cmd.Stderr = os.Stderr
	stdin, _ := cmd.StdinPipe()
	pipe, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}()
	stdout := bufio.NewReader(pipe)
	addr, err := stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr = strings.TrimSpace(addr)
	ask := func(nc net.Conn) bool {
		_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		return err == nil && resp.StatusCode == 200
	}
	served, refused := []net.Conn(nil), 0
	for range 80 {
		if nc := dial(t, addr); ask(nc) {
			served = append(served, nc)
		} else if refused++; refused == 3 {
			break
		}
	}
	if refused == 0 || len(served) < 5 {
		t.Fatalf("%d served and %d refused", len(served), refused)
	}
	fmt.Fprintln(stdin)
	if line, _ := stdout.ReadString('\n'); line == "0\n" {
		t.Error("no shortage was counted")
	}
	if !ask(served[0]) {
		t.Error("who was there is not served any more")
	}
	for _, nc := range served {
		nc.Close()
	}
	wait(t, "the server to recover", func() bool {
		nc := dial(t, addr)
		defer nc.Close()
		return ask(nc)
	})
}
