package origin

import (
	"fmt"
	"sync"
	"time"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// A Feed lets an origin service serve its events itself: to relays, which pull
// them as a Source, or to browsers while there is no relay. It is an
// http.Handler; mount it where you like:
//
//	http.Handle("GET /events", feed)            // all topics, or ?topic=
//	http.Handle("GET /events/{topic...}", feed) // one topic each
//
// A stream of all topics names each event's topic in a topic field, as a Source
// with a Prefix wants it. All topics share one log, one order and one run of
// ids, so a client resumes from any id it saw: with Last-Event-ID, or
// last_event_id in the query; otherwise it begins live, or where from= says
// (live, oldest, -N, or a time). What is missing for a client is said by a
// freshet.gap event.
//
// The zero value works. Fields must not change after the first use.
type Feed struct {
	// The log's bounds.

	Events int           // 0 = 4,096
	Bytes  int           // 0 = 1 MiB
	Age    time.Duration // 0 = 24 h

	// MaxEvent bounds one event, in bytes. 0 = 256 KiB.
	MaxEvent int
	// Heartbeat is after how much silence a client gets a comment. 0 = 15 s.
	Heartbeat time.Duration
	// Stall is for how long a client may take no byte before its stream is
	// closed. 0 = 30 s.
	Stall time.Duration
	// Retry is the base of the jittered time after which clients are told to
	// come back. 0 = 2 s.
	Retry time.Duration
	// MaxStreams bounds the streams at once. Those above are told to come
	// back. 0 = 1,000.
	MaxStreams int

	once   sync.Once
	ring   *ringbuf.Ring
	places chan struct{} // one taken for each stream
	closed chan struct{} // closed by Close
	close  sync.Once

	// mu guards ended: the topics that have ended, "" for all.
	mu    sync.Mutex
	ended map[string]bool
}

func (f *Feed) setUp() {
	f.once.Do(func() {
		def(&f.Events, 4096)
		def(&f.Bytes, 1<<20)
		def(&f.Age, 24*time.Hour)
		def(&f.MaxEvent, sse.DefaultMaxEvent)
		def(&f.Heartbeat, 15*time.Second)
		def(&f.Stall, 30*time.Second)
		def(&f.Retry, 2*time.Second)
		def(&f.MaxStreams, 1000)
		// An epoch that no earlier run of the service had, so that its
		// positions are not mistaken for this one's.
		epoch := uint64(time.Now().UnixMilli())
		f.ring = ringbuf.New(ringbuf.Limits{Events: f.Events, Bytes: f.Bytes, Age: f.Age}, ringbuf.Position{Epoch: epoch})
		f.places = make(chan struct{}, f.MaxStreams)
		f.closed = make(chan struct{})
		f.ended = make(map[string]bool)
	})
}

// Append adds an event to the feed and returns its id: e.ID if that can be one
// and is not in the log already, else one that the log makes. The topic may
// be "" in a feed that has only one. Errors say which field cannot be.
func (f *Feed) Append(topic string, e Event) (id string, err error) {
	f.setUp()
	if err := e.Validate(); err != nil {
		return "", err
	}
	if n := len(e.ID) + len(e.Type) + len(e.Key) + len(topic) + len(e.Data); n > f.MaxEvent {
		return "", fmt.Errorf("origin: event of %d bytes is larger than the feed's MaxEvent, %d", n, f.MaxEvent)
	}
	return f.append(topic, e, false)
}

// End ends a topic: its streams get freshet.end and are closed, and who asks
// again is told 204, no content. "" ends the whole feed.
func (f *Feed) End(topic string) error {
	f.setUp()
	_, err := f.append(topic, Event{Type: sse.TypeEnd}, true)
	return err
}

func (f *Feed) append(topic string, e Event, end bool) (string, error) {
	var body []byte
	if topic != "" {
		if _, err := sse.ParseTopic(topic); err != nil {
			return "", err
		}
		body = append(append(append(body, topicField...), topic...), '\n')
	}
	body, err := e.AppendBody(body)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended[topic] || f.ended[""] {
		return "", fmt.Errorf("origin: topic %q of the feed has ended", topic)
	}
	if end {
		f.ended[topic] = true
	}
	return f.ring.ID(f.ring.Append(ringbuf.Entry{Body: body, ID: e.ID, Commit: time.Now()})), nil
}

// topicField begins the body of an event that has a topic.
const topicField = "topic: "

func (f *Feed) hasEnded(topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended[topic] || f.ended[""]
}

// Close ends all streams; their clients come back when the service does. An
// http.Server's Shutdown waits for streams, so call it before, or register it:
//
//	server.RegisterOnShutdown(feed.Close)
func (f *Feed) Close() {
	f.setUp()
	f.close.Do(func() { close(f.closed) })
}
