package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A chaosRelay is a freshet process that is killed, stopped and asked to leave, and started again.
type chaosRelay struct {
	standing
	// Static after construction.
	args   []string                   // of freshet
	enter  []string                   // a command that runs another in the relay's network namespace; empty: in this one
	output *transcript                // its standard error
	up     atomic.Bool                // clients may be sent there
	ended  chan struct{}              // closed when the process has
	end    *os.ProcessState           // readable then
	hold   interface{ Close() error } // its standard input: it ends when that does, and so with the test
	pid    int
}

// chaosKey is the cluster's: 32 bytes in base64.
const (
	chaosKey   = "Y2hhb3MgaXMgYSBsYWRkZXIsIHNhaWQgbm9ib2R5ISE="
	chaosToken = "chaos"
)

// newChaosRelay is a relay with addresses of its own: for clients, people, gossip and links. enter is a command that runs
// another where those addresses are.
func newChaosRelay(t testing.TB, name string, at [4]string, join []string, enter ...string) *chaosRelay {
	r := &chaosRelay{enter: enter, output: newTranscript()}
	r.standing = standing{t: t, name: name, url: "http://" + at[0], admin: "http://" + at[1]}
	r.args = []string{"run", "-until-stdin-ends", "-plain", at[0], "-admin", at[1]}
	for _, set := range []string{
		"cluster.name=" + name, "cluster.gossip=" + at[2], "cluster.links=" + at[3], "cluster.key=" + chaosKey,
		"cluster.join=" + strings.Join(join, ","), "publish.tokens=" + chaosToken,
		"drain=1s", "retry=50ms", "limits.address_share=1", "log.level=" + cmp.Or(os.Getenv("CHAOS_LOG_LEVEL"), "warn"),
	} {
		r.args = append(r.args, "-set", set)
	}
	t.Cleanup(r.bury)
	return r
}

// start runs the process, and returns when it is ready.
func (r *chaosRelay) start() error {
	command := append(append([]string{}, r.enter...), append([]string{"freshet"}, r.args...)...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr, cmd.WaitDelay = r.output, 5*time.Second
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "FRESHET_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.hold, r.pid, r.ended = in, cmd.Process.Pid, make(chan struct{})
	ready := make(chan string, 1)
	go func() {
		defer close(r.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			select {
			case ready <- lines.Text():
			default:
			}
		}
		_ = cmd.Wait() // its end is in the state
		r.end = cmd.ProcessState
	}()
	select {
	case <-ready:
		r.up.Store(true)
		return nil
	case <-r.ended:
		return fmt.Errorf("%s ends before it is ready: %v\n%s", r.name, r.end, r.output)
	case <-time.After(patience):
		return fmt.Errorf("%s is never ready\n%s", r.name, r.output)
	}
}

func (r *chaosRelay) signal(s syscall.Signal) error { return syscall.Kill(r.pid, s) }

// await waits until the process has ended, and wants it to have ended so.
func (r *chaosRelay) await(how func(*os.ProcessState) bool) error {
	select {
	case <-r.ended:
	case <-time.After(patience):
		return fmt.Errorf("%s does not end", r.name)
	}
	if !how(r.end) {
		return fmt.Errorf("%s ended with %v\n%s", r.name, r.end, r.output)
	}
	return nil
}

// kill is kill -9.
func (r *chaosRelay) kill() error {
	r.up.Store(false)
	if err := r.signal(syscall.SIGKILL); err != nil {
		return err
	}
	return r.await(func(s *os.ProcessState) bool {
		w, ok := s.Sys().(syscall.WaitStatus)
		return ok && w.Signaled() && w.Signal() == syscall.SIGKILL
	})
}

// leave is SIGTERM.
func (r *chaosRelay) leave() error {
	r.up.Store(false)
	if err := r.signal(syscall.SIGTERM); err != nil {
		return err
	}
	return r.await((*os.ProcessState).Success)
}

// pause is SIGSTOP; the kernel stops a process's threads in its own time.
func (r *chaosRelay) pause() error {
	r.up.Store(false)
	if err := r.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.pid))
		if err != nil {
			return err
		}
		if _, state, _ := strings.Cut(string(text), ") "); strings.HasPrefix(state, "T") {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New(r.name + " does not stop")
		}
	}
}

func (r *chaosRelay) resume() error {
	defer r.up.Store(true)
	return r.signal(syscall.SIGCONT)
}

// bury ends the process, whatever state it is in.
func (r *chaosRelay) bury() {
	if r.ended == nil {
		return
	}
	if dir := os.Getenv("CHAOS_LOG"); dir != "" && r.t.Failed() {
		defer func() { _ = os.WriteFile(filepath.Join(dir, r.name+".log"), []byte(r.output.String()), 0o644) }()
	}
	r.hold.Close()
	select {
	case <-r.ended:
	default:
		_ = r.signal(syscall.SIGKILL) // also ends one that is stopped
		<-r.ended
	}
}

// startAll starts relays at once.
func startAll(t testing.TB, relays []*chaosRelay) {
	t.Helper()
	var all sync.WaitGroup
	errs := make([]error, len(relays))
	for i, r := range relays {
		all.Go(func() { errs[i] = r.start() })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
