package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet/origin/sse"
	"freshet/relay"
)

const anyTopic = "http://origin.test/of/{topic}=*"

// What decides at the origin decides for the subscriber, and is remembered for a moment.
func TestStoryTemplateAnswers(t *testing.T) {
	for _, status := range []int{204, 401, 403, 404, 410} {
		play(t, anyTopic, func(s *stage) {
			asked := s.Ask("a/b", "7")
			p := s.origin.WantRequest("7")
			if got := p.request.URL.String(); got != "http://origin.test/of/a/b" {
				t.Errorf("the origin is asked for %s", got)
			}
			p.Status(status)
			if l := <-asked; l.status != status {
				t.Errorf("the origin says %d, the subscriber hears %d", status, l.status)
			}
			for range 1000 { // who ask again cost the origin nothing
				if l := s.Listen("a/b", ""); l.status != status {
					t.Fatalf("the origin said %d, the next subscriber hears %d", status, l.status)
				}
			}
			s.origin.WantNone(5 * time.Second)
			again := s.Ask("a/b", "")
			if status == 204 { // the topic has ended, for an hour
				s.origin.WantNone(time.Second)
				if l := <-again; l.status != 204 {
					t.Errorf("after the end the subscriber hears %d", l.status)
				}
				return
			}
			p = s.origin.WantRequest("").Open()
			l := <-again
			p.Events(1, 1)
			l.Want("1 1")
		})
	}
}

// An origin that does not answer keeps a subscriber waiting for five seconds, and no
// trouble of the origin is told to a browser, which would give up for ever.
func TestStoryTemplateTrouble(t *testing.T) {
	for name, trouble := range map[string]func(*pulled){
		"silence":  func(*pulled) {},
		"500":      func(p *pulled) { p.Status(500) },
		"429":      func(p *pulled) { p.Status(429) },
		"a page":   func(p *pulled) { p.Status(200) },
		"no route": func(p *pulled) { p.Refuse() },
	} {
		play(t, anyTopic, func(s *stage) {
			began := time.Now()
			l := make(chan *listener, 1)
			go func() { l <- <-s.Ask("a", "") }()
			stop := make(chan struct{})
			go func() { // the origin, until it is well again
				for {
					select {
					case p := <-s.origin.requests:
						trouble(p)
					case <-stop:
						return
					}
				}
			}()
			subscriber := <-l
			if waited := time.Since(began); subscriber.status != 200 || waited != 5*time.Second {
				t.Errorf("%s: answered with %d after %v", name, subscriber.status, waited)
			}
			close(stop)
			synctest.Wait()
			for p := s.origin.WantRequest(""); ; p = s.origin.WantRequest("") {
				if p.request.Context().Err() == nil {
					p.Open().Events(1, 3)
					break
				}
			}
			subscriber.Want(numbers(1, 3)...)
		})
	}
}

// A topic is pulled once for all its subscribers, from the first one's id, until thirty
// seconds after the last; and then goes on where it was left.
func TestStoryTemplateLinger(t *testing.T) {
	play(t, anyTopic, func(s *stage) {
		first := s.Ask("a", "41")
		var others []<-chan *listener
		p := s.origin.WantRequest("41")
		for range 50 {
			others = append(others, s.Ask("a", ""))
		}
		p.Open().Events(42, 43)
		all := []*listener{<-first}
		for _, other := range others {
			all = append(all, <-other)
		}
		s.origin.WantNone(30 * time.Second)
		p.Send(":\n")
		all[0].Want("42 42", "43 43")
		for _, l := range all[1:] {
			l.Leave()
		}
		for range 20 { // one is left, and the origin is not silent
			time.Sleep(30 * time.Second)
			p.Send(":\n")
		}
		p.WantClosed(false)
	})
	play(t, anyTopic, func(s *stage) {
		l := s.Ask("a", "41")
		p := s.origin.WantRequest("41").Open().Events(42, 43)
		(<-l).Leave()
		time.Sleep(29 * time.Second)
		p.WantClosed(false)
		back := s.Listen("a", "42") // just in time
		back.Want("43 43")
		time.Sleep(10 * time.Second)
		back.Leave()
		p.Send(":\n")
		time.Sleep(30*time.Second - 1)
		p.WantClosed(false)
		time.Sleep(time.Nanosecond)
		p.WantClosed(true)

		again := s.Ask("a", "42")
		s.origin.WantRequest("43").Open().Events(42, 45) // and the origin overlaps
		(<-again).Want("43 43", "44 44", "45 45")
	})
}

// The topics of an origin without ids cannot be resumed. Who comes back later is told.
func TestStoryTemplateWithoutIDs(t *testing.T) {
	play(t, anyTopic, func(s *stage) {
		asked := s.Ask("a", "")
		p := s.origin.WantRequest("").Open()
		l := <-asked
		p.Send("data: x\n\n")
		l.Want("* x")
		last := l.LastID()
		l.Leave()
		time.Sleep(time.Minute)
		asked = s.Ask("a", last)
		s.origin.WantRequest("").Open().Send("data: y\n\n")
		(<-asked).Want("gap none none origin", "* y")
	})
}

