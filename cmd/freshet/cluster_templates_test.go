package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"freshet/cluster"
	"freshet/cluster/agree"
	"freshet/origin"
	"freshet/relay"
	"freshet/ringbuf"
)

// A puppetOwner is a cluster as the owner of a template's topics sees it, and as a relay that wants one.
type puppetOwner struct {
	t     *testing.T
	said  chan string // what is said to others: "topic relay status", "want topic id"
	marks chan agree.FeedMark
	fail  error // of the next event
}

func (n *puppetOwner) Feed(_ context.Context, _ string, mark agree.FeedMark, _ agree.Kind, e ringbuf.Entry) (string, error) {
	n.marks <- mark
	err := n.fail
	n.fail = nil
	return e.ID, err
}

func (n *puppetOwner) End(_ context.Context, topic string) error {
	n.said <- "end " + topic
	return nil
}
func (n *puppetOwner) Want(topic, id string)   { n.said <- "want " + topic + " " + id }
func (n *puppetOwner) Unwant(topic string)     { n.said <- "unwant " + topic }
func (n *puppetOwner) Recall(topic, id string) { n.said <- "recall " + topic + " " + id }
func (n *puppetOwner) Sourced(topic, to string, status int) {
	n.said <- fmt.Sprint(topic, " ", to, " ", status)
}

// WantSaid wants these to have been said, and nothing else.
func (n *puppetOwner) WantSaid(want ...string) {
	n.t.Helper()
	synctest.Wait()
	var got []string
	for len(n.said) > 0 {
		got = append(got, <-n.said)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		n.t.Errorf("said %q, want %q", got, want)
	}
}

