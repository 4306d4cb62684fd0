package relay

import "bytes"

// An aside is what a subscriber has besides its place in the ring. Nearly all
// have nothing at nearly all times, so it is apart, and there only while it is
// needed: there are millions of subscribers. Owned by the loop.
type aside struct {
	text     []byte // private to the client, goes before the ring's; immutable
	rest     int32  // how much of text is the held rest of an event
	sent     int32  // bytes of the event at the cursor that were sent, where its rest is not held
	catching bool   // there is a catchup
}

// besides returns the aside, or what stands for none.
func (s *subscriber) besides() aside {
	if s.aside == nil {
		return aside{}
	}
	return *s.aside
}

// keep makes a the aside, for as long as there is anything in it.
func (s *subscriber) keep(a aside) {
	switch {
	case len(a.text) == 0 && a.rest == 0 && a.sent == 0 && !a.catching:
		s.aside = nil
		return
	case len(a.text) == 0:
		a.text = nil // an empty slice would keep the text it was cut from
	}
	if s.aside == nil {
		s.aside = new(aside)
	}
	*s.aside = a
}

// private returns the text that goes before the ring's.
func (s *subscriber) private() []byte {
	if s.aside == nil {
		return nil
	}
	return s.aside.text
}

// say sets the text that goes before the ring's.
func (s *subscriber) say(text []byte) {
	a := s.besides()
	a.text = text
	s.keep(a)
}

// sent returns how many bytes of the event at the cursor were sent.
func (s *subscriber) sent() int {
	if s.aside == nil {
		return 0
	}
	return int(s.aside.sent)
}

func (s *subscriber) setSent(n int) {
	if s.aside == nil && n == 0 {
		return
	}
	a := s.besides()
	a.sent = int32(n)
	s.keep(a)
}

// hold has a copy of what is left of an event go before the ring's next. Its
// length was taken from what may be held.
func (s *subscriber) hold(rest []byte) {
	a := s.besides()
	a.text, a.rest, a.sent = bytes.Clone(rest), int32(len(rest)), 0
	s.keep(a)
}

// letGo gives back what was held of an event.
func (s *subscriber) letGo() {
	if s.aside == nil {
		return
	}
	if a := *s.aside; a.rest > 0 {
		s.topic.relay.held.give(int(a.rest))
		a.rest = 0
		s.keep(a)
	}
}

// catching reports whether the subscriber has a catchup.
func (s *subscriber) catching() bool { return s.aside != nil && s.aside.catching }

func (s *subscriber) setCatching(is bool) {
	a := s.besides()
	a.catching = is
	s.keep(a)
}
