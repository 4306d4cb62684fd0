package netloop

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var q queue[int]
		var model []int
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"push": func(*rapid.T) {
				n++
				q.push(n)
				model = append(model, n)
			},
			"pop": func(rt *rapid.T) {
				if len(model) == 0 {
					return
				}
				if got := q.pop(); got != model[0] {
					rt.Fatalf("popped %d, want %d", got, model[0])
				}
				model = model[1:]
			},
			"": func(rt *rapid.T) {
				if q.len() != len(model) {
					rt.Fatalf("length %d, want %d", q.len(), len(model))
				}
			},
		})
	})
}

// A queue that never runs empty must not grow for ever.
func TestQueueReusesItsArray(t *testing.T) {
	var q queue[int]
	for i := range 100000 {
		q.push(i)
		if i > 10 {
			q.pop()
		}
	}
	if cap(q.items) > 100 {
		t.Errorf("an array of %d for %d items", cap(q.items), q.len())
	}
}

func TestPartHeap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var h partHeap
		for _, due := range rapid.SliceOf(rapid.IntRange(0, 50)).Draw(rt, "due") {
			h.push(&part{due: time.Duration(due)})
		}
		last := time.Duration(-1)
		for len(h) > 0 {
			p := h.pop()
			if p.due < last {
				rt.Fatalf("%v after %v", p.due, last)
			}
			last = p.due
		}
	})
}

type numbered struct{ from, n int }

func (numbered) run(*loop) {}

// Nothing is lost, each sender's order is kept, and a loop that rests is woken.
func TestInbox(t *testing.T) {
	var b inbox
	wake := make(chan struct{}, 1)
	const senders, each = 4, 5000
	var wg sync.WaitGroup
	for from := range senders {
		wg.Go(func() {
			for n := range each {
				if b.push(numbered{from, n}) {
					select {
					case wake <- struct{}{}:
					default:
						t.Error("woken twice")
					}
				}
			}
		})
	}
	var next [senders]int
	for got := 0; got < senders*each; {
		if b.rest() {
			<-wake
		}
		for _, task := range b.take() {
			m := task.(numbered)
			if m.n != next[m.from] {
				t.Fatalf("sender %d: %d, want %d", m.from, m.n, next[m.from])
			}
			next[m.from]++
			got++
		}
	}
	wg.Wait()
	if b.push(numbered{}) {
		t.Error("a loop that is awake is woken")
	}
	b.take()
	b.rest()
	b.rise()
	if b.push(numbered{}) {
		t.Error("a loop that has risen is woken")
	}
}
