package cluster

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"freshet/cluster/agree"
)

func TestChanges(t *testing.T) {
	var log journal
	now := time.Unix(1e9, 0)
	c := changes{log: log.logger()}
	var counts agree.Counts
	asked := 0
	pass := func(d time.Duration) { // as the loop does: it sleeps until something is due
		for end := now.Add(d); ; {
			due := c.due()
			if due.IsZero() || due.After(end) {
				now = end
				return
			}
			now = due
			c.tell(now, func() agree.Counts { asked++; return counts })
		}
	}
	told := 0
	want := func(what string, lines ...string) {
		t.Helper()
		all := log.lines("")
		if d := cmp.Diff(append([]string{}, lines...), append([]string{}, all[told:]...)); d != "" {
			t.Errorf("%s: %s", what, d)
		}
		told = len(all)
	}
	note := func(name, peer string) { c.note(now, agree.Notice{Topic: "t", Name: name, Detail: peer}) }

	note("takeover", "") // a new topic
	note("standby", "b")
	note("fork", "")
	if pass(time.Minute); c.latest != nil {
		t.Errorf("latest is %+v", c.latest)
	}
	want("nothing that changes hands")

	for range 96 {
		note("takeover", "c")
		pass(5 * time.Millisecond)
	}
	note("move", "b")
	want("not yet")
	pass(gatherPause)
	want("a death", `level=INFO msg="topics moved here" topics=1 from=b`, `level=INFO msg="took over topics" topics=96 from=c`)
	if d := cmp.Diff(&ChangeStatus{Time: now.Add(-gatherPause), Reason: "move", Peer: "b", Topics: 1}, c.latest); d != "" {
		t.Error(d)
	}

	for range 25 { // a drain of twelve seconds is told as it goes on
		note("moved", "c")
		pass(gatherPause / 2)
	}
	pass(gatherPause)
	want("a long drain", `level=INFO msg="topics moved" topics=20 to=c`, `level=INFO msg="topics moved" topics=5 to=c`)

	counts = agree.Counts{Owned: 7, Alone: 7}
	for range 7 {
		note("alone", "")
	}
	pass(time.Minute)
	note("alone", "")
	c.view(now)
	pass(time.Minute)
	want("alone", `level=WARN msg="alone: topics without a standby" topics=7`)
	counts.Alone = 0
	pass(time.Minute)
	want("nobody has looked")
	c.view(now)
	pass(time.Minute)
	want("not alone", `level=INFO msg="not alone any more: topics find a standby" topics=7`)
	if asked != 3 {
		t.Errorf("topics were counted %d times", asked)
	}
	note("alone", "") // for a moment
	pass(time.Minute)
	want("alone for a moment")
}
