package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet/cluster"
	"freshet/cluster/agree"
	"freshet/origin"
	"freshet/relay"
	"freshet/ringbuf"
)

// A puppetNode is a cluster as a feed sees it. It commits what it is told to.
type puppetNode struct {
	feed    *clusterFeed
	commits chan *commitment
	seq     uint64
}

// A commitment waits for the story to decide.
type commitment struct {
	topic, body, id string
	mark            agree.FeedMark
	answer          chan error
}

func (n *puppetNode) Pin(string)          {}
func (n *puppetNode) Trim(string, uint64) {}

func (n *puppetNode) Feed(ctx context.Context, topic string, mark agree.FeedMark, _ agree.Kind, e ringbuf.Entry) (string, error) {
	c := &commitment{topic, string(e.Body), e.ID, mark, make(chan error, 1)}
	n.commits <- c
	select {
	case err := <-c.answer:
		return e.ID, err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// show has the log show a record, whoever made it.
func (n *puppetNode) show(body string) {
	n.seq++
	n.feed.show([]agree.Entry{{Position: agree.Position{Epoch: 1, Seq: n.seq}, Body: []byte(body)}})
}

// commit commits the next thing that the feed asks for, which has to be this.
func (n *puppetNode) commit(t *testing.T, topic, body string) *commitment {
	t.Helper()
	c := n.next(t, topic, body)
	if topic == n.feed.topic {
		n.show(c.body)
	}
	c.answer <- nil
	return c
}

func (n *puppetNode) next(t *testing.T, topic, body string) *commitment {
	t.Helper()
	select {
	case c := <-n.commits:
		if c.topic != topic || !strings.Contains(c.body, body) {
			t.Fatalf("the feed commits %q to %s, want %q to %s", c.body, c.topic, body, topic)
		}
		return c
	case <-time.After(time.Hour):
		t.Fatalf("the feed never commits %q to %s", body, topic)
		return nil
	}
}

// wantNone wants nothing to be committed for so long.
func (n *puppetNode) wantNone(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case c := <-n.commits:
		t.Fatalf("the feed commits %q to %s", c.body, c.topic)
	case <-time.After(d):
	}
}

// playFeed tells a story of one feed into one topic, "t".
func playFeed(t *testing.T, tell func(t *testing.T, n *puppetNode, o *puppetOrigin)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, err := relay.New(relay.Config{})
		if err != nil {
			t.Fatal(err)
		}
		o := &puppetOrigin{t: t, requests: make(chan *pulled, 100)}
		n := &puppetNode{commits: make(chan *commitment, 100)}
		all := &clusterFeeds{node: n, log: slog.New(slog.DiscardHandler), metrics: newFeedMetrics(nil)}
		source := &origin.Source{Topic: "t", URLs: []string{"http://origin.test/"}, Client: &http.Client{Transport: o}, Retry: time.Second, IdleTimeout: 100 * time.Hour}
		if n.feed, err = newClusterFeed(all, feedLog+"f", source, r, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- n.feed.Run(ctx) }()
		defer func() {
			stop()
			if err := <-over; err != nil {
				t.Error(err)
			}
		}()
		tell(t, n, o)
	})
}

const theFeedLog = feedLog + "f"

// cursorIs is how a record says a cursor: in base64.
func cursorIs(id string) string { return fmt.Sprintf(`{"cursor":"%s","begun":true}`, base64Of(id)) }

// The origin is asked when this relay is charged, and everything that its predecessor recorded is known.
func TestClusterFeedClaimsFirst(t *testing.T) {
	playFeed(t, func(t *testing.T, n *puppetNode, o *puppetOrigin) {
		n.show(`{"claim":4}`)
		n.show(cursorIs("7"))
		o.WantNone(time.Minute)
		n.feed.charge(5)
		claim := n.next(t, theFeedLog, `{"claim":5}`)
		claim.answer <- nil
		o.WantNone(time.Minute) // it is committed, not shown: there may be more before it
		n.show(cursorIs("9"))
		n.show(claim.body)
		o.WantRequest("9").Open()
		if claim.mark != (agree.FeedMark{Name: theFeedLog, Epoch: 5}) {
			t.Errorf("it claims as %+v", claim.mark)
		}
	})
}

