package relay

import "testing"

func TestAudienceWakes(t *testing.T) {
	var a audience
	first, second := make(signal, 1), make(signal, 1)
	stop := a.listen(first)
	a.listen(second)
	a.wake()
	a.wake() // wakes are not counted
	if len(first) != 1 || len(second) != 1 {
		t.Fatalf("%d and %d wakes", len(first), len(second))
	}
	<-first
	stop()
	a.wake()
	if len(first) != 0 {
		t.Error("woken after it stopped listening")
	}
}

// What the engine's loops are woken by is made with the first that a loop takes
// over, and goes with the last subscriber.
func TestAudienceFanout(t *testing.T) {
	r := newTestRelay(t, Config{})
	one, two := joinTopic(t, r, "t", start{}), joinTopic(t, r, "t", start{})
	f := one.topic.fanout()
	if two.topic.fanout() != f {
		t.Error("two fan-outs of one topic")
	}
	one.Close(nil)
	if two.topic.audience.fanout != f {
		t.Error("the fan-out went with the first")
	}
	two.Close(nil)
	if two.topic.audience.fanout != nil {
		t.Error("the fan-out stays for nobody")
	}
}
