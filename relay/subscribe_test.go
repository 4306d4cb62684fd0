package relay

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"freshet/origin/sse"
)

var onlyRetry = regexp.MustCompile(`^retry: [0-9]+\n$`)

// wantOverload asks for the topic as a browser does and as others do.
func wantOverload(t *testing.T, r *Relay, limit string) {
	t.Helper()
	w := ask(r, "GET", "/events/t", "", "Accept", "text/event-stream")
	if w.Code != http.StatusOK || !onlyRetry.MatchString(w.Body.String()) || w.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("a browser gets %d %q", w.Code, w.Body)
	}
	w = ask(r, "GET", "/events/t", "")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), limit) {
		t.Errorf("others get %d %q", w.Code, w.Body)
	}
}

func TestSubscribersAreBounded(t *testing.T) {
	r := newTestRelay(t, Config{Limits: Limits{Subscribers: 8, AddressShare: 1}})
	var all []*subscriber
	for range 8 {
		all = append(all, joinTopic(t, r, "t", start{}))
	}
	wantOverload(t, r, `"limit":"limits.subscribers","max":8`)
	all[0].Close(nil)
	s, cancel, done := follow(r, "/events/t")
	eventually(t, "one takes the place", func() bool { return strings.Contains(s.take(), "freshet.open") })
	cancel()
	<-done
}

func TestSubscribersOfOneAddressAreBounded(t *testing.T) {
	r := newTestRelay(t, Config{Limits: Limits{Subscribers: 16, AddressShare: 0.25}})
	for _, c := range []struct {
		remote string
		taken  bool
	}{
		{"192.0.2.1:1", true}, {"192.0.2.1:2", true}, {"192.0.2.1:3", true}, {"192.0.2.1:4", true},
		{"192.0.2.1:5", false},
		{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8:0:0:ffff::]:1", true}, {"[2001:db8::4%eth0]:1", true},
		{"[2001:db8::5]:1", false}, // the same /64
	} {
		who, over := r.admission.subscriber(c.remote)
		if (who != nil) != c.taken {
			t.Errorf("%s: %v, limits.%s", c.remote, who, over)
		}
		if want := limitAddressShare; !c.taken && over != want {
			t.Errorf("%s: refused by limits.%s, want limits.%s", c.remote, over, want)
		}
	}
}

func TestSubscribeNotReady(t *testing.T) {
	ready := errors.New("the cluster is not in view")
	r := newTestRelay(t, Config{Ready: func() error { return ready }})
	wantOverload(t, r, "the cluster is not in view")
	if w := ask(r, "POST", "/events/t", "x"); w.Code != http.StatusCreated {
		t.Errorf("publish: %d", w.Code)
	}
	ready = nil
	_, cancel, done := follow(r, "/events/t")
	eventually(t, "one subscribes", func() bool { return r.admission.subscribers.Load() == 1 })
	cancel()
	<-done
}

func TestSubscribeDraining(t *testing.T) {
	r := newTestRelay(t, Config{})
	r.leave()
	wantOverload(t, r, "stopping")
	w := ask(r, "POST", "/events/t", "x")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("publish: %d %s", w.Code, w.Body)
	}
}

// Whoever asks on after a 204 costs no topic and no subscriber.
func TestSubscribeAfterTheEndIsCheap(t *testing.T) {
	r := newTestRelay(t, Config{Limits: Limits{Subscribers: 1}})
	ask(r, "DELETE", "/events/t", "")
	joinTopic(t, r, "other", start{})
	for range 10 {
		if w := ask(r, "GET", "/events/t", "", "Accept", "text/event-stream"); w.Code != http.StatusNoContent {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}

// A resume from what an ended topic no longer has is told so, and then the end.
func TestSubscribeEndedAndEvicted(t *testing.T) {
	r := newTestRelay(t, Config{})
	publishNumbers(t, r, "t", 1, 3)
	topic := r.topics.peek("t")
	first := strings.TrimSuffix(topic.ring().Head().String(), "3") + "1"
	ask(r, "DELETE", "/events/t", "")
	r.background.Wait()
	topic.ring().Forget()
	w := ask(r, "GET", "/events/t", "", "Last-Event-ID", first)
	wantScript(t, w.Body.Bytes(), "open 1", "gap evicted", "end")
}

// HEAD makes no topic.
func TestSubscribeHead(t *testing.T) {
	r := newTestRelay(t, Config{})
	w := ask(r, "HEAD", "/events/t", "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" || w.Body.Len() != 0 || r.topics.len() != 0 {
		t.Errorf("%d %s %q, %d topics", w.Code, w.Header(), w.Body, r.topics.len())
	}
}

func TestPages(t *testing.T) {
	r := newTestRelay(t, Config{Pages: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, "page ", req.URL.Path) })})
	for path, want := range map[string]string{"/": "page /", "/eventsource.js": "page /eventsource.js", "/x/events/y": "page /x/events/y"} {
		if w := ask(r, "GET", path, ""); w.Body.String() != want {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	if w := httptest.NewRecorder(); true {
		r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/events", nil))
		if w.Code != http.StatusBadRequest {
			t.Errorf("/events: %d", w.Code)
		}
	}
}

// Whatever a client sends as an id or a place, the answer is a stream that opens
// with one whole block, or a refusal; and the id in the block is one that comes
// back to the same place.
func FuzzSubscribe(f *testing.F) {
	f.Add("", "", "")
	f.Add("1-1", "oldest", "t")
	f.Add("a\nid: b", "-3", "scores/match-42")
	f.Add("\x00", "2026-11-21T15:00:00Z", "a/../b")
	f.Add(strings.Repeat("x", 300), "-99999999999999999999", ".")
	f.Fuzz(func(t *testing.T, id, from, topic string) {
		r := newTestRelay(t, Config{Topics: Topics{Events: 2}})
		publishNumbers(t, r, "t", 1, 4)
		query := url.Values{"topic": {topic}, "from": {from}, "last_event_id": {id}}
		target := "/events?" + query.Encode()
		ask := func(header ...string) string {
			s, cancel, done := follow(r, target, header...)
			eventually(t, "an answer", func() bool { return s.size() > 0 })
			cancel()
			<-done
			return s.take()
		}
		answer := ask()
		if strings.HasPrefix(answer, "{") {
			return
		}
		events := decode([]byte(answer))
		if len(events) == 0 || events[0].Type != sse.TypeOpen || !sse.UsableID(events[0].ID) {
			t.Fatalf("the stream began with %q", answer)
		}
		for _, e := range events[1:] {
			if !e.Control() && topic != "t" {
				t.Fatalf("an event of another topic: %q", answer)
			}
		}
		again := decode([]byte(ask("Last-Event-ID", events[0].ID)))
		if len(again) == 0 || again[0].ID != events[0].ID {
			t.Fatalf("%q came back as %q", answer, again)
		}
	})
}
