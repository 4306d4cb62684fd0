package relay

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"freshet/origin/sse"
)

func TestPublishKeysLastTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{})
		publish := func(data string) (Receipt, error) {
			return r.Publish(t.Context(), "t", "key", sse.Event{Data: []byte(data)})
		}
		first, err := publish("1")
		if err != nil || first.Duplicate {
			t.Fatal(first, err)
		}
		time.Sleep(keepKey - 1)
		r.keys.expire(time.Now())
		if again, err := publish("1"); err != nil || !again.Duplicate || again.ID != first.ID {
			t.Fatalf("just before two minutes: %+v, %v", again, err)
		}
		time.Sleep(keepKey - 1) // since it was used again
		r.keys.expire(time.Now())
		if _, err := publish("2"); status(err) != http.StatusConflict {
			t.Fatalf("just before two minutes: %v", err)
		}
		time.Sleep(keepKey)
		r.keys.expire(time.Now())
		if n := r.keys.len(); n != 0 {
			t.Errorf("%d keys are remembered", n)
		}
		if fresh, err := publish("2"); err != nil || fresh.Duplicate {
			t.Fatalf("after two minutes: %+v, %v", fresh, err)
		}
	})
}

// A key is never forgotten early: past the limit nothing is taken under another.
func TestPublishKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{Limits: Limits{PublishKeys: 3}})
		for i := range 3 {
			mustPublish(t, r, "t", sse.Event{ID: fmt.Sprint(i), Data: []byte("x")})
			time.Sleep(time.Second)
		}
		w := ask(r, "POST", "/events/t?id=3", "x")
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"limit":"limits.publish_keys","max":3`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := ask(r, "POST", "/events/t?id=2", "x"); w.Code != http.StatusOK {
			t.Errorf("a known one: %d %s", w.Code, w.Body)
		}
		if w := ask(r, "POST", "/events/t", "x"); w.Code != http.StatusCreated {
			t.Errorf("one without a key: %d %s", w.Code, w.Body)
		}
		time.Sleep(keepKey - 4*time.Second) // the first is a second short
		if w := ask(r, "POST", "/events/t?id=3", "x"); w.Code != http.StatusServiceUnavailable {
			t.Errorf("early: %d %s", w.Code, w.Body)
		}
		time.Sleep(time.Second)
		if w := ask(r, "POST", "/events/t?id=3", "x"); w.Code != http.StatusCreated {
			t.Errorf("in time: %d %s", w.Code, w.Body)
		}
	})
}

// The key of a publisher that is silent for long stays while it is connected.
func TestPublishKeysAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newPublishKeys(10)
		release := k.hold("t", "key")
		other := k.hold("t", "key")
		time.Sleep(time.Hour)
		k.expire(time.Now())
		release()
		time.Sleep(time.Hour)
		k.expire(time.Now())
		if k.len() != 1 {
			t.Fatal("a held key was forgotten")
		}
		other()
		time.Sleep(keepKey)
		k.expire(time.Now())
		if k.len() != 0 {
			t.Error("the key stays for nobody")
		}
	})
}

func TestPublishKeysAreOfTheirTopic(t *testing.T) {
	k := newPublishKeys(10)
	now := time.Now()
	a := k.use("a", "b", now)
	if again := k.use("a", "b", now); again != a {
		t.Error("the same key is another")
	}
	if k.use("ab", "", now) == a || k.use("b", "a", now) == a {
		t.Error("another key is the same")
	}
}

func BenchmarkPublishKeys(b *testing.B) {
	k := newPublishKeys(1 << 20)
	now := time.Now()
	i := 0
	for b.Loop() {
		i++
		k.use("topic", fmt.Sprint(i), now.Add(time.Duration(i)*time.Microsecond))
	}
}

// What is sent again under a key is compared with what was committed, as far back as digests are kept.
func TestPublishKeyTellsEventsApart(t *testing.T) {
	var k publishKey
	for n := uint64(1); n <= 300; n++ {
		k.note(n, 1000+n)
	}
	if len(k.recent) > 2*keepDigests {
		t.Errorf("%d digests are kept, the limit is %d", len(k.recent), 2*keepDigests)
	}
	for _, n := range []uint64{1, 300 - keepDigests + 1, 270, 299, 300} {
		if k.differs(n, 1000+n) {
			t.Errorf("event %d: the same differs", n)
		}
		if !k.differs(n, 7) {
			t.Errorf("event %d: another does not differ", n)
		}
	}
	k.note(500, 1500) // a jump
	if k.differs(300, 7) || !k.differs(500, 7) {
		t.Error("after a jump, only the event behind it is known")
	}
}
