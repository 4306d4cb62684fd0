package ringbuf

import (
	"slices"
	"unsafe"
)

// A Waker waits for events. Wake is called after one or more became visible, by whoever
// appended them and with no lock held; it says nothing about them, and the reader goes
// on from its own cursor. It must not block.
//
// Wakes are not counted: one is enough for any number of events that became visible
// before it.
type Waker interface{ Wake() }

// A watcher is one registration. It gives a Waker an identity of its own.
type watcher struct{ waker Waker }

func watchersFootprint(list []*watcher) int {
	return int(unsafe.Sizeof(list)) + cap(list)*int(unsafe.Sizeof((*watcher)(nil))) +
		len(list)*int(unsafe.Sizeof(watcher{}))
}

// Watch has w woken after every append until stop is called. An event that becomes
// visible after Watch has returned is sure to wake w, so whoever registers first and
// reads then misses nothing. After stop, w may be woken once more by an append under
// way.
//
// It is meant for a few watchers that each wake many readers: registering costs time in
// proportion to those already there.
func (r *Ring) Watch(w Waker) (stop func()) {
	entry := &watcher{waker: w}
	r.watch(func(list []*watcher) []*watcher { return append(list, entry) })
	return func() {
		r.watch(func(list []*watcher) []*watcher {
			return slices.DeleteFunc(list, func(w *watcher) bool { return w == entry })
		})
	}
}

// watch publishes a changed copy of the list of watchers.
func (r *Ring) watch(change func([]*watcher) []*watcher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*watcher
	if old := r.watchers.Load(); old != nil {
		list = append(make([]*watcher, 0, len(*old)+1), *old...)
	}
	if list = change(list); len(list) == 0 {
		r.watchers.Store(nil)
	} else {
		r.watchers.Store(&list)
	}
	r.account()
}

func (r *Ring) wake() {
	if list := r.watchers.Load(); list != nil {
		for _, w := range *list {
			w.waker.Wake()
		}
	}
}
