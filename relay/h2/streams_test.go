package h2

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestStreamsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table streams
		var model []*Stream
		next := uint32(1)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "many") {
					s := &Stream{id: next}
					table.add(s)
					model = append(model, s)
					next += 2 * rapid.Uint32Range(1, 3).Draw(t, "step")
				}
			},
			"remove": func(t *rapid.T) {
				for range min(len(model), rapid.IntRange(1, 100).Draw(t, "many")) {
					i := rapid.IntRange(0, len(model)-1).Draw(t, "index")
					table.remove(model[i])
					model = slices.Delete(model, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				if !slices.Equal([]*Stream(table), model) {
					t.Fatalf("%d streams; want %d", len(table), len(model))
				}
				if c := cap(table); c > 64 && c > 4*len(table)+64 || len(table) == 0 && table != nil {
					t.Fatalf("%d streams in a table of %d", len(table), c)
				}
				for _, s := range model {
					if table.find(s.id) != s {
						t.Fatalf("stream %d is lost", s.id)
					}
				}
				for range 10 {
					id := rapid.Uint32Range(0, next+3).Draw(t, "id")
					want, found := slices.BinarySearchFunc(model, id, func(s *Stream, id uint32) int { return int(s.id) - int(id) })
					if got := table.from(id); got != want {
						t.Fatalf("from(%d) = %d; want %d", id, got, want)
					}
					if got := table.find(id); (got != nil) != found {
						t.Fatalf("find(%d) = %v", id, got)
					}
				}
			},
		})
	})
}

func TestRecent(t *testing.T) {
	var r recent
	if _, found := r.find(0); found {
		t.Fatal("stream 0 is found in nothing")
	}
	for id := uint32(1); id < 41; id += 2 {
		r.add(id, id%4 == 1)
	}
	for id := uint32(1); id < 41; id += 2 {
		ours, found := r.find(id)
		if found != (id >= 25) || found && ours != (id%4 == 1) {
			t.Fatalf("find(%d) = %v, %v", id, ours, found)
		}
	}
	r.add(maxID, true)
	if ours, found := r.find(maxID); !ours || !found {
		t.Fatal("the largest id is not found")
	}
}
