//go:build linux

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// A heap is what a relay's admin listener says of its memory right after a garbage collection. What is resident
// lags behind that for minutes, by an eighth and more.
type heap struct {
	live    int64 // objects and stacks, bytes
	gzip    int64 // of these, what compress.memory bounds
	refused uint64
}

// heap asks the relay's admin listener; without one the answer is nothing.
func (l Load) heap(ctx context.Context) (heap, error) {
	if l.AdminURL == "" {
		return heap{}, nil
	}
	// The first collection may leave what finalizers and pools still hold.
	for range 2 {
		if err := l.ask(ctx, "/debug/pprof/heap?gc=1", func(io.Reader) error { return nil }); err != nil {
			return heap{}, err
		}
	}
	found := make(map[string]float64)
	err := l.ask(ctx, "/metrics", func(body io.Reader) error {
		lines := bufio.NewScanner(body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), " ")
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				found[name] = v
			}
		}
		return lines.Err()
	})
	return heap{
		live:    int64(found["go_memstats_heap_alloc_bytes"] + found["go_memstats_stack_inuse_bytes"]),
		gzip:    int64(found["freshet_relay_gzip_memory_bytes"]),
		refused: uint64(found["freshet_relay_gzip_refused_total"]),
	}, err
}

func (l Load) ask(ctx context.Context, path string, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.AdminURL+path, nil)
	if err != nil {
		return fmt.Errorf("-admin-url: %w", err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the admin listener: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the admin listener for %s: %s", path, answer.Status)
	}
	if err := read(answer.Body); err != nil {
		return fmt.Errorf("read %s of the admin listener: %w", path, err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// weigh puts what the streams and then the events added to the heap into the result.
func (r *Result) weigh(empty, full, after heap) {
	r.HeapPerSubscriber = float64(full.live-empty.live) / float64(r.Subscribers)
	r.HeapOfEvents = after.live - full.live
	r.GzipMemory, r.GzipRefused = after.gzip, after.refused
}