// A cursor is recorded when its event is committed, not before; and the newest only.
func TestClusterFeedRecordsBehindEvents(t *testing.T) {
	playFeed(t, func(t *testing.T, n *puppetNode, o *puppetOrigin) {
		n.feed.charge(5)
		n.commit(t, theFeedLog, `{"claim":5}`)
		n.commit(t, theFeedLog, `{}`) // where it begins
		p := o.WantRequest("").Open()
		p.Events(1, 1)
		event := n.next(t, "t", "1")
		n.wantNone(t, time.Hour)
		event.answer <- nil
		began := time.Now()
		n.commit(t, theFeedLog, cursorIs("1"))
		go p.Events(2, 4)
		for _, id := range []string{"2", "3", "4"} {
			n.commit(t, "t", id)
		}
		n.commit(t, theFeedLog, cursorIs("4"))
		if took := time.Since(began); took != recordPause {
			t.Errorf("recorded after %v", took)
		}
	})
}

// It turns out that another pulls: the origin is left, and not asked again until there is a new charge.
func TestClusterFeedOutdated(t *testing.T) {
	playFeed(t, func(t *testing.T, n *puppetNode, o *puppetOrigin) {
		n.feed.charge(5)
		n.commit(t, theFeedLog, `{"claim":5}`)
		n.commit(t, theFeedLog, `{}`)
		p := o.WantRequest("").Open()
		go p.Events(1, 1)
		n.next(t, "t", "1").answer <- cluster.ErrStale
		synctest.Wait()
		p.WantClosed(true)
		o.WantNone(time.Hour)
		n.feed.charge(8)
		n.commit(t, theFeedLog, `{"claim":8}`)
		n.commit(t, theFeedLog, `{}`)
		p = o.WantRequest("").Open() // nothing was committed of what came
		go p.Events(1, 1)
		if c := n.commit(t, "t", "1"); c.mark.Epoch != 8 {
			t.Errorf("it comes as %+v", c.mark)
		}
		n.feed.charge(0)
		synctest.Wait()
		p.WantClosed(true)
	})
}

// What the origin may be repeating to a relay that does not know it is a pull of its own to the owners of topics; after a
// reconnect too, but not what is new for sure.
func TestClusterFeedPulls(t *testing.T) {
	playFeed(t, func(t *testing.T, n *puppetNode, o *puppetOrigin) {
		n.feed.charge(5)
		n.commit(t, theFeedLog, `{"claim":5}`)
		var pulls []uint64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for len(pulls) < 5 {
				c := <-n.commits
				if c.topic == theFeedLog {
					n.show(c.body)
				} else {
					pulls = append(pulls, c.mark.Pull)
				}
				c.answer <- nil
			}
		}()
		o.WantRequest("").Open().Events(1, 2).Cut()                                  // unknown: a pull
		o.WantRequest("2").Open().Events(1, 3).Cut()                                 // 3 is unknown: the next
		o.WantRequest("3").Open().Send("id: 2\ndata: 2\n\nid: 2\ndata: 2\n\n").Cut() // the second 2 is not repeated: it is new
		o.WantRequest("2").Open().Events(4, 4)
		<-done
		if want := []uint64{1, 1, 2, 2, 3}; !slices.Equal(pulls, want) {
			t.Errorf("events came in pulls %v, want %v", pulls, want)
		}
	})
}

// Every eight hours where it stands is said again, for those who come later: entries are kept for a day.
func TestClusterFeedRefreshes(t *testing.T) {
	playFeed(t, func(t *testing.T, n *puppetNode, o *puppetOrigin) {
		n.show(cursorIs("9"))
		n.feed.charge(5)
		n.commit(t, theFeedLog, `{"claim":5}`)
		n.commit(t, theFeedLog, cursorIs("9"))
		o.WantRequest("9").Open()
		for range 2 {
			n.wantNone(t, 8*time.Hour-time.Second)
			n.commit(t, theFeedLog, cursorIs("9"))
		}
	})
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
