//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// A Suite runs the cases of the design's table one after the other, each against a freshet process of its own, and
// prints what was reached beside what must be. Every case names its own baseline of the same run.
type Suite struct {
	Program string        // freshet
	Each    time.Duration // of a measurement; 0: 10 s
	Filter  string        // run only the cases whose name contains it
	Out     io.Writer     // the table
	Log     io.Writer     // progress, and what the servers print
}

// A suiteCase is one row.
type suiteCase struct {
	name string
	load Load
	goal func(*Result, *suiteRun) (measured string, goal string, reached bool)
}

// A suiteRun is a suite under way.
type suiteRun struct {
	Suite
	kernel time.Duration // CPU of one small write, measured just before the rows that refer to it
}

var suiteCases = []suiteCase{
	{"1,000 TLS h2 connections, 1 stream each", Load{Connections: 1000, Streams: 1, Rate: 20}, againstKernel(1.6)},
	{"10 connections x 100 streams", Load{Connections: 10, Streams: 100, Rate: 20}, cpuAtMost(0.7)},
	{"10 connections x 1,000 streams", Load{Connections: 10, Streams: 1000, Rate: 50}, cpuAtMost(0.3)},
	{"100 connections x 1,000 streams", Load{Connections: 100, Streams: 1000, Rate: 11}, cpuAtMost(0.3)},
	{"10,000 idle TLS h2 connections", Load{Connections: 10_000, Streams: 1, Rate: 1, Duration: 2 * time.Second, Idle: 3 * time.Second}, memoryAtMost(10)},
	{"100,000 idle streams", Load{Connections: 100, Streams: 1000, Rate: 1, Duration: 2 * time.Second, Idle: 3 * time.Second}, memoryAtMost(0.4)},
	{"1,000,000 idle streams", Load{Connections: 1000, Streams: 1000, Rate: 0.5, Duration: 4 * time.Second, Idle: 3 * time.Second}, memoryAtMost(0.4)},
	{"10,000 HTTP/1.1 subscribers", Load{Connections: 10_000, Protocol: "h1", Rate: 5}, cpuShown},
}

func cpuAtMost(limit float64) func(*Result, *suiteRun) (string, string, bool) {
	return func(r *Result, _ *suiteRun) (string, string, bool) {
		return fmt.Sprintf("%.2f us a delivery, %.0f deliveries/s, p99 %s", r.ServerCPU, r.DeliveryRate, human(r.LatencyP99)),
			fmt.Sprintf("<= %.1f us", limit), r.ServerCPU <= limit
	}
}

func cpuShown(r *Result, _ *suiteRun) (string, string, bool) {
	return fmt.Sprintf("%.2f us a delivery, p99 %s", r.ServerCPU, human(r.LatencyP99)), "every event in order", true
}

func memoryAtMost(kib float64) func(*Result, *suiteRun) (string, string, bool) {
	return func(r *Result, _ *suiteRun) (string, string, bool) {
		return fmt.Sprintf("%.2f KiB each", r.MemoryPerSubscriber/1024), fmt.Sprintf("<= %.1f KiB", kib), r.MemoryPerSubscriber <= kib*1024
	}
}

// againstKernel compares with one plain write of the same bytes to as many sockets.
func againstKernel(limit float64) func(*Result, *suiteRun) (string, string, bool) {
	return func(r *Result, s *suiteRun) (string, string, bool) {
		ratio := r.ServerCPU / microseconds(s.kernel)
		return fmt.Sprintf("%.2f us a delivery = %.2fx the kernel's %.2f us, p99 %s", r.ServerCPU, ratio, microseconds(s.kernel), human(r.LatencyP99)),
			fmt.Sprintf("<= %.1fx", limit), ratio <= limit
	}
}

// Wire overhead of one event in a TLS 1.3 record of its own: the record's head, type and tag (RFC 8446 5.2), and
// the head of a DATA frame.
const wireOverhead = 5 + 1 + 16 + frameHead

// Run prints the table; it returns an error when a case could not run, not when a goal was missed: machines differ.
func (s Suite) Run(ctx context.Context) error {
	run := &suiteRun{Suite: s}
	if run.Each == 0 {
		run.Each = 10 * time.Second
	}
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "case\tmeasured\tmust reach\t")
	for _, c := range suiteCases {
		if !strings.Contains(c.name, s.Filter) {
			continue
		}
		result, err := run.one(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		measured, goal, reached := c.goal(result, run)
		mark := "reached"
		if !reached {
			mark = "MISSED"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.name, measured, goal, mark)
	}
	return nil
}

func (s *suiteRun) one(ctx context.Context, c suiteCase) (*Result, error) {
	fmt.Fprintf(s.Log, "%s\n", c.name)
	server, address, err := s.start(ctx, c.load.Protocol != "h1")
	if err != nil {
		return nil, err
	}
	defer server.stop()
	load := c.load
	load.URL, load.ServerPID, load.Insecure, load.Progress = address, server.process.Process.Pid, true, s.Log
	load.PublishURL = "http://" + server.plain
	if load.Duration == 0 {
		load.Duration = s.Each
	}
	result, err := load.Run(ctx)
	if err != nil {
		return nil, err
	}
	if load.Connections == 1000 && load.Streams == 1 {
		perEvent := int(result.BytesReceived/result.Delivered) + wireOverhead
		s.kernel, err = Kernel{Sockets: load.Connections, Size: perEvent, Rate: load.Rate, Duration: load.Duration}.Run(ctx, s.Program)
	}
	return result, err
}

// freeAddresses finds three loopback ports that nobody listens on.
func freeAddresses() (public, plain, admin string, err error) {
	var addresses [3]string
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", "", err
		}
		defer l.Close()
		addresses[i] = l.Addr().String()
	}
	return addresses[0], addresses[1], addresses[2], nil
}

// A server is a freshet process of one case.
type server struct {
	process *exec.Cmd
	plain   string
}

func (s *suiteRun) start(ctx context.Context, secure bool) (*server, string, error) {
	public, plain, admin, err := freeAddresses()
	if err != nil {
		return nil, "", err
	}
	process := exec.CommandContext(ctx, s.Program, "run", "-public", public, "-plain", plain, "-admin", admin, "-self-signed")
	process.Stdout, process.Stderr = s.Log, s.Log
	// Whatever the shell has set for a configured relay must not bend the measurement.
	process.Env = append(os.Environ(), "FRESHET_LOG_LEVEL=warn")
	if err := process.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", s.Program, err)
	}
	running := &server{process: process, plain: plain}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", public, time.Second)
		if err != nil {
			continue
		}
		conn.Close()
		if secure {
			return running, "https://" + public, nil
		}
		return running, "http://" + plain, nil
	}
	running.stop()
	return nil, "", fmt.Errorf("%s run did not listen on %s within 10 s", s.Program, public)
}

func (s *server) stop() {
	s.process.Process.Signal(syscall.SIGTERM)
	impatient := time.AfterFunc(time.Second, func() { s.process.Process.Kill() })
	s.process.Wait()
	impatient.Stop()
}
