package agree

import "testing"

// TestFoundSchedules plays again what once failed. A seed names a schedule of the simulator as it is: whoever changes what it
// draws finds others.
func TestFoundSchedules(t *testing.T) {
	for _, s := range []struct {
		seed uint64
		what string
	}{
		{159, "the word of an owner that died, about a log that did not survive"},
		{303, "a region's parent that follows a standby and serves nobody"},
		{335, "an answer to an earlier request for the topic"},
		{2474, "events of a feed's former owner that was further on"},
		{2495, "a branch that a client had seen merged, shown by a relay that had not heard of it"},
		{4503, "a feed's events merged, and then pulled"},
		{11203, "a candidate that gave up and fenced out the living owner"},
		{15506, "a feed's event that was dropped, asked for a second time because the answer was lost"},
		{17403, "a standby that nobody told that its owner is none"},
		{33023, "followers of a relay that became the owner"},
		{23364, "answers that waited for places in a log that was exchanged for an older one"},
		{53676, "an event of a branch that lost, known by its key only, taken for one of the log that survived"},
		{14369, "a tail that a dead owner had shown, shown again by the log that survived"},
	} {
		w := newWorld(s.seed)
		if f := w.run(); f != "" {
			t.Errorf("seed %d, %s: %s", s.seed, s.what, f)
		}
	}
}
