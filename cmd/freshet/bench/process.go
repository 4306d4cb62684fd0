//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// A usage is what a process has used so far.
type usage struct {
	cpu    time.Duration // user and system
	memory uint64        // resident bytes
}

func (u usage) since(before usage) usage { return usage{cpu: u.cpu - before.cpu, memory: u.memory} }

// clockTick is the kernel's USER_HZ, in which /proc counts; it is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// usageOf reads /proc/pid/stat (proc_pid_stat(5)); a process that cannot be read has used nothing.
func usageOf(pid int) usage {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}
	}
	// The command's name may hold blanks and parentheses: fields are counted after its end.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const utime, stime, rss = 11, 12, 21
	if len(fields) <= rss {
		return usage{}
	}
	number := func(i int) uint64 {
		v, _ := strconv.ParseUint(string(fields[i]), 10, 64)
		return v
	}
	return usage{
		cpu:    time.Duration(number(utime)+number(stime)) * clockTick,
		memory: number(rss) * uint64(os.Getpagesize()),
	}
}
