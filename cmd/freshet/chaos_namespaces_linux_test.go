package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// insideVariable says that this process is the one that TestChaosPartitioned runs in a network namespace of its own.
const insideVariable = "CHAOS_INSIDE"

// TestChaosPartitioned is TestChaos with relays in network namespaces of their own, and cuts between them:
//
//	this process, in a namespace of its own, forwards
//	    │10.99.1.1      │10.99.2.1      │10.99.3.1
//	    │10.99.1.2      │10.99.2.2      │10.99.3.2
//	   r1              r2              r3             a blackhole for what comes from r1 and goes to r2: a cut
//
// Nothing outside of these namespaces is touched, and they go with the processes in them.
func TestChaosPartitioned(t *testing.T) {
	if os.Getenv(insideVariable) == "" {
		t.Parallel()
		playInNamespace(t)
		return
	}
	g := &ground{t: t}
	g.command("ip", "link", "set", "lo", "up")
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	var relays []*chaosRelay
	var join []string
	for i := range chaosRelays {
		join = append(join, g.host(i)+":7946")
	}
	for i := range chaosRelays {
		at := [4]string{g.host(i) + ":8080", g.host(i) + ":8081", g.host(i) + ":7946", g.host(i) + ":7947"}
		relays = append(relays, newChaosRelay(t, fmt.Sprint("r", i+1), at, join, g.plot(i)...))
	}
	c := newChaos(t, relays)
	c.partition, c.heal = g.cut, g.heal
	c.run(partitioned, killed, cutOff, stopped)
}

// playInNamespace runs the test again, in a process whose network is its own.
func playInNamespace(t *testing.T) {
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no partitions between processes: %v", err)
		}
	}
	try := exec.Command("ip", "link", "add", "try0", "type", "veth", "peer", "name", "try1")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := try.CombinedOutput(); err != nil {
		t.Skipf("no partitions between processes: this user may not make network namespaces: %v %s", err, out)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside := exec.Command(program, "-test.run=^"+t.Name()+"$", "-test.v", "-chaos="+chaosFor.String(), "-seed="+strconv.FormatUint(*chaosSeed, 10))
	inside.Env = append(os.Environ(), insideVariable+"=1")
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := inside.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	inside.Stderr = inside.Stdout
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		t.Log(lines.Text())
	}
	if err := inside.Wait(); err != nil {
		t.Error(err)
	}
}

// ground is the namespaces.
type ground struct {
	t    *testing.T
	cuts [][]string // rules of ip-rule(8)
}

// host is a relay's address.
func (g *ground) host(i int) string { return fmt.Sprintf("10.99.%d.2", i+1) }

// plot makes the namespace of a relay, and returns a command that runs another in it.
func (g *ground) plot(i int) (enter []string) {
	g.t.Helper()
	// A namespace lasts for as long as a process is in it. This one reads until the test ends.
	keeper := exec.Command("cat")
	keeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := keeper.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		in.Close()
		keeper.Wait()
	})
	pid := strconv.Itoa(keeper.Process.Pid)
	enter = []string{"nsenter", "-t", pid, "-n"}
	here, net := "plot"+strconv.Itoa(i+1), fmt.Sprintf("10.99.%d.", i+1)
	g.command("ip", "link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", pid)
	g.command("ip", "addr", "add", net+"1/30", "dev", here)
	g.command("ip", "link", "set", here, "up")
	for _, there := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "addr", "add", net + "2/30", "dev", "eth0"},
		{"ip", "link", "set", "eth0", "up"},
		{"ip", "route", "add", "default", "via", net + "1"},
	} {
		g.command(append(append([]string{}, enter...), there...)...)
	}
	return enter
}

// cut lets nothing through from some relays to others.
func (g *ground) cut(from, to []*chaosRelay) {
	g.t.Helper()
	for _, a := range from {
		for _, b := range to {
			rule := []string{"iif", "plot" + a.name[1:], "to", "10.99." + b.name[1:] + ".2", "blackhole"}
			g.command(append([]string{"ip", "rule", "add"}, rule...)...)
			g.cuts = append(g.cuts, rule)
		}
	}
}

func (g *ground) heal() {
	g.t.Helper()
	for _, rule := range g.cuts {
		g.command(append([]string{"ip", "rule", "del"}, rule...)...)
	}
	g.cuts = nil
}

func (g *ground) command(args ...string) {
	g.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		g.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
