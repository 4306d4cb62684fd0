package netloop

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFanout measures processor time for each delivery of an event of 200 bytes, at 20 events a
// second, beside the kernel's own: a write of as many bytes to as many plain TCP sockets, by turns in the same run.
func BenchmarkFanout(b *testing.B) {
	for _, v := range []struct {
		mode                 string
		connections, streams int
	}{
		{"h2", 1000, 1}, {"h2c", 1000, 1}, {"h2", 10, 100}, {"h2", 10, 1000}, {"h2", 100, 1000},
	} {
		b.Run(fmt.Sprintf("%s/%dx%d", v.mode, v.connections, v.streams), func(b *testing.B) {
			benchmarkFanout(b, v.mode, v.connections, v.streams)
		})
	}
}

func benchmarkFanout(b *testing.B, mode string, connections, streams int) {
	all := int64(connections * streams)
	mux := http.NewServeMux()
	e := &Engine{Handler: mux, Heartbeat: -1, AddressShare: 1}
	g := newStage(e)
	mux.Handle("/events", g)
	s := serve(b, e)
	addr := s.secure
	if mode == "h2c" {
		addr = s.plain
	}

	// The kernel's part: bytes of one write to one connection.
	write := make([]byte, streams*(len(g.event)+9))
	if mode == "h2" {
		write = append(write, make([]byte, (len(write)/maxRecord+1)*22)...)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	socks := make(chan []int)
	go func() {
		var all []int
		for range connections {
			nc, err := l.Accept()
			if err != nil {
				panic(err)
			}
			// A descriptor that the runtime's poller does not know: the kernel's cost and nothing else.
			raw, _ := nc.(*net.TCPConn).SyscallConn()
			_ = raw.Control(func(fd uintptr) {
				dup, err := syscall.Dup(int(fd))
				if err != nil {
					panic(err)
				}
				all = append(all, dup)
			})
			nc.Close()
		}
		socks <- all
	}()
	kernelCrowd := startCrowd(b, "tcp", l.Addr().String(), connections, streams)
	sockets := <-socks
	defer func() {
		for _, fd := range sockets {
			syscall.Close(fd)
		}
	}()

	crowd := startCrowd(b, mode, addr, connections, streams)
	wait(b, "all to subscribe", func() bool { return g.open.Load() == all })

	const rounds = 20
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	var engineTime, kernelTime time.Duration
	var engineN, kernelN int64
	var mallocs, kernelFull uint64
	runtime.GC()
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start, had := cpu(), crowd.bytes()
		for range rounds {
			<-pace.C
			g.send()
		}
		want := had + rounds*all*int64(len(g.event)+9)
		wait(b, "delivery", func() bool { return crowd.bytes() >= want })
		engineTime += cpu() - start
		engineN += rounds * all
		runtime.ReadMemStats(&after)
		mallocs += after.Mallocs - before.Mallocs

		start = cpu()
		for range rounds {
			<-pace.C
			for _, fd := range sockets {
				if n, _ := (&fdSocket{fd: fd}).write(write); n < len(write) {
					kernelFull++
				}
			}
		}
		kernelTime += cpu() - start
		kernelN += rounds * int64(connections)
	}
	perDelivery := float64(engineTime.Nanoseconds()) / float64(engineN) / 1e3
	perWrite := float64(kernelTime.Nanoseconds()) / float64(kernelN) / 1e3
	b.ReportMetric(perDelivery, "us/delivery")
	b.ReportMetric(perWrite, "us/kernel-write")
	b.ReportMetric(perDelivery*float64(streams)/perWrite, "x-kernel")
	b.ReportMetric(float64(mallocs)/float64(engineN), "allocs/delivery")
	b.ReportMetric(0, "ns/op")
	if kernelFull > uint64(kernelN)/100 {
		b.Logf("%d of %d writes of the kernel's part were cut short", kernelFull, kernelN)
	}
	_ = kernelCrowd
}

