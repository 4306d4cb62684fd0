package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet/origin"
)

// A line is what lies between a relay and an origin on a stage. It can be cut, and stays so
// until it is mended.
type line struct {
	over http.RoundTripper

	mu   sync.Mutex
	down bool
	open map[*tornBody]struct{}
	cuts int // of open streams
}

var errLineDown = errors.New("the line is down")

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errLineDown
	}
	answer, err := l.over.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body := &tornBody{ReadCloser: answer.Body, line: l}
	if l.open == nil {
		l.open = make(map[*tornBody]struct{})
	}
	l.open[body] = struct{}{}
	answer.Body = body
	return answer, nil
}

// Cut cuts the line, or mends it, and waits until all have noticed.
func (l *line) Cut(down bool) {
	synctest.Wait() // what was sent before arrives
	l.mu.Lock()
	l.down = down
	if down {
		l.cuts += len(l.open)
		for body := range l.open {
			body.ReadCloser.Close()
			delete(l.open, body)
		}
	}
	l.mu.Unlock()
	synctest.Wait()
}

type tornBody struct {
	io.ReadCloser
	line *line
}

func (b *tornBody) Close() error {
	b.line.mu.Lock()
	defer b.line.mu.Unlock()
	delete(b.line.open, b)
	return b.ReadCloser.Close()
}

// A flappingOrigin serves a Feed over a line that is up and down.
type flappingOrigin struct {
	feed *origin.Feed
	line *line
	keep int
	lost int // how often the relay came back too late for all that it missed
}

func newFlappingOrigin(keep int) *flappingOrigin {
	feed := &origin.Feed{Events: keep}
	return &flappingOrigin{feed: feed, line: &line{over: inProcess{feed}}, keep: keep}
}

// play makes an event a second, whose data count from 1, and ends with the line up and all
// told. It returns how many there were.
func (o *flappingOrigin) play(t *testing.T, d time.Duration) (sent int) {
	random := rand.New(rand.NewPCG(4, 2))
	delivered := 0 // up to the last cut
	change := time.Now().Add(time.Minute)
	for began := time.Now(); time.Since(began) < d; time.Sleep(time.Second) {
		sent++
		if _, err := o.feed.Append("", origin.Event{ID: fmt.Sprint(sent), Data: fmt.Append(nil, sent)}); err != nil {
			t.Fatal(err)
		}
		if time.Now().Before(change) {
			continue
		}
		if o.line.down {
			o.line.Cut(false)
			for o.line.connections() == 0 { // the relay comes back in its own time
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
			}
			if sent-delivered > o.keep {
				o.lost++
			}
			change = time.Now().Add(time.Duration(random.IntN(60)) * time.Second)
		} else {
			o.line.Cut(true)
			delivered = sent
			change = time.Now().Add(time.Duration(random.IntN(30)) * time.Second)
		}
	}
	o.line.Cut(false)
	time.Sleep(time.Minute)
	synctest.Wait()
	return sent
}

func (l *line) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}
