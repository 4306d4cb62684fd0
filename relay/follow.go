package relay

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// upstreamPatience is for how long a subscriber waits for its topic's upstream
// before it is served from what is here.
const upstreamPatience = 5 * time.Second

// following is one call of Upstream.Follow.
type following struct {
	// static after construction
	topic    *topic
	asked    string // the id that the first subscriber resumes from; "" = none
	cancel   context.CancelFunc
	done     chan struct{} // closed when Follow has returned
	answered chan struct{} // closed when it opened or returned

	once sync.Once // closes answered
	err  error     // set before answered is closed: why it did not open

	// guarded by audience.mu
	linger   *time.Timer // runs while nobody subscribes
	stopping bool        // told to stop
}

// answer lets go those who wait for the upstream.
func (f *following) answer(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.answered)
	})
}

// join counts one more subscriber, and has the topic's log kept here, or its
// upstream followed, if that is the first. The caller leaves later.
func (t *topic) join(lastEventID string) *following {
	a := &t.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	a.present++
	if logs := t.relay.config.Logs; logs != nil && a.present == 1 {
		logs.Open(t.name)
	}
	if t.relay.config.Upstream == nil {
		return nil
	}
	before := a.follow
	if before != nil && !before.stopping {
		if before.linger != nil {
			before.linger.Stop()
			before.linger = nil
		}
		return before
	}
	ctx, cancel := context.WithCancel(t.relay.following)
	f := &following{topic: t, asked: lastEventID, cancel: cancel, done: make(chan struct{}), answered: make(chan struct{})}
	a.follow = f
	t.relay.topics.retain(t) // before the caller can leave: the goroutine may begin when the topic is another by then
	t.relay.background.Go(func() { t.follow(ctx, f, before) })
	return f
}

// leave counts one subscriber less.
func (t *topic) leave() {
	a := &t.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.present--; a.present > 0 {
		return
	}
	a.fanout, a.fanout3 = nil, nil
	if logs := t.relay.config.Logs; logs != nil {
		logs.Close(t.name)
	}
	f := a.follow
	if f == nil || f.stopping {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(t.relay.config.Topics.Linger, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if f.linger == timer { // else somebody came back
			f.stopping = true
			f.cancel()
		}
	})
	f.linger = timer
}

// follow runs the upstream. One before it, which was told to stop, is waited
// for, so that there is one at a time.
func (t *topic) follow(ctx context.Context, f, before *following) {
	defer t.relay.topics.release(t)
	if before != nil {
		<-before.done
	}
	var err error
	if ctx.Err() == nil { // else all have left meanwhile
		err = t.relay.config.Upstream.Follow(ctx, t.name, t.followFrom(f.asked), f.opened)
	}
	if status(err) == http.StatusNoContent {
		t.relay.endTopic(t)
	}
	if err != nil && ctx.Err() == nil {
		t.relay.config.Log.Info("upstream gave a topic up", "topic", t.name, "error", err)
	}
	t.audience.mu.Lock()
	if t.audience.follow == f {
		t.audience.follow = nil // the next subscriber asks again
	}
	if f.linger != nil {
		f.linger.Stop()
	}
	t.audience.mu.Unlock()
	f.answer(err)
	f.cancel()
	close(f.done)
}

// opened is told by the upstream that it follows the topic.
func (f *following) opened() {
	f.begin()
	f.answer(nil)
}

// begin has a log that nothing ever came to begin where the first subscriber
// goes on, for there is an upstream that brings what comes after that.
func (f *following) begin() {
	if f.topic.relay.config.Logs != nil {
		return // they say where it begins
	}
	if ring := f.topic.ring(); ring.Head().Seq == 0 {
		ring.Recall(f.asked)
	}
}

// followFrom returns the id that the upstream is to go on from: of the newest
// event here, so that the log goes on without a hole. Where nothing ever came
// it is the one that the first subscriber asks for.
func (t *topic) followFrom(asked string) string {
	if t.relay.config.Logs != nil {
		return asked // they know where the log ends
	}
	head := t.ring().Head()
	if head.Seq == 0 {
		if at, err := ringbuf.ParsePosition(asked); !sse.UsableID(asked) || err == nil && at.Epoch == head.Epoch {
			return "" // no header can carry it, or this relay made it
		}
		return asked
	}
	if id := t.ring().ID(head); id != head.String() {
		return id
	}
	return ""
}

// wait waits until the upstream has answered for the topic, and returns why a
// subscriber cannot be served, if it cannot.
func (f *following) wait(ctx context.Context) error {
	if f == nil {
		return nil
	}
	select {
	case <-f.answered:
		return f.err
	default:
	}
	patience := time.NewTimer(upstreamPatience)
	defer patience.Stop()
	select {
	case <-f.answered:
		return f.err
	case <-patience.C:
		f.begin() // it is still trying
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// status returns the HTTP status that err asks for; 0 = none.
func status(err error) int {
	var s Status
	if errors.As(err, &s) {
		return s.HTTPStatus()
	}
	return 0
}
