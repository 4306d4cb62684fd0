package relay

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// What a feed brings is checked and encoded, and committed by who made the Intake.
func TestIntake(t *testing.T) {
	r := newTestRelay(t, Config{Limits: Limits{EventBytes: 100}})
	var committed []string
	failure := errors.New("no owner")
	in := r.Intake(func(_ context.Context, topic string, e ringbuf.Entry, gap bool) (string, error) {
		if topic == "fails" {
			return "", failure
		}
		what := "event"
		if gap {
			what = "gap"
		}
		committed = append(committed, what+" "+topic+" "+e.ID+" "+strings.ReplaceAll(string(e.Body), "\n", "|"))
		return "as-" + e.ID, nil
	})
	id, err := in.Append(t.Context(), "a", sse.Event{ID: "7", Type: "goal", Data: []byte("1:0")})
	if id != "as-7" || err != nil {
		t.Errorf("Append: %q, %v", id, err)
	}
	if err := in.Gap(t.Context(), "a", "7", "12"); err != nil {
		t.Errorf("Gap: %v", err)
	}
	want := []string{
		"event a 7 event: goal|data: 1:0|",
		`gap a  event: freshet.gap|data: {"topic":"a","last_event_id":"7","oldest_id":"12","reason":"origin"}|`,
	}
	if diff := cmp.Diff(want, committed); diff != "" {
		t.Errorf("committed (-want +got):\n%s", diff)
	}
	if r.topics.peek("a") != nil {
		t.Error("the relay's own log has it")
	}
	for name, e := range map[string]sse.Event{"b c": {}, "control": {Type: sse.TypeEnd}, "large": {Data: make([]byte, 101)}, "torn": {Type: "a\nb"}} {
		if _, err := in.Append(t.Context(), name, e); status(err)/100 != 4 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := in.Append(t.Context(), "fails", sse.Event{}); !errors.Is(err, failure) {
		t.Errorf("a commit that fails: %v", err)
	}
	if err := in.Gap(t.Context(), "fails", "", ""); !errors.Is(err, failure) {
		t.Errorf("a gap that is not committed: %v", err)
	}
	if len(committed) != 2 {
		t.Errorf("committed %q", committed)
	}
}

// Where relays agree on logs, an upstream has them brought: it is asked from the client's own id, and what it
// answers is the subscriber's answer.
func TestFollowBesideLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := newFakeLogs()
		u, r := newPuppetUpstream(t, Config{Logs: logs})
		u.follow = func(context.Context, string, string, func()) error { return statusError(404) }
		r.LogShow("t", []Placed{at(7, 1, "one")})
		if w := ask(r, "GET", "/events/t", "", "Last-Event-ID", "41"); w.Code != http.StatusNotFound {
			t.Errorf("answered with %d", w.Code)
		}
		u.WantCalls(t, `t from "41"`)
		if logs.open["t"] != 0 {
			t.Errorf("opened %d times when all is over", logs.open["t"])
		}
	})
}
