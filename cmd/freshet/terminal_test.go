package main

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestUntilStopped(t *testing.T) {
	said := newTranscript()
	exited := make(chan int)
	ctx, release := untilStopped(&terminal{stderr: said}, func(status int) { exited <- status })
	if ctx.Err() != nil {
		t.Fatal("stopped before any signal")
	}
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	<-ctx.Done()
	if got := context.Cause(ctx).Error(); got != "stopped by terminated" {
		t.Errorf("the cause is %q", got)
	}
	if said.String() != "" {
		t.Errorf("the first signal is no surprise, and it says %q", said)
	}
	// One right after it is the same wish; a later one is not. What comes in between
	// must leave no trace, so it is sent until it does.
	first, again := time.Now(), time.NewTicker(sameStop/5)
	defer again.Stop()
	for status := 0; status == 0; {
		syscall.Kill(os.Getpid(), syscall.SIGINT)
		select {
		case status = <-exited:
			if took := time.Since(first); status != 130 || took < sameStop/2 {
				t.Errorf("exits with %d after %v", status, took)
			}
		case <-again.C:
		}
	}
	if want := "freshet: stopped at once by a second signal (interrupt)\n"; said.String() != want {
		t.Errorf("says %q, want %q", said, want)
	}
	release()

	// Without a signal, giving them back ends the context and whoever waited.
	ctx, release = untilStopped(&terminal{}, func(int) { t.Error("exited") })
	release()
	if ctx.Err() == nil {
		t.Error("it goes on after it was released")
	}
}

func TestIsTerminal(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, f := range []*os.File{file, null} {
		if isTerminal(f) {
			t.Errorf("%s is no terminal", f.Name())
		}
	}
	if terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0); err == nil {
		defer terminal.Close()
		if !isTerminal(terminal) {
			t.Error("a terminal is not recognised")
		}
	}
}

func TestVariable(t *testing.T) {
	term := &terminal{environ: []string{"A=1", "B=x=y", "C="}}
	for name, want := range map[string]string{"A": "1", "B": "x=y", "C": "", "D": ""} {
		if got := term.variable(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
