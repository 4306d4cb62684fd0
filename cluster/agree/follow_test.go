package agree

import (
	"testing"
	"time"
)

// A follower that asks twice does not take the answer to the first request for one to the second: the parent may have
// changed its mind in between.
func TestAnswerToAnEarlierFollow(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := New(Config{Name: "r1"})
	r.View(now, []Member{{Name: "r1", Role: Edge, State: Ready}, {Name: "r2", State: Ready}})
	r.LinkUp(now, "r2")
	r.Open(now, "t", false)
	asked := func() Follow {
		for _, m := range r.Take().Messages {
			if f, ok := m.Message.(Follow); ok && m.To == "r2" {
				return f
			}
		}
		t.Fatal("it does not follow")
		return Follow{}
	}
	first := asked()
	now = now.Add(time.Second) // no answer
	r.Tick(now)
	second := asked()
	if first.Serial == second.Serial {
		t.Fatalf("both requests have the number %d", first.Serial)
	}
	begin := Begin{Topic: "t", Holder: "r2", Epoch: 1 << nonceBits, Serial: first.Serial, Copy: Copy{Lineage: Lineage{{1 << nonceBits, 1}}}}
	r.Receive(now, "r2", begin)
	if d, _ := r.Describe("t"); len(d.Lineage) != 0 {
		t.Errorf("it took the answer to the first: %+v", d)
	}
	begin.Serial = second.Serial
	r.Receive(now, "r2", begin)
	if d, _ := r.Describe("t"); len(d.Lineage) == 0 {
		t.Errorf("it did not take the answer to the second: %+v", d)
	}
}
