//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
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

// A suiteRun is a suite under way.
type suiteRun struct {
	Suite
	kernel time.Duration      // CPU of one small write, measured just after the row that refers to it
	found  map[string]*Result // by case, for the rows that compare with another
}

// Wire overhead of one event in a TLS 1.3 record of its own: the record's head, type and tag (RFC 8446 5.2), and
// the head of a DATA frame.
const wireOverhead = 5 + 1 + 16 + frameHead

// Run prints the table; it returns an error when a case could not run, not when a goal was missed: machines differ.
func (s Suite) Run(ctx context.Context) error {
	run := &suiteRun{Suite: s, found: make(map[string]*Result)}
	if run.Each == 0 {
		run.Each = 10 * time.Second
	}
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "case\tmeasured\tmust reach\t")
	var failed []error
	for _, c := range slices.Concat(suiteCases, gzipCases) {
		if !strings.Contains(c.name, s.Filter) {
			continue
		}
		result, err := run.one(ctx, c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			// The others can still be measured.
			failed = append(failed, fmt.Errorf("%s: %w", c.name, err))
			fmt.Fprintf(table, "%s\t%v\t\tFAILED\n", c.name, err)
			continue
		}
		run.found[c.name] = result
		fmt.Fprintf(table, "%s\t%s\n", c.name, c.row(result, run))
	}
	return errors.Join(append(failed, run.http3Rows(ctx, table))...)
}

func (s *suiteRun) one(ctx context.Context, c suiteCase) (*Result, error) {
	fmt.Fprintf(s.Log, "%s\n", c.name)
	server, err := s.start(ctx, c.settings)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	load := c.load
	load.URL, load.PublishURL = "https://"+server.public, "http://"+server.plain
	if load.Protocol == "h1" {
		load.URL = load.PublishURL
	}
	load.ServerPID, load.Insecure, load.Progress = server.process.Process.Pid, true, s.Log
	if c.heap {
		load.AdminURL = "http://" + server.admin
	}
	if load.Duration == 0 {
		load.Duration = s.Each
	}
	if !c.beside {
		return s.alone(ctx, load, c)
	}
	probe := Load{URL: load.URL, PublishURL: load.PublishURL, Insecure: true, Connections: 1, Rate: 50, Duration: load.Duration}
	return load.beside(ctx, probe)
}

func (s *suiteRun) alone(ctx context.Context, load Load, c suiteCase) (*Result, error) {
	result, err := load.Run(ctx)
	if err != nil || !c.kernel {
		return result, err
	}
	perEvent := int(result.BytesReceived/result.Delivered) + wireOverhead
	s.kernel, err = Kernel{Sockets: load.Connections, Size: perEvent, Rate: load.Rate, Duration: load.Duration}.Run(ctx, s.Program)
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
	process              *exec.Cmd
	public, plain, admin string
}

func (s *suiteRun) start(ctx context.Context, settings []string) (*server, error) {
	public, plain, admin, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	args := []string{"run", "-public", public, "-plain", plain, "-admin", admin, "-self-signed", "-set", "log.level=warn"}
	for _, setting := range settings {
		args = append(args, "-set", setting)
	}
	process := exec.CommandContext(ctx, s.Program, args...)
	process.Stdout, process.Stderr = s.Log, s.Log
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Program, err)
	}
	running := &server{process: process, public: public, plain: plain, admin: admin}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", public, time.Second)
		if err == nil {
			conn.Close()
			return running, nil
		}
	}
	running.stop()
	return nil, fmt.Errorf("%s run did not listen on %s within 10 s", s.Program, public)
}

func (s *server) stop() {
	s.process.Process.Signal(syscall.SIGTERM)
	impatient := time.AfterFunc(time.Second, func() { s.process.Process.Kill() })
	s.process.Wait()
	impatient.Stop()
}