// BenchmarkThroughput measures how many deliveries a second two processors make, with those who read on the
// same two: each event is sent when all have taken the one before.
func BenchmarkThroughput(b *testing.B) {
	for _, connections := range []int{10, 100} {
		b.Run(fmt.Sprintf("h2/%dx1000", connections), func(b *testing.B) {
			mux := http.NewServeMux()
			e := &Engine{Handler: mux, Heartbeat: -1, AddressShare: 1}
			g := newStage(e)
			mux.Handle("/events", g)
			s := serve(b, e)
			c := startCrowd(b, "h2", s.secure, connections, 1000)
			all := int64(connections) * 1000
			wait(b, "all to subscribe", func() bool { return g.open.Load() == all })
			had, rounds := c.bytes(), int64(0)
			start := time.Now()
			for b.Loop() {
				for range 10 {
					g.send()
					rounds++
					want := rounds * all
					for {
						frames := int64(0)
						for _, l := range e.Stats().Loops {
							frames += int64(l.Frames)
						}
						if frames >= want {
							break
						}
						time.Sleep(100 * time.Microsecond)
					}
				}
			}
			wait(b, "delivery", func() bool { return c.bytes() >= had+rounds*all*int64(len(g.event)+9) })
			b.ReportMetric(float64(rounds*all)/time.Since(start).Seconds(), "deliveries/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkHeartbeats measures the loop's time for one heartbeat of one of 100,000 idle streams, and
// what a million of them take of a processor at one every 15 s.
func BenchmarkHeartbeats(b *testing.B) {
	e := &Engine{AddressShare: 1, Heartbeat: 15 * time.Second}
	mux := http.NewServeMux()
	e.Handler = mux
	r := newRig(b, e)
	g := newStage(e)
	mux.Handle("/events", g)
	for range 100 {
		c := r.connect()
		for id := uint32(1); id < 2000; id += 2 {
			_ = c.WriteHeaders(headersTo(id, "/events"))
		}
		c.deliver()
		c.conn.socket = &sink{}
	}
	before := r.l.count.heartbeats
	start := time.Now()
	for b.Loop() {
		r.pass(e.Heartbeat)
	}
	each := float64(time.Since(start).Nanoseconds()) / float64(r.l.count.heartbeats-before)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(each, "ns/heartbeat")
	b.ReportMetric(each*1e6/float64(e.Heartbeat)*100, "%-of-a-core/million")
}

// BenchmarkBesideHugeTopic measures how long an event of a topic with one subscriber takes while another
// with 100,000 streams is sent 20 a second, and without.
func BenchmarkBesideHugeTopic(b *testing.B) {
	mux := http.NewServeMux()
	e := &Engine{Handler: mux, Heartbeat: -1, AddressShare: 1}
	huge, small := newStage(e), newStage(e)
	mux.Handle("/events", huge)
	mux.Handle("/small", small)
	s := serve(b, e)
	client, url := s.client("h2")
	line := bufio.NewReader(get(b, client, url+"/small").Body)
	wait(b, "the small one", func() bool { return small.open.Load() == 1 })
	startCrowd(b, "h2", s.secure, 100, 1000)
	wait(b, "the huge one", func() bool { return huge.open.Load() == 100_000 })

	// To the client, which shares two processors with the engine and with those who read the huge topic, and to
	// the moment that the loop takes the event, which is the engine's part.
	var quiet, busy, quietTaken, busyTaken []time.Duration
	taken := make(chan time.Time, 1)
	small.asked = func() { taken <- time.Now() }
	measure := func(arrived, asked *[]time.Duration) {
		start := time.Now()
		small.send()
		if _, err := line.ReadString('\n'); err != nil {
			b.Fatal(err)
		}
		*arrived = append(*arrived, time.Since(start))
		*asked = append(*asked, (<-taken).Sub(start))
		time.Sleep(5 * time.Millisecond)
	}
	for b.Loop() {
		for range 100 {
			measure(&quiet, &quietTaken)
		}
		stop := make(chan struct{})
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-pace.C:
					huge.send()
				case <-stop:
					return
				}
			}
		}()
		for range 200 {
			measure(&busy, &busyTaken)
		}
		close(stop)
		<-stopped
	}
	b.ReportMetric(0, "ns/op")
	for name, all := range map[string][]time.Duration{
		"quiet": quiet, "busy": busy, "taken-quiet": quietTaken, "taken-busy": busyTaken,
	} {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2].Seconds()*1e3, "ms-p50-"+name)
		b.ReportMetric(all[len(all)*99/100].Seconds()*1e3, "ms-p99-"+name)
		b.ReportMetric(all[len(all)-1].Seconds()*1e3, "ms-max-"+name)
	}
}
