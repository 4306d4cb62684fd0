package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/cluster/agree"
)

// TestRoster is a script: what happens, and the lines that say so.
func TestRoster(t *testing.T) {
	var log journal
	now := time.Unix(1e9, 0)
	r := newRoster("self", log.logger(), func(string, time.Time) time.Duration { return 1100 * time.Millisecond })
	var view []Member
	member := func(name, gossip string, s agree.State) Member {
		return Member{Member: agree.Member{Name: name, Region: "eu", State: s}, Link: name + ":7947", Gossip: gossip}
	}
	told := 0
	step := func(what string, do func(), want ...string) {
		t.Helper()
		now = now.Add(time.Second)
		do()
		r.see(now, view)
		lines := log.lines("")
		got := append([]string{}, lines[told:]...)
		told = len(lines)
		for i := range want {
			want[i] = "level=INFO msg=" + want[i]
		}
		if d := cmp.Diff(append([]string{}, want...), got); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	self := member("self", "s:1", agree.Ready)
	is := func(list ...Member) func() { return func() { view = append(list, self) } }
	step("nobody", is())
	step("two come", is(member("b", "b:1", agree.Starting), member("a", "a:1", agree.Ready)),
		`"relay joined" name=b region=eu link=b:7947`, `"relay joined" name=a region=eu link=a:7947`)
	step("links", func() { r.up("a"); r.up("b") })
	step("b is ready", is(member("b", "b:1", agree.Ready), member("a", "a:1", agree.Ready)))
	step("b's link is silent", func() { r.down(now, "b") }, `"relay lost" name=b silent=1.1s`)
	step("and gossip agrees", is(member("a", "a:1", agree.Ready)))
	if list := r.missing(now); len(list) != 1 || list[0].Name != "b" || now.Sub(list[0].lost) != time.Second {
		t.Errorf("missing: %+v", list)
	}
	step("b is back elsewhere, without a link yet", is(member("a", "a:1", agree.Ready), member("b", "b:2", agree.Starting)),
		`"relay moved" name=b from=b:1 to=b:2`)
	step("and is linked", func() { r.up("b") }, `"relay back" name=b`)
	step("a restarts in no time", is(member("a", "a:1", agree.Starting), member("b", "b:2", agree.Ready)), `"relay restarted" name=a`)
	step("a drains", is(member("a", "a:1", agree.Draining), member("b", "b:2", agree.Ready)), `"relay draining" name=a`)
	step("and closes its link", func() { r.down(now, "a") })
	step("and goes", is(member("b", "b:2", agree.Ready)), `"relay left" name=a`)
	step("and comes", is(member("b", "b:2", agree.Ready), member("a", "a:1", agree.Starting)), `"relay joined" name=a region=eu link=a:7947`)
	step("gossip loses b, its link lives", is(member("a", "a:1", agree.Ready)), `"relay lost" name=b silent=1.1s`)
	step("and finds it", is(member("b", "b:2", agree.Ready), member("a", "a:1", agree.Ready)), `"relay back" name=b`)
	step("b dies", is(member("a", "a:1", agree.Ready)), `"relay lost" name=b silent=1.1s`)
	step("an hour later", func() { now = now.Add(time.Hour) })
	if list := r.missing(now); len(list) > 0 || len(r.known) != 1 {
		t.Errorf("missing: %+v, known: %v", list, r.known)
	}
	step("b is a newcomer", is(member("b", "b:2", agree.Ready), member("a", "a:1", agree.Ready)), `"relay joined" name=b region=eu link=b:7947`)
}

// TestWhatOthersSay: one of three drains and leaves, another is killed; the third has a line about each event, not each topic.
func TestWhatOthersSay(t *testing.T) {
	onNetwork(t, 0, func(t *testing.T, c *testCluster) {
		var log, leaving journal
		r1 := c.add("r1", func(n *Node) { n.Log = log.logger() })
		r2 := c.add("r2", func(n *Node) { n.Log = leaving.logger() })
		c.add("r3")
		for _, r := range c.relays {
			r.waitMembers(t, 3)
		}
		const topics = 60
		for i := range topics {
			if err := r1.publish(t.Context(), topicName(i), "k"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		s, err := r1.Status(t.Context())
		if err != nil || s.Change != nil {
			t.Errorf("topics that are new have changed hands: %+v, %v", s.Change, err)
		}
		if err := r2.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		r2.stop()
		time.Sleep(10 * time.Second)
		log.want(t, `msg="relay joined"`, 2)
		log.want(t, `msg="relay draining" name=r2`, 1)
		log.want(t, `msg="relay left" name=r2`, 1)
		log.want(t, `msg="relay lost"`, 0)
		log.want(t, `msg="topics moved here"`, 1)
		leaving.want(t, `msg="topics moved" topics=`, 2) // to each of the others
		leaving.want(t, `msg="relay l`, 0)
		leaving.want(t, "level=WARN", 0)
		if s, err = r1.Status(t.Context()); err != nil || s.Change == nil || s.Change.Reason != "move" || s.Change.Peer != "r2" || s.Change.Topics == 0 || len(s.Members) != 2 {
			t.Errorf("after a drain: %+v of %+v, %v", s.Change, s.Members, err)
		}

		owned := 0
		for i := range topics {
			if d, ok, err := r1.Topic(t.Context(), topicName(i)); err == nil && ok && d.Role == "owner" {
				owned++
			}
		}
		killed := time.Now()
		c.net.Kill("r3")
		go c.relays[2].stop()
		time.Sleep(20 * time.Second)
		log.want(t, `msg="relay lost" name=r3 silent=`, 1)
		log.want(t, `msg="took over topics"`, 1)
		log.want(t, `level=WARN msg="alone: topics without a standby"`, 1)
		log.want(t, `level=WARN`, len(log.lines("no relay of cluster.join"))+1)
		s, err = r1.Status(t.Context())
		if err != nil || s.Change == nil || s.Change.Reason != "takeover" || s.Change.Peer != "r3" || s.Change.Topics != topics-owned {
			t.Errorf("after a death: %+v, %v; want %d", s.Change, err, topics-owned)
		}
		lost := s.Members[len(s.Members)-1]
		if len(s.Members) != 2 || lost.Name != "r3" || lost.State != "lost" || lost.Since.Sub(killed) > 5*time.Second || !strings.HasSuffix(lost.Gossip, ":7946") {
			t.Errorf("lost: %+v", s.Members)
		}

		c.relays = c.relays[:1]
		c.add("r3")
		r1.waitMembers(t, 2)
		time.Sleep(10 * time.Second)
		log.want(t, `msg="relay back" name=r3`, 1)
		log.want(t, `level=INFO msg="not alone any more`, 1)
		if n := len(log.lines("")); n > 20 {
			t.Errorf("%d lines: %q", n, log.lines(""))
		}
	})
}

func topicName(i int) string { return "t" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }
