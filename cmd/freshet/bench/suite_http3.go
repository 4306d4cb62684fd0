//go:build linux

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// An http3Case is a row of the suite's that compares freshet with the plain server, under the same load in turn:
// plain, freshet, freshet, plain. So what else the machine does meanwhile, and what it tires of, hits both.
type http3Case struct {
	name   string
	load   Load
	cpu    float64 // aim, us a delivery
	memory float64 // aim, KiB a connection at rest; 0: none
}

var http3Cases = []http3Case{
	{name: "1,000 HTTP/3 connections, 1 stream each", load: Load{Connections: 1000, Rate: 20}, cpu: 24, memory: 80},
	{name: "10 HTTP/3 connections x 100 streams", load: Load{Connections: 10, Streams: 100, Rate: 20}, cpu: 4},
}

// http3Rows runs the cases and prints their rows.
func (s *suiteRun) http3Rows(ctx context.Context, table io.Writer) error {
	var failed []error
	for _, c := range http3Cases {
		if !strings.Contains(c.name, s.Filter) {
			continue
		}
		fmt.Fprintf(s.Log, "%s\n", c.name)
		ours, plain, err := s.inTurn(ctx, c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.name, err))
			fmt.Fprintf(table, "%s\t%v\t\tFAILED\n", c.name, err)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\n", c.name, c.row(ours, plain))
	}
	return errors.Join(failed...)
}

// inTurn measures both servers twice.
func (s *suiteRun) inTurn(ctx context.Context, c http3Case) (ours, plain *http3Result, err error) {
	load := c.load
	load.Protocol, load.Duration = "h3", s.Each/2
	if c.memory > 0 {
		load.Idle = 15 * time.Second // see idle
	}
	if plain, err = s.plainHTTP3(ctx, load); err != nil {
		return nil, nil, err
	}
	if ours, err = s.freshetHTTP3(ctx, load); err != nil {
		return nil, nil, err
	}
	load.Idle = 0
	again, err := s.freshetHTTP3(ctx, load)
	if err != nil {
		return nil, nil, err
	}
	ours.mean(again)
	if again, err = s.plainHTTP3(ctx, load); err != nil {
		return nil, nil, err
	}
	plain.mean(again)
	return ours, plain, nil
}

// mean takes the CPU of another measurement in, and its latency if that is worse.
func (r *http3Result) mean(again *http3Result) {
	r.ServerCPU = (r.ServerCPU*float64(r.measured) + again.ServerCPU*float64(again.measured)) / float64(r.measured+again.measured)
	r.LatencyP99 = max(r.LatencyP99, again.LatencyP99)
}

// An http3Result is what a load found, and what memory the server needs under it.
type http3Result struct {
	*Result
	busy float64 // bytes a connection under load
}

// row puts the two beside each other.
func (c http3Case) row(ours, plain *http3Result) string {
	measured := fmt.Sprintf("%.1f us a delivery = %.2fx net/http3's %.1f us, p99 %s", ours.ServerCPU, ours.ServerCPU/plain.ServerCPU,
		plain.ServerCPU, human(ours.LatencyP99))
	aim, reached := fmt.Sprintf("<= %.0f us", c.cpu), ours.ServerCPU <= c.cpu
	if c.memory > 0 {
		measured += fmt.Sprintf("; memory %.0f KiB at rest = %.2fx, %.0f KiB under load = %.2fx", ours.MemoryPerConnection/1024,
			ours.MemoryPerConnection/plain.MemoryPerConnection, ours.busy/1024, ours.busy/plain.busy)
		aim += fmt.Sprintf(", <= %.0f KiB at rest", c.memory)
		reached = reached && ours.MemoryPerConnection <= c.memory*1024
	}
	return fmt.Sprintf("%s\t%s\t%s", measured, aim, mark(reached && ours.verdict() == nil))
}

func (s *suiteRun) freshetHTTP3(ctx context.Context, load Load) (*http3Result, error) {
	server, err := s.start(ctx, []string{"limits.address_share=1"})
	if err != nil {
		return nil, err
	}
	defer server.stop()
	load.URL, load.PublishURL, load.ServerPID = "https://"+server.public, "http://"+server.plain, server.process.Process.Pid
	return s.loadHTTP3(ctx, load)
}

// plainHTTP3 starts the plain server in a process of its own, which ends with its input.
func (s *suiteRun) plainHTTP3(ctx context.Context, load Load) (*http3Result, error) {
	process := exec.CommandContext(ctx, s.Program, "bench", "-plain-http3")
	process.Stderr = s.Log
	in, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	defer process.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return nil, fmt.Errorf("it said nothing: %w", lines.Err())
	}
	public, publish, _ := strings.Cut(lines.Text(), " ")
	for _, address := range []string{public, publish} {
		if _, err := netip.ParseAddrPort(address); err != nil {
			return nil, fmt.Errorf("its addresses: %w", err)
		}
	}
	load.URL, load.PublishURL, load.ServerPID = "https://"+public, "http://"+publish, process.Process.Pid
	result, err := s.loadHTTP3(ctx, load)
	if errors.Is(err, ErrIncomplete) {
		err = nil // it drops what a slow subscriber has no room for
	}
	if err != nil {
		return nil, fmt.Errorf("plain server: %w", err)
	}
	return result, nil
}

// loadHTTP3 runs the load, and looks at the server's memory shortly before its end.
func (s *suiteRun) loadHTTP3(ctx context.Context, load Load) (*http3Result, error) {
	load.Insecure, load.Progress = true, s.Log
	empty := usageOf(load.ServerPID).memory
	var busy uint64
	var looking sync.WaitGroup
	load.begun = func() {
		looking.Go(func() {
			select {
			case <-time.After(load.Duration * 9 / 10):
				busy = usageOf(load.ServerPID).memory
			case <-ctx.Done():
			}
		})
	}
	result, err := load.Run(ctx)
	looking.Wait()
	if result == nil {
		return nil, err
	}
	return &http3Result{result, (float64(busy) - float64(empty)) / float64(load.Connections)}, err
}
