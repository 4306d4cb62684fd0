package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"freshet/cmd/freshet/config"
)

// readmeAddress is where the README's relay listens.
const readmeAddress = "127.0.0.1:8080"

// What the README shows must be what happens: each command of its console blocks is run, in order, against a relay
// of its own, and must print what stands below it. "..." stands for anything within a line.
func TestReadmeConsole(t *testing.T) {
	address := startReadmeRelay(t)
	for _, block := range readmeBlocks(t, "console") {
		if strings.Contains(block, "freshet cluster") {
			continue // see TestReadmeCluster
		}
		for _, step := range consoleSteps(block) {
			got := runReadme(t, address, "sh", "-c", step.command)
			if !printsAs(step.output, got) {
				t.Errorf("$ %s\nprints\n%s\nand the README says\n%s", step.command, got, step.output)
			}
		}
	}
}

// The cluster that the README starts by hand is one, and what it shows of it happens.
func TestReadmeCluster(t *testing.T) {
	var start, console string
	for _, block := range readmeBlocks(t, "sh") {
		if strings.Contains(block, "cluster.gossip") {
			start += block
		}
	}
	for _, block := range readmeBlocks(t, "console") {
		if strings.Contains(block, "freshet cluster") {
			console += block
		}
	}
	if start == "" || console == "" {
		t.Fatal("the README does not start a cluster, or does not show one")
	}
	// Each port of the README is one that is free here.
	ports := map[string]string{}
	for _, address := range regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString("127.0.0.1:8080 127.0.0.1:8081 "+start+console, -1) {
		ports[address] = ""
	}
	free, err := freeLoopback(len(ports))
	if err != nil {
		t.Fatal(err)
	}
	var swap, swapBack []string
	for i, address := range slices.Sorted(maps.Keys(ports)) {
		ports[address] = free[i]
		swap, swapBack = append(swap, address, free[i]), append(swapBack, free[i], address)
	}
	here, there := strings.NewReplacer(append(swap, "bin/freshet", "freshet")...), strings.NewReplacer(swapBack...)
	start = strings.Replace(start, "freshet run -set cluster.name=a", "freshet run -plain 127.0.0.1:8080 -admin 127.0.0.1:8081 -set cluster.name=a", 1)
	blanks := regexp.MustCompile(` +`)
	shell := exec.Command("sh", "-c", here.Replace(start)+"wait\n")
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said := newTranscript()
	shell.Stdout, shell.Stderr = said, said
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-shell.Process.Pid, syscall.SIGTERM)
		shell.Wait()
	})
	if err := said.await(`(?s)(is ready.*){3}`, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, step := range consoleSteps(console) {
		got := there.Replace(runReadme(t, readmeAddress, "sh", "-c", here.Replace(step.command)))
		got, step.output = blanks.ReplaceAllString(got, " "), blanks.ReplaceAllString(step.output, " ") // columns are as wide as what is in them
		if !printsAs(step.output, got) {
			t.Errorf("$ %s\nprints\n%s\nand the README says\n%s", step.command, got, step.output)
		}
	}
}

// The programs in other languages publish to the topic "scores/match-43" as the README says, and each event arrives.
func TestReadmePrograms(t *testing.T) {
	interpreters := []struct {
		language string
		command  []string
	}{
		{"js", []string{"node", "--input-type=module", "-e"}},
		{"python", []string{"python3", "-c"}},
		{"php", []string{"php", "-r"}},
	}
	for _, in := range interpreters {
		t.Run(in.language, func(t *testing.T) {
			if _, err := exec.LookPath(in.command[0]); err != nil {
				t.Skipf("%s is not on this machine", in.command[0])
			}
			address := startReadmeRelay(t)
			blocks := readmeBlocks(t, in.language)
			if len(blocks) == 0 {
				t.Fatalf("the README has no %s program", in.language)
			}
			for _, program := range blocks {
				program = strings.TrimPrefix(program, "<?php\n")
				runReadme(t, address, in.command[0], append(in.command[1:len(in.command):len(in.command)], program)...)
			}
			got := runReadme(t, address, "curl", "-sN", "--max-time", "1", "http://"+readmeAddress+"/events/scores/match-43?from=oldest")
			if n := strings.Count(got, "event: goal\n"); n != len(blocks) {
				t.Errorf("%d programs published %d events:\n%s", len(blocks), n, got)
			}
		})
	}
}

// Keys, commands and flags that the README names are there.
func TestReadmeNamesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	keys := config.Keys()
	sections := map[string]bool{}
	for _, key := range keys {
		section, _, _ := strings.Cut(key, ".")
		sections[section] = true
	}
	some := 0
	for _, m := range regexp.MustCompile("(?:`|-set )([a-z0-9_]+)((?:\\.[a-z0-9_]+)*)[`:=]").FindAllStringSubmatch(string(text), -1) {
		if key := m[1] + m[2]; sections[m[1]] && !slices.ContainsFunc(keys, func(k string) bool { return k == key || strings.HasPrefix(k, key+".") }) {
			t.Errorf("the README names the key %s, and there is none", key)
		} else if sections[m[1]] {
			some++
		}
	}
	for _, m := range regexp.MustCompile(`(?m)(?:bin/|^|\x60)freshet ([a-z]+)((?: -[a-z0-9]+)?)`).FindAllStringSubmatch(string(text), -1) {
		c := commands[m[1]]
		if c == nil {
			if m[1] != "relays" && m[1] != "is" { // a sentence that begins with the name
				t.Errorf("the README names the command %s, and there is none", m[1])
			}
			continue
		}
		flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
		c.define(flags)
		if name := strings.TrimLeft(m[2], " -"); name != "" && flags.Lookup(name) == nil {
			t.Errorf("the README names the flag -%s of %s, and there is none", name, c.name)
		}
		some++
	}
	if some < 40 {
		t.Errorf("only %d keys and commands are recognised", some)
	}
}

// startReadmeRelay starts a relay as "freshet run" does, on a port of its own, and returns its address.
func startReadmeRelay(t *testing.T) string {
	t.Helper()
	c := config.Default()
	c.Listen.Plain = "127.0.0.1:0"
	return strings.TrimPrefix(startService(t, c).url(), "http://")
}

// startService runs what c describes, without its admin listener, until the test ends.
func startService(t *testing.T, c *config.Config) *service {
	t.Helper()
	c.Listen.Admin = ""
	c.Drain = time.Millisecond
	s, err := openService(c, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// readmeBlocks returns the README's fenced blocks of one language.
func readmeBlocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```")
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("the README has no %s block", language)
	}
	return blocks
}

type consoleStep struct{ command, output string }

func consoleSteps(block string) (steps []consoleStep) {
	for line := range strings.Lines(block) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, consoleStep{command: strings.TrimSpace(command)})
			continue
		}
		steps[len(steps)-1].output += line
	}
	return steps
}

// runReadme runs a program of the README with the relay's address in it, and returns what it prints. curl's --max-time
// ends with status 28, which is how the README's streams end.
func runReadme(t *testing.T, address, name string, args ...string) string {
	t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], readmeAddress, address)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	var said strings.Builder
	command.Stderr = &said
	out, err := command.Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 28) {
		t.Fatalf("%s: %v\n%s", fmt.Sprint(name, " ", args), err, said.String())
	}
	return string(out)
}

// printsAs reports whether got is what want says, "..." in want being anything within a line.
func printsAs(want, got string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), `\.\.\.`, `.*`)
	return regexp.MustCompile("^" + pattern + "$").MatchString(strings.TrimSpace(got))
}
