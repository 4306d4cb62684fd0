package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// terminal is where a command was called from: all that it reads and writes.
type terminal struct {
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	environ []string // NAME=value each
	live    bool     // a person watches stderr: lines there may be drawn over

	asksPerson bool // stdin is a keyboard
}

// variable returns the value of an environment variable, or "".
func (t *terminal) variable(name string) string {
	for _, entry := range t.environ {
		if n, value, ok := strings.Cut(entry, "="); ok && n == name {
			return value
		}
	}
	return ""
}

// say writes one line for the person at the terminal.
func (t *terminal) say(format string, args ...any) {
	fmt.Fprintf(t.stderr, format+"\n", args...)
}

// isTerminal tells a terminal from a file, a pipe and the null device.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// untilStopped returns a context that ends at the first SIGINT or SIGTERM. The second
// one calls exit. The function it returns gives the signals back.
func untilStopped(t *terminal, exit func(status int)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	over := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-signals:
			cancel(fmt.Errorf("stopped by %v", s))
		case <-over:
			return
		}
		select {
		case s := <-signals:
			t.say("freshet: stopped at once by a second signal (%v)", s)
			exit(130)
		case <-over:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		<-done
		cancel(nil)
	}
}
