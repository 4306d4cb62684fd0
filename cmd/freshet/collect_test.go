package main

import (
	"runtime"
	"testing"
)

func TestCollectorWaitsForQuiet(t *testing.T) {
	const mib = 1 << 20
	var c collector
	steps := []struct {
		what string
		heap heap
		want bool
	}{
		{"a crowd comes", heap{allocated: 100 * mib, objects: 90 * mib, live: 40 * mib}, false},
		{"it still comes", heap{allocated: 150 * mib, objects: 95 * mib, live: 40 * mib}, false},
		{"it is there", heap{allocated: 150 * mib, objects: 95 * mib, live: 40 * mib}, true},
		{"collected", heap{allocated: 150 * mib, objects: 60 * mib, live: 60 * mib}, false},
		{"little is to be had", heap{allocated: 150 * mib, objects: 66 * mib, live: 60 * mib}, false},
		{"more is", heap{allocated: 150 * mib, objects: 68 * mib, live: 60 * mib}, true},
		{"collected by itself", heap{allocated: 150 * mib, objects: 60 * mib, live: 60 * mib, free: 30 * mib}, true},
		{"given back", heap{allocated: 150 * mib, objects: 60 * mib, live: 60 * mib, free: 7 * mib}, false},
	}
	for _, step := range steps {
		if got := c.due(step.heap); got != step.want {
			t.Errorf("%s: due = %v, want %v", step.what, got, step.want)
		}
	}
}

func TestReadHeap(t *testing.T) {
	before := readHeap()
	garbage := make([]byte, 8<<20)
	after := readHeap()
	runtime.KeepAlive(garbage)
	if after.allocated < before.allocated+8<<20 || after.objects < 8<<20 {
		t.Errorf("8 MiB more: %+v became %+v", before, after)
	}
}
