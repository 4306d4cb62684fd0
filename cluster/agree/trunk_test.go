package agree

import (
	"fmt"
	"testing"
	"time"
)

// A relay that was alone began a log of its own, of a few events, beside one that fills its ring. Whichever of the two
// stays owner, the few are in the log afterwards, and it is still the old one.
func TestTwigOnTrunk(t *testing.T) {
	const ring = 50
	stayed := map[string]int{}
	for i := range 12 {
		topic := fmt.Sprint("t", i)
		p := &pair{now: time.Unix(1000, 0), relays: map[string]*Relay{}, forgot: map[string]int{}, shown: map[string]int{}}
		for i, name := range []string{"a", "b"} {
			p.relays[name] = New(Config{Name: name, Nonce: uint16(i + 1), Limits: Limits{Events: ring}})
		}
		alone := func(name string, from, to int) {
			r := p.relays[name]
			r.View(p.now, []Member{{Name: name, State: Ready}})
			r.Open(p.now, topic, false)
			for n := from; n <= to; n++ {
				key := fmt.Sprint(name, n)
				r.Publish(p.now, topic, Entry{Key: key, Body: []byte("data: " + key + "\n")}, uint64(n))
				p.pass(50 * time.Millisecond)
			}
		}
		alone("a", 1, 3*ring)
		alone("b", 1, 5)
		for _, name := range []string{"a", "b"} {
			p.relays[name].View(p.now, []Member{{Name: "a", State: Ready}, {Name: "b", State: Ready}})
		}
		p.relays["a"].LinkUp(p.now, "b")
		p.relays["b"].LinkUp(p.now, "a")
		p.pass(10 * time.Second)
		owners := 0
		for name, r := range p.relays {
			l := r.topics[topic].log
			has := 0
			for i := range l.entries {
				if l.entries[i].Key[0] == 'b' {
					has++
				}
			}
			if has != 5 || l.head() != 3*ring+5 || l.visible != l.head() || r.topics[topic].staged != nil {
				t.Errorf("%s: %s has %d of 5 events of the twig, %d in all, %d visible", topic, name, has, l.head(), l.visible)
			}
			if r.topics[topic].role == owner {
				owners++
				stayed[name]++
			}
		}
		if owners != 1 {
			t.Errorf("%s has %d owners", topic, owners)
		}
	}
	if stayed["a"] == 0 || stayed["b"] == 0 {
		t.Errorf("who stayed owner: %v", stayed)
	}
}
