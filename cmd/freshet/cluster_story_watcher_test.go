package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/origin/sse"
)

// A manner is how a subscriber speaks with its relay.
type manner struct {
	name  string
	http2 bool
	gzip  bool
}

var manners = []manner{
	{"h1", false, false},
	{"h1-gzip", false, true},
	{"h2", true, false},
	{"h2-gzip", true, true},
}

// client is one with connections of its own.
func (m manner) client() *http.Client {
	tr := &http.Transport{DisableCompression: !m.gzip, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!m.http2)
	tr.Protocols.SetUnencryptedHTTP2(m.http2)
	return &http.Client{Transport: tr}
}

// A delivery is one event as a subscriber got it.
type delivery struct {
	id     string
	poster string
	number int
	relay  string // that it came through, by URL
	at     time.Time
}

func (d delivery) event() string { return fmt.Sprint(d.poster, " ", d.number) }

// An outage is a time without a stream.
type outage struct {
	from, to string // relays, by URL
	took     time.Duration
	retry    time.Duration // that the client was told to wait
	detail   string
}

// A watcher is a subscriber that comes back with its last id whenever its stream ends, as EventSource does, and writes
// down what it is told. It ends with the topic, or with the test.
type watcher struct {
	// Static after construction.
	t      testing.TB
	name   string
	topic  string
	manner manner
	from   string          // where it begins, "oldest" unless told otherwise
	where  func() string   // URL of the relay to go to now
	home   string          // name of the relay that it comes back to, if there is one
	saw    map[string]bool // events before the id that it begins with: it must not get them
	hop    time.Duration   // if not 0, it leaves each stream after this long and goes elsewhere
	stop   context.CancelFunc
	over   chan struct{}

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed and replaced
	got     []delivery
	lastID  string
	gaps    []string
	opened  int // streams
	outages []outage
	failed  map[string]int // streams that ended, by how
	end     string         // how the topic ended for it
	live    bool           // it has a stream now
	relay   string         // by URL, of the last stream
}

// watch has a subscriber come; each of set may change it first.
func watch(t testing.TB, name, topic string, m manner, where func() string, set ...func(*watcher)) *watcher {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{
		t: t, name: name, topic: topic, manner: m, from: "oldest", where: where, stop: stop,
		over: make(chan struct{}), changed: make(chan struct{}), failed: map[string]int{},
	}
	for _, do := range set {
		do(w)
	}
	go func() {
		defer close(w.over)
		w.run(ctx)
	}()
	t.Cleanup(w.leave)
	return w
}

// leave ends it, and returns when it writes no more.
func (w *watcher) leave() {
	w.stop()
	<-w.over
}

func (w *watcher) change(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
	close(w.changed)
	w.changed = make(chan struct{})
}

// await waits until ok, which is asked after every change.
func (w *watcher) await(what string, atMost time.Duration, ok func() bool) {
	w.t.Helper()
	timeout := time.After(atMost)
	for {
		w.mu.Lock()
		done, changed := ok(), w.changed
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			w.t.Fatalf("%s waited %v for %s: %s", w.name, atMost, what, w)
		}
	}
}

// awaitLive waits until it has a stream.
func (w *watcher) awaitLive() {
	w.t.Helper()
	w.await("a stream", patience, func() bool { return w.live })
}

// awaitEvent waits for one event.
func (w *watcher) awaitEvent(poster string, number int) {
	w.t.Helper()
	seen := 0
	found := false
	w.await(fmt.Sprintf("%s %d", poster, number), patience, func() bool {
		for ; seen < len(w.got) && !found; seen++ {
			found = w.got[seen].poster == poster && w.got[seen].number == number
		}
		return found
	})
}

// awaitMore waits for so many more events from now on.
func (w *watcher) awaitMore(count int) {
	w.t.Helper()
	before := -1
	w.await(fmt.Sprint(count, " events more"), patience, func() bool {
		if before < 0 {
			before = len(w.got)
		}
		return len(w.got) >= before+count
	})
}

