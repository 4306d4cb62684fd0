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
	"runtime/debug"
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
	to := os.Getenv(benchmarkProfile)
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println(packets.LocalAddr())
	for lines.Scan() {
		switch lines.Text() {
		case "used":
			fmt.Println(used())
		case "rested": // everybody is here and nothing happens
			if to != "" {
				writeProfile(to+"."+role+".heap", func(f *os.File) { _ = pprof.Lookup("heap").WriteTo(f, 0) })
			}
		case "go":
			go func() {
				for range time.Tick(time.Second / benchmarkRate) {
					publish()
				}
			}()
			if to != "" {
				f, _ := os.Create(to + "." + role)
				_ = pprof.StartCPUProfile(f)
				defer pprof.StopCPUProfile()
			}
		}
	}
}

func writeProfile(name string, write func(*os.File)) {
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	write(f)
}

// usage is what a server's process has used: CPU in nanoseconds, memory in bytes.
type usage struct{ cpu, resident, heap, stacks int64 }

func (u usage) String() string { return fmt.Sprint(u.cpu, " ", u.resident, " ", u.heap, " ", u.stacks) }

// used looks after garbage was collected, so that memory is what is kept.
func used() usage {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{u.Utime.Nano() + u.Stime.Nano(), resident(), int64(m.HeapAlloc), int64(m.StackInuse)}
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

// cost is what a server's process uses: CPU for each event delivered, and bytes of memory for each connection.
type cost struct {
	cpu          time.Duration
	rest         float64 // resident, while nothing happens
	heap, stacks float64 // parts of it
	load         float64 // resident, under the load
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
	server := lines.Text()
	used := func() (u usage) {
		fmt.Fprintln(in, "used")
		lines.Scan()
		fmt.Sscan(lines.Text(), &u.cpu, &u.resident, &u.heap, &u.stacks)
		return u
	}
	empty := used()

	// A few sockets for all clients, so that theirs is not the limit.
	var delivered atomic.Int64
	var readers sync.WaitGroup
	defer readers.Wait()
	tr := make([]*quic.Transport, 8)
	for i := range tr {
		tr[i] = &quic.Transport{Conn: listen(b, "127.0.0.1:0")}
		defer func() { tr[i].Close(); tr[i].Conn.Close() }()
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
	time.Sleep(time.Second) // for what the handshakes still have to say
	rest := used()
	fmt.Fprintln(in, "rested")
	fmt.Fprintln(in, "go")
	time.Sleep(time.Second)
	before := used()
	from := delivered.Load()
	time.Sleep(window)
	after := used()
	events := float64(delivered.Load()-from) / float64(len(benchmarkEvent))
	if want := window.Seconds() * benchmarkRate * float64(conns*streams); events < want*0.9 {
		b.Logf("%s: only %.0f of %.0f events came: this machine is too slow for the load", role, events, want)
	}
	each := func(after, before int64) float64 { return float64(after-before) / float64(conns) }
	return cost{
		cpu:    time.Duration(float64(after.cpu-before.cpu) / events),
		rest:   each(rest.resident, empty.resident),
		heap:   each(rest.heap, empty.heap),
		stacks: each(rest.stacks, empty.stacks),
		load:   each(after.resident, empty.resident),
	}
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
			b.ReportMetric(ours.rest/1024, "rest-KiB/conn")
			b.ReportMetric(ours.heap/1024, "heap-KiB/conn")
			b.ReportMetric(ours.stacks/1024, "stack-KiB/conn")
			b.ReportMetric(ours.load/1024, "load-KiB/conn")
			b.ReportMetric(plain.rest/1024, "plain-rest-KiB/conn")
			b.ReportMetric(plain.load/1024, "plain-load-KiB/conn")
		})
	}
}
