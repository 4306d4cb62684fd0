package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// puppetRelay speaks just enough of the relay's contract for the page and the
// origin, and can be told to break it.
type puppetRelay struct {
	t *testing.T

	// guarded by mu
	mu      sync.Mutex
	grown   chan struct{} // closed and replaced at each event
	topics  map[string][]puppetEvent
	keys    map[string]int // idempotency keys to places
	streams int
	refuse  []int // statuses of the next answers to publishers
	fault   fault // of the next resumed streams, once per topic
	faulty  map[string]bool
	posts   int
	cut     chan struct{} // closed: streams end
}

type puppetEvent struct{ kind, data string }

type fault int

const (
	honest fault = iota
	dropsOne
	doublesOne
	swapsTwo
	announcesGap // loses three and says so
)

func newPuppetRelay(t *testing.T) *puppetRelay {
	return &puppetRelay{
		t: t, grown: make(chan struct{}), cut: make(chan struct{}),
		topics: map[string][]puppetEvent{}, keys: map[string]int{}, faulty: map[string]bool{},
	}
}

// Break arms a fault for the next resumed stream of each topic.
func (p *puppetRelay) Break(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	clear(p.faulty)
}

// Faulted says whether the fault has happened in any stream.
func (p *puppetRelay) Faulted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.faulty) > 0
}

// Refuse answers the next publishers with these statuses, then honestly.
func (p *puppetRelay) Refuse(statuses ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = statuses
}

// CutAll ends every stream, as a network does.
func (p *puppetRelay) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.cut)
	p.cut = make(chan struct{})
}

func (p *puppetRelay) Streams() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.streams
}

// Events returns what is kept of a topic.
func (p *puppetRelay) Events(topic string) []puppetEvent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.topics[topic][:len(p.topics[topic]):len(p.topics[topic])]
}

func (p *puppetRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	topic := strings.TrimPrefix(r.URL.Path, "/events/")
	if r.Method == http.MethodPost {
		p.publish(w, r, topic)
		return
	}
	p.subscribe(w, r, topic)
}

func (p *puppetRelay) publish(w http.ResponseWriter, r *http.Request, topic string) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.posts++
	status := 0
	if len(p.refuse) > 0 {
		status, p.refuse = p.refuse[0], p.refuse[1:]
	}
	if status >= 400 && status != http.StatusGatewayTimeout {
		http.Error(w, "refused by the puppet", status)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if at, ok := p.keys[key]; ok {
		if got := p.topics[topic][at].data; got != string(data) {
			p.t.Errorf("the key %s came with %s, then with %s", key, got, data)
		}
		w.WriteHeader(http.StatusOK)
		return
	}
	p.keys[key] = len(p.topics[topic])
	p.topics[topic] = append(p.topics[topic], puppetEvent{r.URL.Query().Get("event"), string(data)})
	close(p.grown)
	p.grown = make(chan struct{})
	if status == http.StatusGatewayTimeout { // it was taken, and the answer got lost
		http.Error(w, "lost", status)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (p *puppetRelay) subscribe(w http.ResponseWriter, r *http.Request, topic string) {
	p.mu.Lock()
	p.streams++
	at, cut, broken := len(p.topics[topic]), p.cut, honest
	resume := r.Header.Get("Last-Event-ID")
	if resume == "" {
		resume = r.URL.Query().Get("last_event_id")
	}
	if resume != "" {
		at, _ = strconv.Atoi(strings.TrimPrefix(resume, "e-"))
		if p.fault != honest && !p.faulty[topic] && len(p.topics[topic])-at > 5 {
			p.faulty[topic], broken = true, p.fault
		}
	} else if n, err := strconv.Atoi(r.URL.Query().Get("from")); err == nil {
		at = max(0, at+n)
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.streams--
		p.mu.Unlock()
	}()

	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "retry: 200\nevent: freshet.open\ndata:\nid: e-%d\n\n", at)
	if broken == announcesGap {
		at += 3
		fmt.Fprintf(w, "event: freshet.gap\ndata: {\"topic\":%q,\"reason\":\"evicted\"}\nid: e-%d\n\n", topic, at)
	}
	send := func(i int, e puppetEvent) {
		fmt.Fprintf(w, "event: %s\ndata: %s\nid: e-%d\n\n", e.kind, e.data, i+1)
	}
	sent := 0
	for {
		p.mu.Lock()
		events, grown := p.topics[topic], p.grown
		p.mu.Unlock()
		for ; at < len(events); at, sent = at+1, sent+1 {
			switch {
			case broken == dropsOne && sent == 2:
			case broken == doublesOne && sent == 2:
				send(at, events[at])
				send(at, events[at])
			case broken == swapsTwo && sent == 2:
				send(at+1, events[at+1])
				send(at, events[at])
				at++
			default:
				send(at, events[at])
			}
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-grown:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// stampOf reads the stamp of an event's data.
func stampOf(t *testing.T, data string) stamp {
	t.Helper()
	var s stamp
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		t.Fatalf("the data %s: %v", data, err)
	}
	return s
}