// The relay has restarted: the new one knows nothing. From the origin's own id the origin
// resumes; from a position of the old relay it cannot, and the subscriber is told of a gap. An origin
// that is a relay knows its own positions.
func TestStoryTemplateAfterARestart(t *testing.T) {
	play(t, anyTopic, func(s *stage) {
		// In a bubble it is the year 2000, in which no relay was ever started.
		time.Sleep(time.Until(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)))
		o := s.origin
		s = newStage(s.t, anyTopic, o, relay.Config{})
		asked := s.Ask("a", "")
		p := o.WantRequest("").Open()
		l := <-asked
		p.Send("id: 7\ndata: x\n\ndata: no id\n\n")
		l.Want("7 x", "* no id")
		position := l.LastID()
		l.Leave()

		restarted := newStage(s.t, anyTopic, o, relay.Config{})
		asked = restarted.Ask("a", position)
		o.WantRequest(position).Open().Send("data: y\n\n")
		(<-asked).Want("gap "+position+" none origin", "* y")

		restarted = newStage(s.t, anyTopic, o, relay.Config{})
		asked = restarted.Ask("a", "7")
		o.WantRequest("7").Open().Send("id: 8\ndata: y\n\n")
		(<-asked).Want("8 y")
	})
	synctest.Test(t, func(t *testing.T) {
		far := newStage(t, "", nil, relay.Config{})
		publish := func(data string) string {
			t.Helper()
			receipt, err := far.relay.Publish(t.Context(), "a", "", sse.Event{Data: []byte(data)})
			if err != nil {
				t.Fatal(err)
			}
			return receipt.ID
		}
		seen := publish("x")
		publish("y")
		near := newStage(t, "http://far.test/events/{topic}=*", inProcess{far.relay.Handler()}, relay.Config{})
		l := near.Listen("a", seen)
		l.Want("* y")
		publish("z")
		l.Want("* z")
	})
}

// Strangers who ask for many names at once do not become as many requests.
func TestStoryTemplateStrangers(t *testing.T) {
	play(t, anyTopic, func(s *stage) {
		go func() {
			for p := range s.origin.requests {
				p.Status(404)
			}
		}()
		s.t.Cleanup(func() { close(s.origin.requests) })
		const names = 3000
		answers := make(map[int]int)
		for i := range names {
			answers[s.Listen(fmt.Sprint("name", i), "").status]++
		}
		// 50 a second in the long run, and five seconds' worth at once.
		if answers[404] != 250 || answers[404]+answers[200] != names {
			t.Errorf("the strangers hear %v", answers)
		}
	})
}

// A browser that is kept from the origin is told to come back, in a stream that ends.
func TestStoryTemplateComeBack(t *testing.T) {
	play(t, "http://origin.test/of/{topic}=*", func(s *stage) {
		for i := range 250 {
			asked := s.Ask(fmt.Sprint("name", i), "")
			s.origin.WantRequest("").Status(404)
			<-asked
		}
		for accept, want := range map[string]int{"text/event-stream": 200, "*/*": 503} {
			req, err := http.NewRequest("GET", "http://relay.test/events/real", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", accept)
			resp, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != want {
				t.Errorf("%s hears %d", accept, resp.StatusCode)
			}
			if want == 200 && !strings.HasPrefix(string(body), "retry: ") {
				t.Errorf("the browser reads %q", body)
			}
		}
		s.origin.WantNone(0)
	})
}

// A topic that is published to has no origin to ask what came after an id of before the
// restart. Who comes with one is told of a gap, whether or not other topics have origins; so is one whose
// origin is pulled anyway.
func TestStoryTemplateForOtherTopics(t *testing.T) {
	play(t, "http://origin.test/of/{topic}=live/ http://origin.test/steady=steady", func(s *stage) {
		steady := s.origin.WantRequest("").Open()
		for _, topic := range []string{"posted", "steady"} {
			l := s.Listen(topic, "7")
			if l.status != 200 {
				t.Fatalf("%s: %d", topic, l.status)
			}
			l.Want("gap 7 * unknown")
		}
		steady.Cut()
	})
}

// An origin that answers too late still resumes: what came after the id that the subscriber has seen
// comes whole, and no gap is claimed.
func TestStoryTemplateResumesLate(t *testing.T) {
	play(t, anyTopic, func(s *stage) {
		asked := s.Ask("a", "7")
		late := s.origin.WantRequest("7")
		l := <-asked // after five seconds
		late.Open().Events(8, 9)
		l.Want("8 8", "9 9")
	})
}
