package h3

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// The benchmark's server runs in a process of its own, so that what it costs can be told from what
// the clients cost.
const (
	benchmarkRole    = "FRESHET_H3_BENCHMARK" // in the environment of that process: which server it is
	benchmarkProfile = "FRESHET_H3_PROFILE"   // there too: where to write its CPU profile, if set
	benchmarkRate    = 20                     // events a second
)

var benchmarkEvent = "data: " + strings.Repeat("x", 200-len("data: \n\n")) + "\n\n"

func TestMain(m *testing.M) {
	if role := os.Getenv(benchmarkRole); role != "" {
		serveBenchmark(role)
		return
	}
	os.Exit(m.Run())
}

// plainServer is what one would write with net/http3: a goroutine and a channel for each subscriber.
type plainServer struct {
	mu   sync.Mutex
	subs map[chan []byte]struct{}
}

func (p *plainServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	events := make(chan []byte, 16)
	p.mu.Lock()
	p.subs[events] = struct{}{}
	p.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	_ = control.Flush()
	for {
		select {
		case e := <-events:
			if _, err := w.Write(e); err != nil {
				return
			}
			_ = control.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (p *plainServer) publish(e []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.subs {
		select {
		case s <- e:
		default:
		}
	}
}

// serveBenchmark is the server's process: it says where it listens, and for each line it reads, what
// it has used.
func serveBenchmark(role string) {
	t := &testing.B{}
	packets := listen(t, "127.0.0.1:0")
	cert, _ := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	var publish func()
	switch role {
	case "h3":
		s := &Server{TLS: config, AddressShare: 1}
		top := &topic{fanout: s.NewFanout(0)}
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			b := &reader{topic: top, at: len(top.log)}
			_ = Take(w, r, b, top.fanout)
		})
		if err := s.Serve(packets); err != nil {
			panic(err)
		}
		go s.Run(context.Background())
		publish = func() {
			top.mu.Lock()
			top.log = append(top.log, benchmarkEvent...)
			top.mu.Unlock()
			top.fanout.Wake()
		}
	case "plain":
		p := &plainServer{subs: make(map[chan []byte]struct{})}
		s := &http3.Server{Handler: p, TLSConfig: config, QUICConfig: &quic.Config{MaxIncomingStreams: 1000, Allow0RTT: true}}
		go s.Serve(packets)
		publish = func() { p.publish([]byte(benchmarkEvent)) }
	}
	runtime.GC()
	fmt.Println(packets.LocalAddr(), resident())
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan() // everybody is here
	go func() {
		for range time.Tick(time.Second / benchmarkRate) {
			publish()
		}
	}()
	if to := os.Getenv(benchmarkProfile); to != "" {
		f, _ := os.Create(to + "." + role)
		_ = pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	for lines.Scan() {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		runtime.GC()
		fmt.Println(u.Utime.Nano()+u.Stime.Nano(), resident())
	}
}

// resident is this process's resident memory, in bytes.
func resident() (pages int64) {
	stat, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		var size int64
		fmt.Sscan(string(stat), &size, &pages)
	}
	return pages * int64(os.Getpagesize())
}

// cost is what a server's process uses: CPU for each event delivered, and memory for each connection.
type cost struct {
	cpu    time.Duration
	memory float64
}

func measure(b *testing.B, role string, conns, streams int, window time.Duration) cost {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchmarkRole+"="+role)
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { in.Close(); cmd.Wait() }() // it ends with its input
	lines := bufio.NewScanner(out)
	lines.Scan()
	var server string
	var empty int64
	fmt.Sscan(lines.Text(), &server, &empty)

	// A few sockets for all clients, so that theirs is not the limit.
	var delivered atomic.Int64
	var readers sync.WaitGroup
	defer readers.Wait()
	tr := make([]*quic.Transport, 8)
	for i := range tr {
		tr[i] = &quic.Transport{Conn: listen(b, "127.0.0.1:0")}
		defer func() { tr[i].Close(); tr[i].Conn.Close() }()
	}
	used := func() (cpu, memory int64) {
		fmt.Fprintln(in, "used")
		lines.Scan()
		fmt.Sscan(lines.Text(), &cpu, &memory)
		return
	}
	addr := mustUDP(b, server)
	var limit sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range conns {
		slots <- struct{}{}
		limit.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			q, err := tr[i%len(tr)].Dial(ctx, addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}},
				&quic.Config{InitialStreamReceiveWindow: 64 << 10, InitialConnectionReceiveWindow: 6 << 20, MaxIdleTimeout: time.Minute})
			if err != nil {
				b.Error(err)
				return
			}
			h := (&http3.Transport{}).NewClientConn(q)
			for range streams {
				req, _ := http.NewRequest(http.MethodGet, "https://localhost/", nil)
				res, err := h.RoundTrip(req)
				if err != nil {
					b.Error(err)
					return
				}
				readers.Go(func() {
					p := make([]byte, 4096)
					for {
						n, err := res.Body.Read(p)
						delivered.Add(int64(n))
						if err != nil {
							return
						}
					}
				})
			}
		})
	}
	limit.Wait()
	fmt.Fprintln(in, "go")
	time.Sleep(time.Second)
	before, _ := used()
	from := delivered.Load()
	time.Sleep(window)
	after, memory := used()
	events := float64(delivered.Load()-from) / float64(len(benchmarkEvent))
	if want := window.Seconds() * benchmarkRate * float64(conns*streams); events < want*0.9 {
		b.Logf("%s: only %.0f of %.0f events came: this machine is too slow for the load", role, events, want)
	}
	return cost{time.Duration(float64(after-before) / events), float64(memory-empty) / float64(conns)}
}

// BenchmarkDelivery compares with net/http3 as one would use it, in the same run. CPU is that of the
// server's process.
func BenchmarkDelivery(b *testing.B) {
	for _, load := range []struct{ conns, streams int }{{1000, 1}, {10, 100}} {
		b.Run(fmt.Sprintf("%dx%d", load.conns, load.streams), func(b *testing.B) {
			var ours, plain cost
			for b.Loop() {
				plain = measure(b, "plain", load.conns, load.streams, 4*time.Second)
				ours = measure(b, "h3", load.conns, load.streams, 4*time.Second)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(ours.cpu.Nanoseconds())/1e3, "us/delivery")
			b.ReportMetric(float64(plain.cpu.Nanoseconds())/1e3, "plain-us/delivery")
			b.ReportMetric(float64(ours.cpu)/float64(plain.cpu), "of-plain")
			b.ReportMetric(ours.memory/1024, "KiB/conn")
			b.ReportMetric(plain.memory/1024, "plain-KiB/conn")
		})
	}
}
