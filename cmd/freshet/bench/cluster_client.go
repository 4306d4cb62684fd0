//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"freshet/origin/sse"
)

// numbers is a stream of events whose data are numbers.
type numbers struct {
	cancel context.CancelFunc
	over   chan struct{}

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed and replaced
	newest  int
	at      time.Time // when it came
	err     error
}

// subscribeNumbers opens a stream, from now on.
func subscribeNumbers(ctx context.Context, relay string) (*numbers, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, relay+"/events/"+clusterTopic, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	n := &numbers{cancel: cancel, over: make(chan struct{}), changed: make(chan struct{}), newest: -1}
	go n.read(res.Body)
	return n, nil
}

func (n *numbers) read(body io.ReadCloser) {
	defer close(n.over)
	defer body.Close()
	for e, err := range sse.NewReader(body).All() {
		now := time.Now()
		number, wrong := strconv.Atoi(string(e.Data))
		n.mu.Lock()
		if n.err = err; err == nil && wrong == nil && !e.Control() {
			n.newest, n.at = number, now
		}
		close(n.changed)
		n.changed = make(chan struct{})
		n.mu.Unlock()
	}
}

// await waits for an event of that number or a later one, and returns when it came.
func (n *numbers) await(ctx context.Context, number int) (time.Time, error) {
	for {
		n.mu.Lock()
		newest, at, err, changed := n.newest, n.at, n.err, n.changed
		n.mu.Unlock()
		switch {
		case newest >= number:
			return at, nil
		case err != nil:
			return at, fmt.Errorf("the stream ended: %w", err)
		}
		select {
		case <-changed:
		case <-n.over:
			return at, io.ErrUnexpectedEOF
		case <-ctx.Done():
			return at, fmt.Errorf("waited for event %d, got %d: %w", number, newest, ctx.Err())
		}
	}
}

func (n *numbers) close() {
	n.cancel()
	<-n.over
}

// counting publishes numbers, a hundred a second at most, the next one when the one before is acknowledged.
type counting struct {
	cancel  context.CancelFunc
	over    chan struct{}
	current atomic.Int64 // the number that was sent last
}

func publishNumbers(ctx context.Context, relay string) *counting {
	ctx, cancel := context.WithCancel(ctx)
	c := &counting{cancel: cancel, over: make(chan struct{})}
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	go func() {
		defer close(c.over)
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for number := 0; ctx.Err() == nil; number++ {
			c.current.Store(int64(number))
			text := strconv.Itoa(number)
			for ctx.Err() == nil && postOnce(ctx, relay, run+text, text) != nil {
			}
			select {
			case <-pace.C:
			case <-ctx.Done():
			}
		}
	}()
	return c
}

func (c *counting) last() int { return int(c.current.Load()) }

func (c *counting) close() {
	c.cancel()
	<-c.over
}

// postOnce publishes one event under a key, so that it can be tried again.
func postOnce(ctx context.Context, relay, key, data string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, relay+"/events/"+clusterTopic, strings.NewReader(data))
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return err
}

// timePosts publishes so many events of 200 bytes one after the other, over one connection, and returns how long each took.
func timePosts(ctx context.Context, relay string, count int) ([]time.Duration, error) {
	took := make([]time.Duration, count)
	for i := range took {
		began := time.Now()
		if err := postOnce(ctx, relay, "", strings.Repeat("x", 200)); err != nil {
			return nil, err
		}
		took[i] = time.Since(began)
	}
	return took, nil
}
