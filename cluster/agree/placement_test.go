package agree

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var members = rapid.Custom(func(t *rapid.T) []Member {
	n := rapid.IntRange(1, 12).Draw(t, "relays")
	list := make([]Member, n)
	for i := range list {
		list[i] = Member{
			Name:   fmt.Sprintf("r%d", i),
			Region: rapid.SampledFrom([]string{"eu", "us", "ap"}).Draw(t, "region"),
			Role:   rapid.SampledFrom([]Role{Any, Any, Any, Hub, Edge}).Draw(t, "role"),
			State:  rapid.SampledFrom([]State{Ready, Ready, Ready, Starting, Draining}).Draw(t, "state"),
		}
	}
	return list
})

// TestOrder: the order does not depend on how members are listed, holds only who may own, and a relay that leaves
// changes nothing but its own place.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := members.Draw(t, "members")
		topic := rapid.StringMatching(`[a-z/]{1,12}`).Draw(t, "topic")
		order := Order(topic, list)
		shuffled := rapid.Permutation(list).Draw(t, "shuffled")
		if !slices.Equal(order, Order(topic, shuffled)) {
			t.Fatal("the order depends on the listing")
		}
		if first := First(topic, list); len(order) == 0 && first != "" || len(order) > 0 && first != order[0].Name {
			t.Fatalf("%q is first in %+v", first, order)
		}
		hub := slices.ContainsFunc(order, func(m Member) bool { return m.Role == Hub })
		for _, m := range order {
			if m.State != Ready || m.Role == Edge || hub && m.Role != Hub {
				t.Fatalf("%+v may not own", m)
			}
		}
		if len(order) < 2 || hub {
			return
		}
		gone := rapid.SampledFrom(order).Draw(t, "gone")
		rest := Order(topic, slices.DeleteFunc(slices.Clone(list), func(m Member) bool { return m.Name == gone.Name }))
		want := slices.DeleteFunc(slices.Clone(order), func(m Member) bool { return m.Name == gone.Name })
		if !slices.Equal(rest, want) {
			t.Fatalf("without %s: %v, want %v", gone.Name, rest, want)
		}
	})
}

// TestOrderSpreads: a thousand topics over ten relays whose names differ in one digit.
func TestOrderSpreads(t *testing.T) {
	var list []Member
	for i := range 10 {
		list = append(list, Member{Name: fmt.Sprintf("relay-%d", i), State: Ready})
	}
	counts := map[string]int{}
	for i := range 1000 {
		counts[Order(fmt.Sprintf("match-%d", i), list)[0].Name]++
	}
	for name, n := range counts {
		if n < 60 || n > 140 {
			t.Errorf("%s owns %d of 1000", name, n)
		}
	}
	if len(counts) != 10 {
		t.Errorf("%d relays own something", len(counts))
	}
}
