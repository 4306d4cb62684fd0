package main

import (
	"strings"
	"testing"
	"time"

	"freshet/cluster"
	"freshet/cluster/agree"
)

func TestWriteCluster(t *testing.T) {
	now := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
	lost := now.Add(-9 * time.Second)
	var out strings.Builder
	err := writeCluster(&out, cluster.Status{
		Name: "a", Cluster: "test", Topics: agree.Counts{Topics: 7, Owned: 3, Standby: 2, Alone: 1},
		Members: []cluster.MemberStatus{
			{Name: "a", Region: "north", Role: "any", State: "ready", Gossip: "127.0.0.1:7946", Links: "127.0.0.1:7947"},
			{Name: "beta", Role: "hub", State: "draining", Gossip: "127.0.0.1:7948", Links: "127.0.0.1:7949", Link: &cluster.LinkStatus{
				Since: now.Add(-90 * time.Second), Delay: 0.00042, Quiet: 0.123, Pending: 2048,
			}},
			{Name: "c", Role: "edge", State: "starting", Gossip: "127.0.0.1:7950"},
			{Name: "d", Role: "any", State: "lost", Since: &lost, Gossip: "127.0.0.1:7952", Links: "127.0.0.1:7953"},
		},
		Change: &cluster.ChangeStatus{Time: now.Add(-6 * time.Second), Reason: "takeover", Peer: "d", Topics: 2},
	}, now)
	want := `NAME  REGION  ROLE  STATE     GOSSIP          LINK               DELAY  QUIET  LAG   UP
a     north   any   ready     127.0.0.1:7946  (this)
beta  -       hub   draining  127.0.0.1:7948  127.0.0.1:7949     420µs  120ms  2KiB  1m30s
c     -       edge  starting  127.0.0.1:7950  none
d     -       any   lost      127.0.0.1:7952  none, lost 9s ago

a of test has 7 topics: owns 3, stands by for 2
of those it owns, kept nowhere else, for nobody else may own them: 1; waiting for a standby: 0
6s ago it took over 2 topics from d, which was gone
`
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
}

func TestWriteClusterOfOneTopic(t *testing.T) {
	var out strings.Builder
	err := writeCluster(&out, cluster.Status{Name: "b", Topics: agree.Counts{Topics: 1, Standby: 1}}, time.Now())
	if want := "\nb has 1 topic: owns 0, stands by for 1\n"; err != nil || !strings.HasSuffix(out.String(), want) {
		t.Errorf("%v, %q, want the end %q", err, out.String(), want)
	}
}

func TestChangeText(t *testing.T) {
	for reason, want := range map[string]string{
		"takeover": "took over 1 topic from b, which was gone",
		"move":     "was given 1 topic by b",
		"moved":    "gave 1 topic to b",
		"fenced":   "yielded 1 topic to b",
		"met":      "yielded 1 topic to b",
	} {
		if got := changeText(cluster.ChangeStatus{Reason: reason, Peer: "b", Topics: 1}); got != want {
			t.Errorf("%s: %q, want %q", reason, got, want)
		}
	}
}

func TestWriteTopic(t *testing.T) {
	for _, c := range []struct {
		status cluster.TopicStatus
		want   string
	}{
		{cluster.TopicStatus{
			Topic: "scores/match-42", Owner: "a", Standby: "b", Role: "owner", Followers: []string{"b", "c"}, Oldest: "1-1", Head: "2-9", Tail: 3,
			Parents: []cluster.RegionParent{{Region: "", Relay: "a"}, {Region: "north", Relay: "c"}},
			Lineage: []cluster.SpanStatus{{First: "1-1"}, {First: "2-5"}},
		}, `topic              scores/match-42
owner              a
standby            b
this relay         owner
regional parent    a (no region)
regional parent    c (north)
followed by        b, c
oldest kept        1-1
newest             2-9
not committed yet  3
lineage            1-1 > 2-5
`},
		{cluster.TopicStatus{Topic: "t", Owner: "a", Role: "follower", Parent: "b", Oldest: "1-1", Head: "1-2", OwnerHead: "1-4"}, `topic                t
owner                a
standby              none yet, or not known
this relay           follower
follows              b
oldest kept          1-1
newest               1-2
newest at the owner  1-4
lineage              none
`},
		{cluster.TopicStatus{Topic: "t", Owner: "a", Standby: "b", Role: "owner", Oldest: "1-2", Head: "1-2", Ended: true}, `topic        t
owner        a
standby      b
this relay   owner
ended        yes: subscribers are told to stop, publishers are refused
oldest kept  1-2
newest       1-2
lineage      none
`},
		{cluster.TopicStatus{Topic: "t", Owner: "a", OwnerLost: true, Role: "follower", Oldest: "1-2", Head: "1-2"}, `topic        t
owner        none: a was, and is lost
standby      none yet, or not known
this relay   follower
oldest kept  1-2
newest       1-2
lineage      none
`},
		{cluster.TopicStatus{Topic: "t", Owner: "a", Standby: "b", Role: "owner", Oldest: "0-0", Head: "1-2"}, `topic        t
owner        a
standby      b
this relay   owner
oldest kept  none
newest       1-2
lineage      none
`},
	} {
		var out strings.Builder
		if err := writeTopic(&out, c.status); err != nil || out.String() != c.want {
			t.Errorf("%v\n%s\nwant\n%s", err, out.String(), c.want)
		}
	}
}