// playTemplate tells a story of topics below live/.
func playTemplate(t *testing.T, tell func(t *testing.T, c *clusterTemplates, n *puppetOwner, o *puppetOrigin)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := relay.New(relay.Config{})
		if err != nil {
			t.Fatal(err)
		}
		o := &puppetOrigin{t: t, requests: make(chan *pulled, 100)}
		n := &puppetOwner{t: t, said: make(chan string, 100), marks: make(chan agree.FeedMark, 100)}
		source := &origin.Source{
			Template: "http://origin.test/{topic}", Prefix: "live/", Client: &http.Client{Transport: o}, IdleTimeout: 100 * time.Hour,
			Logger: slog.New(slog.DiscardHandler),
		}
		c, err := newClusterTemplates(&feeds{templates: []*origin.Source{source}, metrics: newFeedMetrics(nil)}, n, r, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- c.Run(ctx) }()
		synctest.Wait()
		tell(t, c, n, o)
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// A topic is pulled from when somebody wants it until everybody has taken that back, or has not said so for long.
func TestClusterTemplateLease(t *testing.T) {
	playTemplate(t, func(t *testing.T, c *clusterTemplates, n *puppetOwner, o *puppetOrigin) {
		c.Wanted("live/a", "r2", "7", false) // it is not this relay's
		c.Wanted("news", "r2", "", false)    // no template has it
		n.WantSaid(fmt.Sprint("news r2 ", cluster.SourceNone))
		o.WantNone(time.Minute)

		c.charge("live/a", 5)
		c.Wanted("live/a", "r2", "7", false)
		n.WantSaid("recall live/a 7")
		c.Wanted("live/a", "r3", "9", false)
		p := o.WantRequest("7").Open()
		n.WantSaid("live/a r2 0", "live/a r3 0")
		p.Events(8, 8)
		if mark := <-n.marks; mark != (agree.FeedMark{Name: "live/a", Epoch: 5, Pull: 1}) {
			t.Errorf("events come as %+v", mark)
		}
		for range 10 {
			time.Sleep(10 * time.Second)
			c.Wanted("live/a", "r3", "9", true)
			n.WantSaid("live/a r3 0")
		}
		p.WantClosed(false)
		time.Sleep(39 * time.Second)
		p.WantClosed(false)
		time.Sleep(2 * time.Second) // r3 has died
		p.WantClosed(true)

		c.Wanted("live/a", "r2", "8", false)
		p = o.WantRequest("8").Open()
		n.WantSaid("recall live/a 8", "live/a r2 0") // this test's log is always empty
		c.Unwanted("live/a", "r2")
		synctest.Wait()
		p.WantClosed(true)
		if len(c.pulls) != 0 {
			t.Errorf("%d topics are remembered", len(c.pulls))
		}
	})
}

// The origin's last word goes to all who wait, and to who asks later: unless that one has just begun to.
func TestClusterTemplateLastWord(t *testing.T) {
	playTemplate(t, func(t *testing.T, c *clusterTemplates, n *puppetOwner, o *puppetOrigin) {
		c.charge("live/a", 5)
		c.Wanted("live/a", "r2", "", false)
		c.Wanted("live/a", "r3", "", false)
		o.WantRequest("").Status(404)
		n.WantSaid("live/a r2 404", "live/a r3 404")
		c.Wanted("live/a", "r3", "", true)
		n.WantSaid("live/a r3 404")
		time.Sleep(6 * time.Second) // for five the origin is not asked again
		c.Wanted("live/a", "r3", "", true)
		n.WantSaid("live/a r3 404")
		o.WantNone(time.Second)
		c.Wanted("live/a", "r4", "", false)
		o.WantRequest("").Open()
		n.WantSaid("live/a r4 0")
		c.Wanted("live/a", "r3", "", false)
		n.WantSaid("live/a r3 0")
	})
	playTemplate(t, func(t *testing.T, c *clusterTemplates, n *puppetOwner, o *puppetOrigin) {
		c.charge("live/a", 5)
		c.Wanted("live/a", "r2", "", false)
		o.WantRequest("").Status(204)
		n.WantSaid("end live/a", "live/a r2 204")
	})
}

// A topic goes on under a new charge; with another owner it does not, and what it was open for is not taken back.
func TestClusterTemplateCharges(t *testing.T) {
	playTemplate(t, func(t *testing.T, c *clusterTemplates, n *puppetOwner, o *puppetOrigin) {
		c.charge("live/a", 5)
		c.Wanted("live/a", "r2", "", true) // it was open with the owner before
		n.WantSaid("live/a r2 0")
		o.WantRequest("").Status(404) // so this is not the last word
		p := o.WantRequest("").Open()
		n.fail = cluster.ErrStale
		p.Send("id: 1\ndata: 1\n\n")
		synctest.Wait()
		p.WantClosed(true)
		o.WantNone(5 * time.Second)
		c.charge("live/a", 0)
		c.charge("live/a", 8)
		<-n.marks
		p = o.WantRequest("").Open().Events(1, 1)
		if mark := <-n.marks; mark.Epoch != 8 {
			t.Errorf("events come as %+v", mark)
		}
		c.charge("live/a", 0)
		synctest.Wait()
		p.WantClosed(true)
		c.Wanted("live/a", "r2", "", true)
		o.WantNone(time.Hour)
		n.WantSaid()
	})
}

// What the owner says decides for who waits here.
func TestClusterTemplateFollow(t *testing.T) {
	playTemplate(t, func(t *testing.T, c *clusterTemplates, n *puppetOwner, o *puppetOrigin) {
		opened := 0
		follow := func() (context.CancelFunc, chan error) {
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- c.Follow(ctx, "live/a", "7", func() { opened++ }) }()
			n.WantSaid("want live/a 7")
			return stop, done
		}
		for word, want := range map[int]int{404: 404, 204: 204, 503: 503, cluster.SourceNone: 0} {
			stop, done := follow()
			c.Sourced("live/a", word)
			err := <-done
			if got := relayStatus(err); got != want || opened > 0 {
				t.Errorf("the owner says %d, Follow %v", word, err)
			}
			n.WantSaid("unwant live/a")
			stop()
		}
		stop, done := follow()
		c.Sourced("live/a", cluster.SourceOpen)
		synctest.Wait()
		c.Sourced("live/a", 404) // a new owner's, perhaps
		synctest.Wait()
		if opened != 1 || len(done) > 0 {
			t.Errorf("opened %d times, returned %d times", opened, len(done))
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		n.WantSaid("unwant live/a")
		if err := c.Follow(t.Context(), "news", "", func() {}); err != nil {
			t.Error(err)
		}
		n.WantSaid()
	})
}

func relayStatus(err error) int {
	if s, ok := err.(relay.Status); ok {
		return s.HTTPStatus()
	}
	return 0
}
