package relay

import "testing"

// The aside is there only while there is something in it.
func TestAsideComesAndGoes(t *testing.T) {
	r := newTestRelay(t, Config{})
	topic, _ := r.topics.use("t", publishing)
	s := &subscriber{topic: topic}
	want := func(is bool, when string) {
		t.Helper()
		if (s.aside != nil) != is {
			t.Errorf("%s: %+v", when, s.aside)
		}
	}
	s.setSent(0)
	s.setCatching(false)
	s.say(nil)
	s.letGo()
	want(false, "nothing")

	s.say([]byte("text"))
	s.setSent(3)
	want(true, "text and a part sent")
	s.say(s.private()[4:])
	want(true, "a part sent")
	if s.aside.text != nil {
		t.Error("what was said is kept alive")
	}
	s.setSent(0)
	want(false, "both gone")

	s.setCatching(true)
	s.setCatching(true)
	want(true, "catching up")
	s.setCatching(false)
	want(false, "caught up")

	if !r.held.take(4) {
		t.Fatal("nothing can be held")
	}
	rest := []byte("rest")
	s.setSent(7)
	s.hold(rest)
	rest[0] = 'R'
	if string(s.private()) != "rest" || s.sent() != 0 {
		t.Errorf("holds %q, sent %d", s.private(), s.sent())
	}
	s.say(nil)
	want(true, "still counted as held")
	s.letGo()
	if want(false, "let go"); r.held.bytes.Load() != 0 {
		t.Errorf("%d bytes are held", r.held.bytes.Load())
	}
}
