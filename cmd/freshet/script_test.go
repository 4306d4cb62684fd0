package main

import (
	"bufio"
	"context"
	"flag"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts, and every test here, run this program as "freshet". Most tests that may run beside one another
// wait: for a relay to be missed, or to come back.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", strconv.Itoa(max(6, runtime.GOMAXPROCS(0)))) // what -parallel says wins
	testscript.Main(m, map[string]func(){"freshet": main})
}

// TestScripts runs the command line's scripts. Beside testscript's own commands they have
//
//	start NAME [flags]     freshet run on free ports; waits for its ready line, and sets
//	                       NAME (the plain URL), NAME_TLS, NAME_ADMIN and NAME_GOSSIP
//	signal NAME SIGNAL     sends it a signal
//	[!] await NAME         waits for its end, which must be with status 0, or not
//	log NAME REGEXP        waits until its standard error matches
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[running{}] = map[string]*program{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":  scriptStart,
			"signal": scriptSignal,
			"await":  scriptAwait,
			"log":    scriptLog,
		},
	})
}

// running is the key of a script's programs.
type running struct{}

// program is a freshet process that a test started.
type program struct {
	command *exec.Cmd
	ready   string // its first line; empty: it ended without one
	output  *transcript
	ended   chan struct{}
	err     error // of its end; readable once ended is closed
}

// startProgram starts freshet and waits for its first line on standard output.
func startProgram(ctx context.Context, environ []string, dir string, args ...string) (*program, error) {
	p := &program{command: exec.CommandContext(ctx, "freshet", args...), output: newTranscript(), ended: make(chan struct{})}
	p.command.Env, p.command.Dir, p.command.Stderr = environ, dir, p.output
	// A test that was run with -cover or -race must not be held up by a child that outlives it.
	p.command.WaitDelay = 5 * time.Second
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	first, _ := lines.ReadString('\n')
	p.ready = strings.TrimSuffix(first, "\n")
	go func() {
		defer close(p.ended)
		io.Copy(io.Discard, lines)
		p.err = p.command.Wait()
	}()
	return p, nil
}

// url is where the listener of that name is, from the ready line.
func (p *program) url(listener string) string { return readyURL(p.ready, listener) }

// stop asks it to stop and waits until it did.
func (p *program) stop() error {
	p.command.Process.Signal(syscall.SIGTERM)
	<-p.ended
	return p.err
}

func scriptStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: start NAME [flags]")
	}
	name := args[0]
	flags := append([]string{"run", "-plain", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-set", "drain=200ms"}, args[1:]...)
	environ := append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	for _, variable := range []string{"FRESHET_CONFIG", "FRESHET_PUBLISH_TOKENS"} {
		if value := ts.Getenv(variable); value != "" {
			environ = append(environ, variable+"="+value)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p, err := startProgram(ctx, environ, ts.MkAbs("."), flags...)
	ts.Check(err)
	ts.Defer(func() {
		p.command.Process.Signal(syscall.SIGTERM)
		<-p.ended
		cancel()
	})
	if p.ready == "" {
		<-p.ended
		ts.Fatalf("freshet run was never ready: %v\n%s", p.err, p.output)
	}
	ts.Logf("%s", p.ready)
	ts.Setenv(name, p.url("plain"))
	ts.Setenv(name+"_TLS", p.url("public"))
	ts.Setenv(name+"_ADMIN", p.url("admin"))
	ts.Setenv(name+"_GOSSIP", p.url("gossip"))
	ts.Value(running{}).(map[string]*program)[name] = p
}

func scriptProgram(ts *testscript.TestScript, args []string, want int) *program {
	if len(args) != want {
		ts.Fatalf("%d arguments are wanted, the program's name first", want)
	}
	p := ts.Value(running{}).(map[string]*program)[args[0]]
	if p == nil {
		ts.Fatalf("no program %s was started", args[0])
	}
	return p
}

func scriptSignal(ts *testscript.TestScript, _ bool, args []string) {
	p := scriptProgram(ts, args, 2)
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}
	s, ok := signals[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ts.Check(p.command.Process.Signal(s))
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	p := scriptProgram(ts, args, 1)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		ts.Fatalf("it runs on:\n%s", p.output)
	}
	if (p.err != nil) != neg {
		ts.Fatalf("it ended with %v:\n%s", p.err, p.output)
	}
}

func scriptLog(ts *testscript.TestScript, neg bool, args []string) {
	p := scriptProgram(ts, args, 2)
	if neg {
		ts.Fatalf("a log that must not have something is not to be waited for")
	}
	if err := p.output.await(args[1], 20*time.Second); err != nil {
		ts.Fatalf("%v", err)
	}
}
