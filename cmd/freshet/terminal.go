package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
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

// sameStop is how long after the first signal another one is the same wish: timeout(1), and
// shells and supervisors that signal a group, send the process two at once.
const sameStop = time.Second

// untilStopped returns a context that ends at the first SIGINT or SIGTERM. The next
// one calls exit, if it comes sameStop later. The function it returns gives the signals back.
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
		for first := time.Now(); ; {
			select {
			case s := <-signals:
				if time.Since(first) < sameStop {
					continue
				}
				t.say("freshet: stopped at once by a second signal (%v)", s)
				exit(130)
			case <-over:
			}
			return
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		<-done
		cancel(nil)
	}
}
