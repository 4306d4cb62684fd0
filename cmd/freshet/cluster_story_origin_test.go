package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"freshet/cmd/freshet/config"
)

// A feedOrigin serves numbered events, each under its number as its id, and knows which relay pulls it. It resumes where
// it is asked to, a little before that: by so many events as overlap says.
type feedOrigin struct {
	t       testing.TB
	server  *httptest.Server
	overlap int
	topics  []string // of a feed of many topics, in turn; nil: of one
	refuses bool     // it answers with the status that the path ends in, not with a stream

	mu      sync.Mutex
	changed chan struct{} // closed and replaced
	events  int
	rests   bool           // nothing new comes
	open    map[string]int // connections by relay
	barred  map[string]bool
	pulls   []feedPull
	most    int // relays that pull at once
}

// A feedPull is one connection of a relay.
type feedPull struct {
	relay  string
	resume string // Last-Event-ID
	newest int    // the origin's, then
}

// newFeedOrigin is an origin that makes so many events a second.
func newFeedOrigin(t testing.TB, rate int, topics ...string) *feedOrigin {
	t.Helper()
	o := &feedOrigin{t: t, overlap: 3, topics: topics, changed: make(chan struct{}), open: map[string]int{}, barred: map[string]bool{}}
	o.server = httptest.NewServer(o)
	stop, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				o.change(func() {
					if !o.rests {
						o.events++
					}
				})
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-over
		o.server.CloseClientConnections()
		o.server.Close()
	})
	return o
}

// feed is for a relay's configuration. The relay tells the origin its name.
func (o *feedOrigin) feed(c *config.Config, f config.Feed) {
	if f.Retry, f.Idle, f.MaxEvent = 50*time.Millisecond, 30*time.Second, 1<<18; f.Template == "" {
		f.URL = []string{o.server.URL}
	}
	f.Headers = map[string]string{"Relay": c.Cluster.Name}
	c.Feeds = append(c.Feeds, f)
}

func (o *feedOrigin) change(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	do()
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *feedOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	relay, resume := r.Header.Get("Relay"), r.Header.Get("Last-Event-ID")
	at, _ := strconv.Atoi(resume)
	at = max(at-o.overlap, 0)
	if o.refuses {
		status, _ := strconv.Atoi(path.Base(r.URL.Path))
		o.change(func() { o.pulls = append(o.pulls, feedPull{relay, resume, status}) })
		w.WriteHeader(status)
		return
	}
	refused := false
	o.change(func() {
		if refused = o.barred[relay]; refused {
			return
		}
		o.open[relay]++
		o.pulls = append(o.pulls, feedPull{relay, resume, o.events})
		pulling := 0
		for _, n := range o.open {
			pulling += min(n, 1) // one that reconnects may be a little faster than the news that it hung up
		}
		o.most = max(o.most, pulling)
	})
	if refused {
		http.Error(w, "barred", http.StatusServiceUnavailable)
		return
	}
	defer o.change(func() { o.open[relay]-- })
	w.Header().Set("Content-Type", "text/event-stream")
	w.(http.Flusher).Flush()
	for {
		o.mu.Lock()
		newest, changed, barred := o.events, o.changed, o.barred[relay]
		o.mu.Unlock()
		if barred {
			return
		}
		for ; at < newest; at++ {
			if len(o.topics) > 0 {
				fmt.Fprintf(w, "topic: %s\n", o.topics[at%len(o.topics)])
			}
			if _, err := fmt.Fprintf(w, "id: %d\ndata: origin %d\n\n", at+1, at+1); err != nil {
				return
			}
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// bar cuts a relay off, for good: it was killed, and what is left of it in this process is not to be heard.
func (o *feedOrigin) bar(relay string) { o.change(func() { o.barred[relay] = true }) }

// rest makes no more events, and returns the number of the last.
func (o *feedOrigin) rest() (last int) {
	o.change(func() { o.rests, last = true, o.events })
	return last
}

// pullers are the relays that pull now.
func (o *feedOrigin) pullers() (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, n := range o.open {
		for range n {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// awaitPuller waits until one relay pulls, none of those.
func (o *feedOrigin) awaitPuller(but ...string) (name string) {
	o.t.Helper()
	eventually(o.t, "one relay pulls", func() (string, bool) {
		p := o.pullers()
		if len(p) == 1 {
			name = p[0]
		}
		return fmt.Sprint(p), len(p) == 1 && !slices.Contains(but, name)
	})
	return name
}

// pulledBy lists a relay's connections so far.
func (o *feedOrigin) pulledBy(relay string) (list []feedPull) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.pulls {
		if p.relay == relay {
			list = append(list, p)
		}
	}
	return list
}

// wantResumed wants a relay's newest connection to have begun where another had stopped, give or take what came meanwhile.
func (o *feedOrigin) wantResumed(relay string, afterAtLeast int) {
	o.t.Helper()
	list := o.pulledBy(relay)
	if len(list) == 0 {
		o.t.Fatalf("%s never pulled", relay)
	}
	last := list[len(list)-1]
	if at, err := strconv.Atoi(last.resume); err != nil || at < afterAtLeast || at > last.newest {
		o.t.Errorf("%s resumed after %q, want %d to %d", relay, last.resume, afterAtLeast, last.newest)
	}
}

// awaitMore waits until every subscriber has what the origin makes in so many events from now on.
func (o *feedOrigin) awaitMore(count int, watchers []*watcher) {
	o.t.Helper()
	o.mu.Lock()
	last := o.events + count
	o.mu.Unlock()
	for _, w := range watchers {
		for n := last; ; n++ {
			if o.isFor(w, n) {
				w.awaitEvent("origin", n)
				break
			}
		}
	}
}

// isFor says whether an event is of a subscriber's topic.
func (o *feedOrigin) isFor(w *watcher, number int) bool {
	return len(o.topics) == 0 || o.topics[(number-1)%len(o.topics)] == w.topic
}

// wantAll wants every subscriber to have got all events of the origin that its topic has, up to the last, each once and
// in order, under its own id, and no gap.
func (o *feedOrigin) wantAll(last int, watchers []*watcher) {
	o.t.Helper()
	o.want(last, watchers, true)
}

func (o *feedOrigin) want(last int, watchers []*watcher, ordered bool) {
	o.t.Helper()
	for _, w := range watchers {
		want := 0
		for n := 1; n <= last; n++ {
			if o.isFor(w, n) {
				want++
			}
		}
		w.await("all of the origin's events", patience, func() bool { return len(w.got) >= want })
	}
	for _, w := range watchers {
		w.leave()
		seen := map[int]int{}
		at, wrong := 0, []string(nil)
		for _, d := range w.got {
			seen[d.number]++
			if ordered && d.number <= at || d.id != fmt.Sprint(d.number) {
				wrong = append(wrong, fmt.Sprintf("%d (%s) after %d", d.number, d.id, at))
			}
			at = d.number
		}
		for n := 1; n <= last; n++ {
			if times := seen[n]; times != 1 && o.isFor(w, n) {
				wrong = append(wrong, fmt.Sprintf("%d: %d times", n, times))
			}
		}
		if len(wrong) > 0 || len(w.gaps) > 0 {
			o.t.Errorf("%s (%s): gaps %q; %d things wrong: %s", w.name, w, w.gaps, len(wrong), strings.Join(wrong[:min(len(wrong), most)], "; "))
		}
	}
}
