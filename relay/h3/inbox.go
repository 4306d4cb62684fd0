package h3

import "sync"

// A task is something that a loop is asked to do from outside.
type task interface {
	run(l *loop)
}

// An inbox brings tasks from any goroutine into one loop. Its length is bounded by what can be in
// it: a stream and a part of a fan-out each stand in it a few times at most.
type inbox struct {
	mu    sync.Mutex
	tasks []task

	wake chan struct{} // of capacity 1: filled when tasks were pushed

	// Owned by the loop.
	taken []task // what the loop took last, reused
}

// push adds t. It does not block.
func (b *inbox) push(t task) {
	b.mu.Lock()
	first := len(b.tasks) == 0
	b.tasks = append(b.tasks, t)
	b.mu.Unlock()
	if first {
		select {
		case b.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

// take returns all tasks, in order. The slice is valid until the next call.
func (b *inbox) take() []task {
	clear(b.taken)
	b.mu.Lock()
	b.tasks, b.taken = b.taken[:0], b.tasks
	b.mu.Unlock()
	return b.taken
}
