package netloop

// A queue is first in, first out.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(v T) {
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *queue[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v
}

// A partHeap holds parts by when they are due, the earliest first.
type partHeap []*part

func (h *partHeap) push(p *part) {
	*h = append(*h, p)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].due <= s[i].due {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *partHeap) pop() *part {
	s := *h
	first, last := s[0], len(s)-1
	s[0], s[last] = s[last], nil
	s = s[:last]
	for i := 0; ; {
		low := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < len(s) && s[down].due < s[low].due {
				low = down
			}
		}
		if low == i {
			break
		}
		s[low], s[i] = s[i], s[low]
		i = low
	}
	*h = s
	return first
}

// A connSet is the connections of a loop, each of which knows its place.
type connSet []*conn

func (t *connSet) add(c *conn) {
	c.place = len(*t)
	*t = append(*t, c)
}

func (t *connSet) remove(c *conn) {
	s := *t
	last := len(s) - 1
	s[c.place] = s[last]
	s[c.place].place = c.place
	s[last] = nil
	*t = s[:last]
}
