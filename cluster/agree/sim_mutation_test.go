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

// TestMutations shows that the simulator would notice: each broken protocol fails within a few schedules.
func TestMutations(t *testing.T) {
	for _, m := range []mutation{skipFence, ackEarly, showEarly, forgetOffer, forgetAlias, doubleCommit} {
		t.Run(string(m), func(t *testing.T) {
			caught := ""
			runSeeds(1, 150, m, func(_ uint64, f string) { caught = f })
			if caught == "" {
				t.Fatal("no schedule noticed")
			}
			t.Log(caught)
		})
	}
}
