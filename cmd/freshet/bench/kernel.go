//go:build linux

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Kernel run measures the floor under every fan-out server: what one small write to each of many plain TCP
// sockets costs in CPU, with nothing else done. The writer is a process of its own, so that its CPU can be told
// from the reader's.
type Kernel struct {
	Sockets  int
	Size     int     // bytes of each write
	Rate     float64 // rounds a second
	Duration time.Duration
}

// Run starts program (freshet itself) as the writer and returns the writer's CPU per write.
func (k Kernel) Run(ctx context.Context, program string) (time.Duration, error) {
	writer := exec.CommandContext(ctx, program, "bench", "-kernel-writer",
		fmt.Sprintf("%d,%d,%g,%v", k.Sockets, k.Size, k.Rate, k.Duration))
	writer.Stderr = os.Stderr
	out, err := writer.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := writer.Start(); err != nil {
		return 0, fmt.Errorf("start the kernel writer: %w", err)
	}
	defer writer.Wait()
	defer writer.Process.Kill()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return 0, fmt.Errorf("the kernel writer said nothing: %w", lines.Err())
	}
	remote, err := netip.ParseAddrPort(lines.Text())
	if err != nil {
		return 0, fmt.Errorf("the kernel writer's address: %w", err)
	}
	p, err := newPoller()
	if err != nil {
		return 0, err
	}
	defer p.close()
	for range k.Sockets {
		c, err := dial(netip.Addr{}, remote, nil, sink{})
		if err != nil {
			return 0, err
		}
		if err := p.add(c); err != nil {
			return 0, err
		}
	}
	reading, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- p.run(reading, func(*connection, error) {}) }()
	defer func() { stop(); <-done }()
	if !lines.Scan() {
		return 0, fmt.Errorf("the kernel writer did not finish: %w", lines.Err())
	}
	cpu, err := time.ParseDuration(lines.Text())
	return cpu, err
}

// sink is a protocol that takes everything.
type sink struct{}

func (sink) appendRequests(dst []byte) []byte                    { return append(dst, '\n') }
func (sink) receive(_ []byte, _ int64, _ *tally) ([]byte, error) { return nil, nil }

// ServeKernelWriter is the writing process: spec is "sockets,size,rate,duration". It prints its address, writes,
// and prints the CPU per write.
func ServeKernelWriter(spec string, out io.Writer) error {
	var k Kernel
	parts := strings.Split(spec, ",")
	if len(parts) != 4 {
		return fmt.Errorf("-kernel-writer %q: want sockets,size,rate,duration", spec)
	}
	var failed [4]error
	k.Sockets, failed[0] = strconv.Atoi(parts[0])
	k.Size, failed[1] = strconv.Atoi(parts[1])
	k.Rate, failed[2] = strconv.ParseFloat(parts[2], 64)
	k.Duration, failed[3] = time.ParseDuration(parts[3])
	for _, err := range failed {
		if err != nil {
			return fmt.Errorf("-kernel-writer %q: %w", spec, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintln(out, l.Addr())
	descriptors := make([]int, 0, k.Sockets)
	for range k.Sockets {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		defer conn.Close()
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		raw.Control(func(fd uintptr) { descriptors = append(descriptors, int(fd)) })
	}
	fmt.Fprintln(out, k.write(descriptors))
	return nil
}

// write returns the CPU per write.
func (k Kernel) write(descriptors []int) time.Duration {
	payload := make([]byte, k.Size)
	rounds := int(k.Duration.Seconds() * k.Rate)
	began, before := time.Now(), ownCPU()
	for i := range rounds {
		time.Sleep(time.Until(began.Add(time.Duration(float64(i) / k.Rate * float64(time.Second)))))
		for _, fd := range descriptors {
			unix.Write(fd, payload)
		}
	}
	return (ownCPU() - before) / time.Duration(rounds*len(descriptors))
}

// ownCPU is finer than /proc: getrusage counts microseconds.
func ownCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
