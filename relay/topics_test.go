package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"freshet/origin/sse"
)

// A hundred thousand topics are taken, the next is not, and the relay serves on.
func TestTopicsAreBounded(t *testing.T) {
	const most = 100_000
	r := newTestRelay(t, Config{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range most {
		mustPublish(t, r, fmt.Sprint("t/", i), sse.Event{Data: []byte("a goal, perhaps")})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / most
	t.Logf("%d bytes a topic of one event", each)
	if each > 1500 {
		t.Errorf("a topic of one event takes %d bytes", each)
	}

	w := ask(r, "POST", "/events/one/more", "x")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"limit":"limits.topics","max":100000`) || w.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d %s", w.Code, w.Body)
	}
	w = ask(r, "GET", "/events/another", "", "Accept", "text/event-stream")
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Body.String(), "retry: ") {
		t.Errorf("a subscriber of one more: %d %s", w.Code, w.Body)
	}
	if w := ask(r, "POST", "/events/t/77", "x"); w.Code != http.StatusCreated {
		t.Errorf("one of the others: %d %s", w.Code, w.Body)
	}
}

// Strangers who ask for names leave room for those who publish.
func TestTopicsKeepRoomForPublishers(t *testing.T) {
	r := newTestRelay(t, Config{Limits: Limits{Topics: 8}})
	for i := range 20 {
		_, cancel, done := follow(r, fmt.Sprint("/events/name/", i), "Accept", "text/event-stream")
		defer func() {
			cancel()
			<-done
		}()
	}
	eventually(t, "some are sent away", func() bool { return counterValue(t, r.metrics.joins[joinedOverload]) == 14 })
	for i := range 2 {
		if w := ask(r, "POST", fmt.Sprint("/events/published/", i), "x"); w.Code != http.StatusCreated {
			t.Errorf("publisher %d: %d %s", i, w.Code, w.Body)
		}
	}
}

// Memory is bounded over all topics, and the least recently used give first.
func TestTopicsShareMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 1 << 20
		r := newTestRelay(t, Config{Topics: Topics{Bytes: budget / 4}, Limits: Limits{Memory: budget}})
		payload := []byte(strings.Repeat("x", 1000))
		for i := range 20 {
			for range 200 {
				mustPublish(t, r, fmt.Sprint("t/", i), sse.Event{Data: payload})
				if m := r.topics.memory.Load(); m > budget {
					t.Fatalf("%d bytes in memory", m)
				}
			}
			time.Sleep(time.Minute)
			if i >= 1 { // somebody reads the first topic again and again
				joinTopic(t, r, "t/0", start{}).Close(nil)
			}
			time.Sleep(time.Minute)
		}
		kept := make([]int, 20)
		sum := int64(0)
		for i := range kept {
			topic := r.topics.peek(fmt.Sprint("t/", i))
			kept[i] = topic.ring().Len()
			sum += int64(topic.ring().Footprint())
		}
		if sum != r.topics.memory.Load() {
			t.Errorf("%d bytes are accounted for %d", r.topics.memory.Load(), sum)
		}
		if kept[0] == 0 || kept[19] != 200 {
			t.Errorf("those used last gave their history: %v", kept)
		}
		for i := 1; i < 15; i++ {
			if kept[i] != 0 {
				t.Errorf("topic %d keeps %d events, though others were used later: %v", i, kept[i], kept)
			}
		}
		// Their heads are known still.
		head := r.topics.peek("t/3").ring().Head().String()
		s := joinTopic(t, r, "t/3", start{resume: head})
		stream, _ := pull(s, 1<<20)
		if strings.Contains(string(stream), "freshet.gap") {
			t.Errorf("one at the head was told of a gap: %s", stream)
		}
	})
}

func TestTopicsAgeAndAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{Topics: Topics{Age: time.Hour, Forget: 3 * time.Hour}})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		defer stop()
		go func() { over <- r.Run(ctx) }()
		publishNumbers(t, r, "t", 1, 3)
		id := mustPublish(t, r, "t", sse.Event{Data: []byte("4")})
		time.Sleep(30 * time.Minute)
		publishNumbers(t, r, "t", 5, 6)
		time.Sleep(30*time.Minute + sweepEvery)
		synctest.Wait()
		s := joinTopic(t, r, "t", start{from: fromOldest})
		stream, _ := pull(s, 1<<20)
		s.Close(nil)
		wantScript(t, stream, "open 4", "5", "6")
		time.Sleep(30*time.Minute + sweepEvery)
		synctest.Wait()
		s = joinTopic(t, r, "t", start{resume: id})
		stream, _ = pull(s, 1<<20)
		s.Close(nil)
		wantScript(t, stream, "open 4", "gap evicted")
		if n := r.topics.len(); n != 1 {
			t.Fatalf("%d topics", n)
		}
		head := r.topics.peek("t")
		first := head.ring().Head()
		r.topics.release(head)

		time.Sleep(3*time.Hour + sweepEvery)
		synctest.Wait()
		if n := r.topics.len(); n != 0 {
			t.Fatalf("%d topics", n)
		}
		if m := r.topics.memory.Load(); m != 0 {
			t.Errorf("%d bytes for nothing", m)
		}
		// If it comes back, its positions are others.
		publishNumbers(t, r, "t", 1, 9)
		s = joinTopic(t, r, "t", start{resume: first.String()})
		stream, _ = pull(s, 1<<20)
		if !strings.Contains(script(stream), "gap unknown\n1\n") {
			t.Errorf("a position of the former topic was taken for one of the new: %s", stream)
		}
		s.Close(nil)
		stop()
		if err := <-over; err != nil {
			t.Fatal(err)
		}
	})
}

// What is asked for is never older than the age, though nobody swept.
func TestTopicsAgeIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{Topics: Topics{Age: time.Hour}})
		publishNumbers(t, r, "t", 1, 3)
		time.Sleep(time.Hour + time.Second)
		s, cancel, done := follow(r, "/events/t?from=oldest")
		synctest.Wait()
		wantScript(t, []byte(s.take()), "open 3")
		cancel()
		<-done
	})
}

func TestTopicsEndedForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{})
		publishNumbers(t, r, "t", 1, 1)
		ask(r, "DELETE", "/events/t", "")
		time.Sleep(time.Hour - 1)
		if w := ask(r, "GET", "/events/t", ""); w.Code != http.StatusNoContent {
			t.Errorf("subscribe: %d", w.Code)
		}
		if w := ask(r, "POST", "/events/t", "x"); w.Code != http.StatusGone {
			t.Errorf("publish: %d", w.Code)
		}
		time.Sleep(time.Nanosecond)
		if w := ask(r, "POST", "/events/t", "x"); w.Code != http.StatusCreated {
			t.Errorf("publish after an hour: %d", w.Code)
		}
	})
}

// Publishers, subscribers, ends and sweeps at once: counts come out even.
func TestTopicsTogether(t *testing.T) {
	r := newTestRelay(t, Config{Topics: Topics{Events: 50, Bytes: 16 << 10}, Limits: Limits{Memory: 64 << 10, Topics: 40}})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				name := fmt.Sprint("t/", rand.IntN(50))
				switch rand.IntN(10) {
				case 0:
					ask(r, "DELETE", "/events/"+name, "")
				case 1:
					r.topics.sweep(time.Now().Add(25 * time.Hour))
				case 2, 3:
					_, cancel, done := follow(r, "/events/"+name+"?from=oldest")
					cancel()
					<-done
				default:
					ask(r, "POST", "/events/"+name, strings.Repeat("x", rand.IntN(2000)))
				}
			}
		})
	}
	all.Wait()
	r.background.Wait()
	var count int
	var memory int64
	for i := range r.topics.shards {
		sh := &r.topics.shards[i]
		linked := 0
		for _, topic := range sh.byName {
			count++
			memory += topic.footprint.Load()
			if topic.users != 0 || topic.audience.present != 0 || topic.audience.wakers != nil {
				t.Errorf("topic %s has %d users, %d present", topic.name, topic.users, topic.audience.present)
			}
			if topic.ring().Len() > 0 && !topic.linked {
				t.Errorf("topic %s has history and is not on the list", topic.name)
			}
			if topic.linked {
				linked++
			}
		}
		for topic := sh.oldest; topic != nil; topic = topic.newer {
			linked--
		}
		if linked != 0 {
			t.Errorf("the list of shard %d is off by %d", i, linked)
		}
	}
	if count != r.topics.len() || memory != r.topics.memory.Load() {
		t.Errorf("%d topics of %d bytes are counted as %d of %d", count, memory, r.topics.len(), r.topics.memory.Load())
	}
	if n := r.admission.subscribers.Load(); n != 0 || len(r.admission.addresses) != 0 {
		t.Errorf("%d subscribers of %d addresses are left", n, len(r.admission.addresses))
	}
}

// A topic that has given all its history, and gets some again at once, can give
// again.
func TestTopicsGiveTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // all in one second
		r := newTestRelay(t, Config{})
		for range 2 {
			publishNumbers(t, r, "t", 1, 10)
			topic := r.topics.leastUsed()
			if topic == nil {
				t.Fatal("nobody has anything to give")
			}
			topic.giveBack()
			r.topics.settle(topic)
			if topic.ring().Len() != 0 || r.topics.leastUsed() != nil {
				t.Fatal("it has something left")
			}
		}
	})
}
