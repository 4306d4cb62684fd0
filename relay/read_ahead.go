package relay

import (
	"bytes"
	"io"
	"sync"
)

// A readAhead reads a body on while what came before is being committed, which
// takes a round trip where others have to agree: so the next group is all that
// came meanwhile, and a publisher is not held to one chunk a round trip.
type readAhead struct {
	body io.Reader
	over sync.WaitGroup

	// mu guards what follows; there is news about it when cond says so.
	mu      sync.Mutex
	cond    sync.Cond
	read    bytes.Buffer
	err     error // why no more is read
	stopped bool
}

// mostAhead bounds what is read and not asked for yet, in bytes.
const mostAhead = 512 << 10

// newReadAhead begins to read. The caller stops it in the end.
func newReadAhead(body io.Reader) *readAhead {
	a := &readAhead{body: body}
	a.cond.L = &a.mu
	a.over.Go(a.run)
	return a
}

func (a *readAhead) run() {
	chunk := make([]byte, publishChunk)
	for a.room() {
		n, err := a.body.Read(chunk)
		a.mu.Lock()
		a.read.Write(chunk[:n])
		a.err = err
		a.mu.Unlock()
		a.cond.Broadcast()
	}
}

// room waits for room, and reports whether there is more to read.
func (a *readAhead) room() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.read.Len() >= mostAhead && !a.stopped {
		a.cond.Wait()
	}
	return a.err == nil && !a.stopped
}

// Read returns what there is, as soon as there is any.
func (a *readAhead) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.read.Len() == 0 && a.err == nil {
		a.cond.Wait()
	}
	if a.read.Len() == 0 {
		return 0, a.err
	}
	n, _ := a.read.Read(p)
	a.cond.Broadcast()
	return n, nil
}

// stop ends the reading. interrupt has a read that is under way return.
func (a *readAhead) stop(interrupt func()) {
	a.mu.Lock()
	a.stopped = true
	reading := a.err == nil
	a.mu.Unlock()
	a.cond.Broadcast()
	if reading {
		interrupt()
	}
	a.over.Wait()
}
