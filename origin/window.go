package origin

import "fmt"

// window holds the events of a Stream that no relay has acknowledged, and knows
// how far the present connection has read them. Numbers count from 1.
type window struct {
	acked  uint64   // number of the newest acknowledged event
	events [][]byte // those after it, as they are sent
	bytes  int      // of events
	read   int      // how many of events the present connection has read, in whole or in part
	rest   []byte   // of the one it has read in part
}

// last returns the number of the newest event.
func (w *window) last() uint64 { return w.acked + uint64(len(w.events)) }

// fits reports whether there is room for n bytes more. The first event always
// fits.
func (w *window) fits(n, mostEvents, mostBytes int) bool {
	return len(w.events) == 0 || len(w.events) < mostEvents && w.bytes+n <= mostBytes
}

// add adds an event and returns its number.
func (w *window) add(event []byte) uint64 {
	w.events = append(w.events, event)
	w.bytes += len(event)
	return w.last()
}

// rewind begins a connection: everything is to be read again.
func (w *window) rewind() { w.read, w.rest = 0, nil }

// fill copies what is to be sent into p.
func (w *window) fill(p []byte) (n int) {
	for n < len(p) {
		if len(w.rest) == 0 {
			if w.read == len(w.events) {
				break
			}
			w.rest = w.events[w.read]
			w.read++
		}
		c := copy(p[n:], w.rest)
		n += c
		w.rest = w.rest[c:]
	}
	return n
}

// unread reports whether there is more to be sent.
func (w *window) unread() bool { return len(w.rest) > 0 || w.read < len(w.events) }

// pending reports whether something was sent that is not acknowledged.
func (w *window) pending() bool { return w.read > 0 }

// ack forgets the events up to number count.
func (w *window) ack(count uint64) error {
	if count < w.acked {
		return nil // a relay that catches up with what another acknowledged
	}
	n := count - w.acked
	sent := uint64(w.read)
	if len(w.rest) > 0 {
		sent--
	}
	if n > sent {
		return fmt.Errorf("the relay acknowledges event %d, %d were sent", count, w.acked+sent)
	}
	for i, e := range w.events[:n] {
		w.bytes -= len(e)
		w.events[i] = nil
	}
	w.events = w.events[n:]
	w.read -= int(n)
	w.acked = count
	return nil
}
