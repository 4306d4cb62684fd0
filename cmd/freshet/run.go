package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
)

func init() {
	register(command{
		name:    "run",
		summary: "run a relay",
		details: `Says in one line on standard output when it is ready, and where; one that is of a cluster,
once it has met the others, or could not for three seconds. SIGTERM and SIGINT
stop it cleanly: it says on /readyz that it is not ready, goes on for drain_delay, sends its
subscribers away, one a millisecond, over drain at most, and exits with 0. A second signal,
a second later or more, stops it at once. SIGHUP makes it read its certificate files again.

The flags win over FRESHET_... variables, these over the file, that over the defaults;
"freshet config" prints every key.`,
		define: func(flags *flag.FlagSet) action {
			settings := defineSettings(flags)
			asChild := flags.Bool("until-stdin-ends", false, "stop when standard input ends too, as a child's does when its parent is gone")
			return func(ctx context.Context, t *terminal, args []string) error {
				if err := noArguments(args); err != nil {
					return err
				}
				if *asChild {
					ctx = untilEnds(ctx, t.stdin)
				}
				return runRelay(ctx, t, settings)
			}
		},
	})
}

// collectAt is how much of the live heap may be garbage before it is collected, in percent. A
// relay's heap is subscribers and rings, which stay, and nothing is allocated for an event's way
// out: so collecting at half of Go's usual 100 costs little and saves a quarter of the memory.
const collectAt = 50

func runRelay(ctx context.Context, t *terminal, settings *settingFlags) error {
	conf, err := settings.load(t)
	if err != nil {
		return err
	}
	log := newLog(conf.Log, t.stderr)
	s, err := openService(conf, log, nil)
	if err != nil {
		return err
	}
	if t.variable("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	s.whenReady = func() {
		fmt.Fprintln(t.stdout, s.readyLine())
		log.Info("started", "version", version())
	}
	collecting, done := context.WithCancel(ctx)
	var idle sync.WaitGroup
	idle.Go(func() { new(collector).Run(collecting) })
	err = s.Run(ctx)
	done()
	idle.Wait()
	if err != nil {
		return err
	}
	log.Info("stopped", "why", context.Cause(ctx))
	return nil
}

// untilEnds returns a context that ends with what r has to read. The goroutine that reads
// lasts as long as r does, which here is the process's standard input.
func untilEnds(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		io.Copy(io.Discard, r)
		cancel(errors.New("standard input ended"))
	}()
	return ctx
}
