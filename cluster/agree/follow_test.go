package agree

import (
	"testing"
	"time"
)

// A relay that cannot reach the owner, and everybody else can, follows through who names the owner.
func TestFollowAroundABrokenCable(t *testing.T) {
	p := &pair{now: time.Unix(1000, 0), relays: map[string]*Relay{}, forgot: map[string]int{}, shown: map[string]int{}}
	var view []Member
	for i, name := range []string{"a", "b", "c"} {
		view = append(view, Member{Name: name, State: Ready})
		p.relays[name] = New(Config{Name: name, Nonce: uint16(i + 1)})
	}
	for name, r := range p.relays {
		r.View(p.now, view)
		for other := range p.relays {
			if other != name {
				r.LinkUp(p.now, other)
			}
		}
		r.Open(p.now, "t", false)
	}
	p.pass(5 * time.Second)
	p.publish("k1", Event)
	p.pass(time.Second)
	// The third in order is a follower; the cable between it and the owner breaks.
	order := Order("t", view)
	owner, far := order[0].Name, order[2].Name
	if d, ok := p.relays[owner].Describe("t"); !ok || d.Role != "owner" || p.shown[far] != 1 {
		t.Fatalf("%+v, %d shown", d, p.shown[far])
	}
	p.relays[owner].LinkDown(p.now, far)
	p.relays[far].LinkDown(p.now, owner)
	p.settle()
	p.pass(5 * time.Second)
	p.relays[owner].Publish(p.now, "t", Entry{Key: "k2", Body: []byte("data: k2\n")}, 2)
	p.settle()
	p.pass(time.Second)
	if got := p.shown[far]; got != 2 {
		d, _ := p.relays[far].Describe("t")
		t.Errorf("%d events shown, want 2: %+v", got, d)
	}
	if d, _ := p.relays[far].Describe("t"); d.Parent != order[1].Name {
		t.Errorf("%s follows from %s", far, d.Parent)
	}
}
