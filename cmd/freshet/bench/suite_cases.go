//go:build linux

package bench

import (
	"fmt"
	"time"
)

// A suiteCase is one row of the suite's table.
type suiteCase struct {
	name     string
	load     Load
	settings []string // of the relay, "key=value"
	beside   bool     // measure the delay of another topic with one subscriber meanwhile
	heap     bool     // have the relay collect its garbage, and look at its heap
	kernel   bool     // measure the kernel's own cost of the same bytes right after
	row      func(*Result, *suiteRun) string
}

// The names that other rows refer to.
const (
	oneEach     = "1,000 TLS h2 connections, 1 stream each"
	uncoalesced = "1,000 TLS h2 connections, 200 events/s"
)

var suiteCases = []suiteCase{
	{name: oneEach, load: Load{Connections: 1000, Rate: 20}, kernel: true, row: againstKernel(1.6)},
	{name: "10 connections x 100 streams", load: Load{Connections: 10, Streams: 100, Rate: 20}, row: cpuAtMost(0.7)},
	{name: "10 connections x 1,000 streams", load: Load{Connections: 10, Streams: 1000, Rate: 50}, row: cpuAtMost(0.3)},
	{name: "100 connections x 1,000 streams", load: Load{Connections: 100, Streams: 1000, Rate: 11}, row: cpuAtMost(0.3)},
	{name: "another topic beside 500,000 streams", load: Load{Connections: 500, Streams: 1000, Rate: 1, Sources: 4}, beside: true, row: otherTopic},
	{name: uncoalesced, load: Load{Connections: 1000, Rate: 200}, row: cpuShown},
	{name: "the same with topics.coalesce 10ms", load: Load{Connections: 1000, Rate: 200}, settings: []string{"topics.coalesce=10ms"}, row: againstUncoalesced},
	{name: "replay of 1,000 events to 10,000 streams", load: Load{Connections: 10, Streams: 1000, Replay: 1000, Rate: 1, Duration: 2 * time.Second}, beside: true, row: replayed},
	{name: "10,000 HTTP/1.1 subscribers", load: Load{Connections: 10_000, Protocol: "h1", Rate: 5}, row: cpuShown},
	{name: idleConnections, load: inStep(idle(Load{Connections: 10_000})), heap: true, row: memoryAtMost(10)},
	{name: idleStreams, load: inStep(idle(Load{Connections: 100, Streams: 1000})), heap: true, row: memoryAtMost(0.4)},
	{name: "1,000,000 idle streams", load: idle(Load{Connections: 1000, Streams: 1000, Sources: 4}), row: memoryAtMost(0.4)},
}

// idle is l with a rest before anything is published, long enough for what the coming of all left behind to be
// collected, and then an event or two to see that all are alive.
func idle(l Load) Load {
	l.Idle, l.Rate, l.Warmup, l.Duration = 15*time.Second, 1, time.Second, 2*time.Second
	return l
}

func mark(reached bool) string {
	if reached {
		return "reached"
	}
	return "MISSED"
}

func cpuAtMost(limit float64) func(*Result, *suiteRun) string {
	return func(r *Result, _ *suiteRun) string {
		return fmt.Sprintf("%.2f us a delivery (generator %.2f), %.0f deliveries/s, p99 %s\t<= %.1f us\t%s",
			r.ServerCPU, r.ClientCPU, r.DeliveryRate, human(r.LatencyP99), limit, mark(r.ServerCPU <= limit))
	}
}

func cpuShown(r *Result, _ *suiteRun) string {
	return fmt.Sprintf("%.2f us a delivery, p99 %s\tevery event in order\t%s", r.ServerCPU, human(r.LatencyP99), mark(r.verdict() == nil))
}

func memoryAtMost(kib float64) func(*Result, *suiteRun) string {
	return func(r *Result, _ *suiteRun) string {
		return fmt.Sprintf("%.2f KiB each\t<= %.1f KiB\t%s", r.MemoryPerSubscriber/1024, kib, mark(r.MemoryPerSubscriber <= kib*1024))
	}
}

// againstKernel compares with one plain write of the same bytes to as many sockets.
func againstKernel(limit float64) func(*Result, *suiteRun) string {
	return func(r *Result, s *suiteRun) string {
		ratio := r.ServerCPU / microseconds(s.kernel)
		return fmt.Sprintf("%.2f us a delivery = %.2fx the kernel's %.2f us, p99 %s\t<= %.1fx\t%s",
			r.ServerCPU, ratio, microseconds(s.kernel), human(r.LatencyP99), limit, mark(ratio <= limit))
	}
}

func againstUncoalesced(r *Result, s *suiteRun) string {
	without, ok := s.found[uncoalesced]
	if !ok {
		return cpuShown(r, s)
	}
	return fmt.Sprintf("%.2f us a delivery = %.2fx that without, p99 %s\tless CPU\t%s",
		r.ServerCPU, r.ServerCPU/without.ServerCPU, human(r.LatencyP99), mark(r.ServerCPU < without.ServerCPU))
}

func otherTopic(r *Result, _ *suiteRun) string {
	return fmt.Sprintf("other topic p99 %s, worst %s; huge topic p99 %s\tfar below the huge topic's\t%s",
		human(r.Beside.LatencyP99), human(r.Beside.LatencyMax), human(r.LatencyP99), mark(r.Beside.LatencyP99 < r.LatencyP99))
}

func replayed(r *Result, _ *suiteRun) string {
	return fmt.Sprintf("%.0f events/s, %.2f us each; another topic's live events meanwhile: p99 %s\tevery event in order\t%s",
		r.DeliveryRate, r.ServerCPU, human(r.Beside.LatencyP99), mark(r.verdict() == nil))
}
