package h3

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Each wake-up reaches every member that was there and still is, however the others come and go
// during the walk.
func TestPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLoop(&Server{}, 0)
		p := &part{loop: l}
		owed := make(map[*stream]bool)
		var members []*stream
		take := func() {
			for l.dirty != nil {
				c := l.dirty
				l.dirty, c.dirtier, c.queued = c.dirtier, nil, false
				for c.marked != nil {
					s := c.marked
					c.marked, s.next = s.next, nil
					s.flags &^= marked
					delete(owed, s)
				}
				c.lastMarked = nil
			}
			l.last = nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				s := &stream{conn: &conn{}}
				p.add(s)
				members = append(members, s)
			},
			"remove": func(t *rapid.T) {
				if len(members) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(members)-1).Draw(t, "which")
				s := members[i]
				members = append(members[:i], members[i+1:]...)
				delete(owed, s)
				p.remove(s)
				take()
			},
			"wake": func(t *rapid.T) {
				for _, s := range members {
					owed[s] = true
				}
				p.begin(l)
			},
			"mark": func(t *rapid.T) {
				p.mark(l, rapid.IntRange(1, 4).Draw(t, "most"))
				take()
			},
			"": func(t *rapid.T) {
				if p.left == 0 && len(owed) > 0 {
					t.Fatalf("%d of %d missed their turn", len(owed), len(members))
				}
				if n := int(p.streams.Load()); n != len(members) || n != len(p.members) {
					t.Fatalf("%d streams, %d members, want %d", n, len(p.members), len(members))
				}
			},
		})
	})
}

// What comes within the hold is sent together, at its end; what comes after a silence is not held.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nw := newNetwork()
		p := serve(t, nw.endpoint(t, 1), nil)
		p.topic = &topic{fanout: p.NewFanout(100 * time.Millisecond)}
		s := p.dial(nw.endpoint(t, 2), nil).Subscribe()
		synctest.Wait()
		time.Sleep(time.Second)
		began := time.Now()
		p.topic.Send("1")
		s.WantEvent("1")
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("the first was held for %v", took)
		}
		p.topic.Send("2")
		p.topic.Send("3")
		s.WantEvent("2")
		if took := time.Since(began); took < 100*time.Millisecond || took > 150*time.Millisecond {
			t.Errorf("the second came after %v, want 100 ms", took)
		}
		s.WantEvent("3")
		p.stop()
		p.topic.End()
		p.Stop()
	})
}
