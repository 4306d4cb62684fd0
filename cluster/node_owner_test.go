package cluster

import (
	"testing"
	"time"
)

// Any relay says who owns a topic, whether it holds it or not.
func TestTopicAnywhere(t *testing.T) {
	c := newCluster(t, nil, 3)
	if err := c.relays[0].publish(t.Context(), "a/b", "first"); err != nil {
		t.Fatal(err)
	}
	owner := c.owner("a/b")
	want, _, err := owner.Topic(t.Context(), "a/b")
	for deadline := time.Now().Add(10 * time.Second); err == nil && want.Standby == ""; want, _, err = owner.Topic(t.Context(), "a/b") {
		if time.Now().After(deadline) {
			t.Fatal("no standby")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.relays {
		got, ok, err := r.TopicAnywhere(t.Context(), "a/b")
		if err != nil || !ok || got.Owner != owner.Name || got.Standby != want.Standby || got.Topic != "a/b" {
			t.Errorf("%s says %+v, %v, %v; the owner says %+v", r.Name, got, ok, err, want)
		}
		if r != owner && got.OwnerHead != want.Head {
			t.Errorf("%s says that the owner's head is %s, want %s", r.Name, got.OwnerHead, want.Head)
		}
		if role := got.Role; (role == "owner") != (r == owner) || (role == "standby") != (r.Name == want.Standby) {
			t.Errorf("%s is %s", r.Name, role)
		}
		if _, ok, err := r.TopicAnywhere(t.Context(), "no/such"); ok || err != nil {
			t.Errorf("%s knows a topic that there is not: %v", r.Name, err)
		}
	}
}
