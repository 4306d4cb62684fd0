package agree

import (
	"slices"
	"testing"
)

const (
	skipFence    mutation = "skip the fence"
	ackEarly     mutation = "ack before the standby"
	showEarly    mutation = "show early"
	forgetOffer  mutation = "forget the offer"
	forgetAlias  mutation = "forget where events stood"
	doubleCommit mutation = "forget publish keys"
	forgetEpoch  mutation = "forget the feed's epoch"
	forgetRenew  mutation = "forget to outdo a feed's epoch"
	forgetItem   mutation = "forget what the origin called an event"
	forgetLost   mutation = "forget what was seen on the other side"
	hasty        mutation = "take the first word for unknown"
)

// mutated breaks the protocol between two relays, as a relay would that leaves out the step. Nil: nothing is sent.
func (w *world) mutated(from, to *node, m Message) Message {
	switch w.mutate {
	case skipFence: // who is asked to be a standby has forgotten what it promised
		if e, ok := m.(Enlist); ok {
			if t := to.topicOf(e.About()); t != nil && t.role != owner && t.role != sealed {
				t.fence, t.promised = 0, ""
			}
		}
	case ackEarly: // the owner does not wait
		if a, ok := m.(Append); ok && a.Mark != 0 {
			w.after(0, func() {
				from.input(func() { from.r.Receive(w.time(), to.name, Ack{a.Topic, a.Epoch, a.Mark}) })
			})
		}
	case showEarly: // the standby shows what is not committed
		if a, ok := m.(Append); ok && len(a.Copy.Entries) > 0 {
			a.Visible = a.Copy.Entries[len(a.Copy.Entries)-1].Seq
			return a
		}
	case forgetOffer: // the owner says that it has what it was offered, and has not looked
		if o, ok := m.(Offer); ok {
			places := make([]Adoption, len(o.Entries))
			for i, e := range o.Entries {
				places[i].Former = e.Position
			}
			w.after(0, func() {
				from.input(func() { from.r.Receive(w.time(), to.name, Adopted{o.Topic, o.Serial, places}) })
			})
			return nil
		}
	case forgetRenew: // the topic's owner does not say which epoch it has seen
		if p, ok := m.(Published); ok {
			p.Results = slices.Clone(p.Results)
			for i := range p.Results {
				if p.Results[i].Outcome == Stale {
					p.Results[i].Position = Position{}
				}
			}
			return p
		}
	case forgetItem: // an event that both sides pulled is merged by its publish key only
		if o, ok := m.(Offer); ok {
			o.Entries = slices.Clone(o.Entries)
			for i := range o.Entries {
				if o.Entries[i].Feed.Named {
					o.Entries[i].Feed = FeedMark{}
				}
			}
			return o
		}
	case hasty: // the owner does not know the id, whatever it is
		if x, ok := m.(There); ok {
			x.Route = Route{Found: Unknown}
			return x
		}
	case forgetAlias:
		strip := func(entries []Entry) []Entry {
			entries = slices.Clone(entries)
			for i := range entries {
				entries[i].Former = nil
			}
			return entries
		}
		switch x := m.(type) {
		case Entries:
			x.Entries, x.Notes = strip(x.Entries), nil
			return x
		case Adopted:
			x.Places = slices.Clone(x.Places)
			for i := range x.Places {
				x.Places[i].At = Position{}
			}
			return x
		}
	case doubleCommit:
		if p, ok := m.(Publish); ok {
			if t := to.topicOf(p.About()); t != nil {
				t.target().memos = map[publication]Memo{}
			}
		}
	}
	return m
}

// TestMutations shows that the simulator would notice: each broken protocol fails within a few schedules. The first of them
// is one that did when the mutation was written.
func TestMutations(t *testing.T) {
	for _, m := range []struct {
		mutation
		from int
	}{
		{skipFence, 3}, {ackEarly, 1}, {showEarly, 1}, {forgetOffer, 14}, {forgetAlias, 9}, {doubleCommit, 1},
		{forgetEpoch, 3}, {forgetRenew, 223}, {forgetItem, 9}, {forgetLost, 38}, {hasty, 2873},
	} {
		t.Run(string(m.mutation), func(t *testing.T) {
			n := max(400, *simSeeds)
			var first uint64
			caught := ""
			runSeeds(m.from, n, 1, m.mutation, func(seed uint64, f string) {
				if caught == "" || seed < first {
					first, caught = seed, f
				}
			})
			if caught == "" {
				t.Fatal("no schedule noticed")
			}
			t.Logf("seed %d: %s", first, caught)
		})
	}
}
