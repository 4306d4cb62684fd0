package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"freshet/cmd/freshet/config"
)

// A relay that finds no owner says so after five seconds, and what it could not promise is there once, whichever way the
// publisher's retries go.
func TestClusterStoryNoOwner(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 2)
	edge := s.join("edge", func(c *config.Config) { c.Cluster.Role = "edge" })
	watchers := []*watcher{
		watch(t, "r1", "match", manners[0], s.members[0].at),
		watch(t, "edge", "match", manners[1], edge.at),
	}
	p := newPoster(t, "p1", "match", edge.first)
	for _, w := range watchers {
		w.awaitLive()
	}
	if !p.publish(t.Context(), 1) {
		t.Fatal("the first event is not acknowledged")
	}
	refused := func(number int) {
		t.Helper()
		began := time.Now()
		_, err := p.try(t.Context(), edge.url, number)
		if took := time.Since(began); err == nil || err.Error() != "status 503" || took < 4*time.Second || took > attempt {
			t.Errorf("event %d, without an owner: %v after %v", number, err, took)
		}
		t.Logf("event %d was refused after %v", number, time.Since(began))
	}
	again := func(number int, duplicate bool) {
		t.Helper()
		r, err := p.try(t.Context(), edge.url, number)
		if err != nil || r.duplicate != duplicate {
			t.Errorf("event %d again: %+v, %v", number, r, err)
		}
		p.acked = append(p.acked, r)
	}
	// Nothing comes through.
	s.net.Partition([]string{"edge"}, []string{"r1", "r2"})
	edge.awaitMembers(1)
	refused(2)
	s.net.Heal()
	s.awaitMembers(3)
	again(2, false)
	// The event does, and its acknowledgement does not.
	s.net.Cut([]string{"r1", "r2"}, []string{"edge"})
	refused(3)
	watchers[0].awaitEvent("p1", 3)
	s.net.Heal()
	s.awaitMembers(3)
	again(3, true)
	close(p.over)
	conclude(t, []*poster{p}, watchers).inOrder().oneOrder()
}

// A topic that is ended at one relay ends everywhere, for who is there and for who comes later.
func TestClusterStoryEnd(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 3)
	watchers := s.audience("match", s.members)
	p := post(t, "p1", "match", 0, 20, s.members[0].first)
	p.awaitAcked(20)
	request := func(method, relay, lastID string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, relay+"/events/match", strings.NewReader("p1 21"))
		if err != nil {
			t.Fatal(err)
		}
		if lastID != "" {
			req.Header.Set("Last-Event-ID", lastID)
		}
		res, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode, res.Header.Get("Content-Type")
	}
	if status, _ := request(http.MethodDelete, s.members[1].url, ""); status/100 != 2 {
		t.Fatalf("DELETE: %d", status)
	}
	for _, w := range watchers {
		w.await("the end", patience, func() bool { return w.end != "" })
		if w.end != "freshet.end" || len(w.got) != 20 || len(w.gaps) > 0 {
			t.Errorf("%s: %s", w.name, w)
		}
	}
	for _, m := range s.members {
		if status, _ := request(http.MethodGet, m.url, ""); status != http.StatusNoContent {
			t.Errorf("GET at %s: %d", m.name, status)
		}
		if status, _ := request(http.MethodPost, m.url, ""); status != http.StatusGone {
			t.Errorf("POST at %s: %d", m.name, status)
		}
		// Who missed some of it gets that first.
		late := watch(t, m.name+"/late", "match", manners[2], m.at, func(w *watcher) {
			from := watchers[0].nth(9)
			w.lastID, w.saw = from.id, watchers[0].eventsTo(from)
		})
		late.await("the end", patience, func() bool { return late.end != "" })
		if late.end != "freshet.end" || len(late.got) != 10 || len(late.gaps) > 0 {
			t.Errorf("%s: %s", late.name, late)
		}
		// Who has it all is told to stop.
		if status, _ := request(http.MethodGet, m.url, watchers[0].lastID); status != http.StatusNoContent {
			t.Errorf("GET at %s, with the last id: %d", m.name, status)
		}
	}
}

// A relay with another key neither hears the others nor is heard.
func TestClusterStoryWrongKey(t *testing.T) {
	t.Parallel()
	s := newClusterStage(t, 2)
	stranger := s.join("r0", func(c *config.Config) { // its name sorts first: it is who opens links
		c.Cluster.Key = []string{config.FormatKey([32]byte{9})}
	})
	outside := post(t, "outside", "match", 0, 20, func(int) string { return stranger.url })
	inside := post(t, "inside", "match", 0, 20, func(int) string { return s.members[1].url })
	outside.awaitAcked(20)
	inside.awaitAcked(20)
	watchers := []*watcher{
		watch(t, "r1", "match", manners[0], func() string { return s.members[0].url }),
		watch(t, "r2", "match", manners[3], func() string { return s.members[1].url }),
	}
	conclude(t, []*poster{inside}, watchers).inOrder().oneOrder()
	for _, w := range watchers {
		for _, d := range w.got {
			if d.poster == "outside" {
				t.Fatalf("%s was sent %s", w.name, d.event())
			}
		}
	}
	for m, want := range map[*member]int{stranger: 1, s.members[0]: 2, s.members[1]: 2} {
		if seen := m.members(); fmt.Sprint(seen) != fmt.Sprint(map[string]int{"ready": want}) {
			t.Errorf("%s sees %v, want %d", m.name, seen, want)
		}
	}
	knocked := s.net.Stats("r0", "r1")
	if knocked.Packets+knocked.Streams == 0 {
		t.Error("the stranger did not even knock")
	}
}
