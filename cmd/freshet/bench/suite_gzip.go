//go:build linux

package bench

import (
	"fmt"
	"time"
)

// The names that other rows refer to.
const (
	idleConnections = "10,000 idle TLS h2 connections"
	idleStreams     = "100,000 idle streams"
	manyTopics      = "10,000 active topics, a stream each"
)

// gzipCases are the rows about compression, beside the same without. CPU is compared within one run, memory between
// two relays, since one has one heap.
var gzipCases = []suiteCase{
	{name: "10,000 streams with gzip beside 10,000 without, 100 a connection",
		load: Load{Connections: 100, Streams: 200, Rate: 20, Pair: true, Lifelike: true}, row: pairAtMost(1.1)},
	{name: "10,000 streams with gzip beside 10,000 without, 1 a connection",
		load: Load{Connections: 10_000, Streams: 2, Rate: 5, Pair: true, Lifelike: true}, row: pairAtMost(1.1)},
	{name: idleConnections + " with gzip", load: inStep(idle(Load{Connections: 10_000, Gzip: true})), heap: true, row: heapLike(idleConnections)},
	{name: idleStreams + " with gzip", load: inStep(idle(Load{Connections: 100, Streams: 1000, Gzip: true})), heap: true, row: heapLike(idleStreams)},
	{name: manyTopics, load: active(Load{}), heap: true, row: topicMemory},
	{name: manyTopics + ", with gzip", load: active(Load{Gzip: true}), heap: true, row: compressMemory(64 << 20)},
	{name: manyTopics + ", with gzip, compress.memory 16MiB", load: active(Load{Gzip: true}), heap: true,
		settings: []string{"compress.memory=16MiB"}, row: compressMemory(16 << 20)},
}

// inStep is l with so many events in its seconds that every stream with gzip is in step in the end.
func inStep(l Load) Load {
	l.Burst, l.Rate, l.Lifelike = 25, 25, true
	return l
}

// active is l with 10,000 topics that get 20 events each while it is measured.
func active(l Load) Load {
	l.Connections, l.Streams, l.Topics = 100, 100, 10_000
	l.Burst, l.Rate, l.Warmup, l.Duration = 20, 20_000, time.Second, 10*time.Second
	l.Lifelike = true
	return l
}

func pairAtMost(limit float64) func(*Result, *suiteRun) string {
	return func(r *Result, _ *suiteRun) string {
		with, without := r.Gzip, r.Identity
		ratio := with.ServerCPU / without.ServerCPU
		return fmt.Sprintf("%.2f us a delivery = %.2fx the %.2f us without, %.0f B each = %.2fx, p99 %s and %s, %d streams decoded\t<= %.1fx\t%s",
			with.ServerCPU, ratio, without.ServerCPU, with.Bytes, with.Bytes/without.Bytes, human(with.LatencyP99), human(without.LatencyP99),
			r.Decoded, limit, mark(ratio <= limit && r.verdict() == nil))
	}
}

// heapLike compares what a subscriber holds with what one without gzip does.
func heapLike(name string) func(*Result, *suiteRun) string {
	const limit = 1.05
	return func(r *Result, s *suiteRun) string {
		plain, ok := s.found[name]
		if !ok {
			return fmt.Sprintf("%.0f B of heap each\tevery event in order\t%s", r.HeapPerSubscriber, mark(r.verdict() == nil))
		}
		ratio := r.HeapPerSubscriber / plain.HeapPerSubscriber
		return fmt.Sprintf("%.0f B of heap each = %.3fx the %.0f B without, in step %.3fx with all that is shared; resident %.2f KiB = %.2fx\t<= %.2fx\t%s",
			r.HeapPerSubscriber, ratio, plain.HeapPerSubscriber, r.heapInStep()/plain.heapInStep(),
			r.MemoryPerSubscriber/1024, r.MemoryPerSubscriber/plain.MemoryPerSubscriber, limit, mark(ratio <= limit && r.verdict() == nil))
	}
}

// heapInStep counts the topic's events and its coder in, which are there once.
func (r *Result) heapInStep() float64 {
	return r.HeapPerSubscriber + float64(r.HeapOfEvents)/float64(r.Subscribers)
}

func topicMemory(r *Result, _ *suiteRun) string {
	return fmt.Sprintf("%.1f KiB of heap for the %d events of each\tevery event in order\t%s",
		r.heapPerTopic()/1024, r.Published/uint64(r.Topics), mark(r.verdict() == nil))
}

// compressMemory checks that what is compressed stays within its budget, and compares with what the topics hold without.
func compressMemory(limit int64) func(*Result, *suiteRun) string {
	return func(r *Result, s *suiteRun) string {
		beside := ""
		if plain, ok := s.found[manyTopics]; ok {
			beside = fmt.Sprintf(" = %.2fx that without", r.heapPerTopic()/plain.heapPerTopic())
		}
		return fmt.Sprintf("%.1f KiB of heap for the %d events of each%s, %.1f MiB of it compressed, %d events refused\t<= %d MiB compressed\t%s",
			r.heapPerTopic()/1024, r.Published/uint64(r.Topics), beside, float64(r.GzipMemory)/(1<<20), r.GzipRefused, limit>>20,
			mark(r.GzipMemory <= limit && r.GzipMemory > 0 && r.verdict() == nil))
	}
}

func (r *Result) heapPerTopic() float64 { return float64(r.HeapOfEvents) / float64(r.Topics) }