// nth returns a delivery that has come.
func (w *watcher) nth(i int) delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got[i]
}

// eventsTo are the events up to one that it got.
func (w *watcher) eventsTo(last delivery) map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	set := map[string]bool{}
	for _, d := range w.got {
		set[d.event()] = true
		if d == last {
			break
		}
	}
	return set
}

func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := "nothing"
	if n := len(w.got); n > 0 {
		last = fmt.Sprintf("%s (%s)", w.got[n-1].event(), w.got[n-1].id)
	}
	return fmt.Sprintf("%d events, the last %s, last id %q, %d streams, gaps %q, ended %v, end %q", len(w.got), last, w.lastID, w.opened, w.gaps, w.failed, w.end)
}

func (w *watcher) run(ctx context.Context) {
	client := w.manner.client()
	defer client.CloseIdleConnections()
	retry := 50 * time.Millisecond
	var lost time.Time // when the last stream ended; zero: there was none
	before := ""
	detail := ""
	for ctx.Err() == nil {
		relay := w.where()
		err := w.stream(ctx, client, relay, &retry, func() {
			if !lost.IsZero() {
				w.outages = append(w.outages, outage{before, relay, time.Since(lost), retry, detail})
			}
		})
		w.change(func() {
			if w.live {
				lost, before, detail = time.Now(), relay, ""
			}
			w.live = false
			if err != nil && ctx.Err() == nil {
				w.failed[kindOf(err)]++
				detail += "; " + kindOf(err)
			}
		})
		if errors.Is(err, errEnded) {
			return
		}
		if err == errHopped {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
}

var errHopped = errors.New("hopped")

// kindOf is an error without what differs each time.
func kindOf(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}

// stream makes one connection and reads it to its end.
func (w *watcher) stream(ctx context.Context, client *http.Client, relay string, retry *time.Duration, opened func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if w.hop > 0 {
		leave := time.AfterFunc(w.hop, func() { cancel(errHopped) })
		defer leave.Stop()
	}
	w.mu.Lock()
	lastID := w.lastID
	w.mu.Unlock()
	url := relay + "/events/" + w.topic
	if lastID == "" {
		url += "?from=" + w.from
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := client.Do(req)
	if err != nil {
		if context.Cause(ctx) == errHopped {
			return errHopped
		}
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNoContent:
		w.change(func() { w.end = "204" })
		return errEnded
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d", res.StatusCode)
	}
	reader := sse.NewReader(res.Body)
	reader.Reset(lastID)
	for {
		var e sse.Event
		err := reader.Read(&e)
		if told, ok := reader.Retry(); ok {
			*retry = told
		}
		if err != nil {
			if context.Cause(ctx) == errHopped {
				return errHopped
			}
			if err == io.EOF {
				err = errors.New("the stream ended")
			}
			return err
		}
		if err := w.take(e, relay, res.Uncompressed, opened); err != nil {
			return err
		}
	}
}

// take writes down what came.
func (w *watcher) take(e sse.Event, relay string, uncompressed bool, opened func()) (err error) {
	w.change(func() {
		if e.ID == "" {
			w.gaps = append(w.gaps, "a block without id: "+eventLine(e))
		}
		w.lastID = e.ID
		switch e.Type {
		case sse.TypeOpen:
			w.opened++
			w.live, w.relay = true, relay
			if uncompressed != w.manner.gzip {
				w.gaps = append(w.gaps, fmt.Sprintf("a stream that is compressed: %v", uncompressed))
			}
			opened()
		case sse.TypeGap:
			w.gaps = append(w.gaps, eventLine(e)+" at "+relay)
		case sse.TypeEnd:
			w.end = "freshet.end"
			err = errEnded
		default:
			poster, digits, _ := strings.Cut(string(e.Data), " ")
			number, wrong := strconv.Atoi(digits)
			if wrong != nil {
				w.gaps = append(w.gaps, "an event that nobody published: "+eventLine(e))
			}
			w.got = append(w.got, delivery{e.ID, poster, number, relay, time.Now()})
		}
	})
	return err
}
