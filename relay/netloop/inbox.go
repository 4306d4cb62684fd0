package netloop

import "sync"

// A task is something that a loop is asked to do from outside.
type task interface {
	run(l *loop)
}

// An inbox brings tasks from any goroutine into one loop. Its length is bounded by what
// can be in it: a connection, a stream and a part of a fan-out each stand in it once.
type inbox struct {
	mu     sync.Mutex
	tasks  []task
	asleep bool // the loop waits, or is about to, and must be woken

	// Owned by the loop.
	taken []task // what the loop took last, reused
}

// push adds t and reports whether the loop must be woken for it.
func (b *inbox) push(t task) (wake bool) {
	b.mu.Lock()
	b.tasks = append(b.tasks, t)
	wake = b.asleep
	b.asleep = false
	b.mu.Unlock()
	return wake
}

// take returns all tasks, in order. The slice is valid until the next call.
func (b *inbox) take() []task {
	clear(b.taken)
	b.mu.Lock()
	b.tasks, b.taken = b.taken[:0], b.tasks
	b.mu.Unlock()
	return b.taken
}

// rest announces that the loop is going to wait. It reports false if it must not.
func (b *inbox) rest() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asleep = len(b.tasks) == 0
	return b.asleep
}

// rise ends what rest began, when the loop was woken by something else.
func (b *inbox) rise() {
	b.mu.Lock()
	b.asleep = false
	b.mu.Unlock()
}
