package cluster

import "freshet/cluster/agree"

// Sources is told who wants topics that are pulled while somebody subscribes, and what their origins say. It is called like
// Rings.
type Sources interface {
	// Wanted says that a relay, perhaps this one, wants a topic to be pulled that this relay owns; it says so again and
	// again for as long as that is so. id is what the first of its subscribers resumes from. known says that the topic has
	// been opened for that relay before, perhaps by another owner. Node.Sourced answers it.
	Wanted(topic, from, id string, known bool)
	// Unwanted takes Wanted back.
	Unwanted(topic, from string)
	// Sourced is the word of a topic's owner, where Want was called.
	Sourced(topic string, status int)
}

// What Sourced may say besides what origins answer.
const (
	SourceOpen = 0 // its events come
	SourceNone = 1 // it has no origin
)

// Want has a topic pulled from its origin by whichever relay owns it, until Unwant. Like those that follow it does not wait,
// and may be called by Rings and Sources.
func (n *Node) Want(topic, id string) { n.wish(func() { n.relay.Want(n.now, topic, id) }) }

// Unwant takes Want back.
func (n *Node) Unwant(topic string) { n.wish(func() { n.relay.Unwant(n.now, topic) }) }

// Recall says that a topic of this relay's own, in which nothing ever was, begins after what its origin knows by an id.
func (n *Node) Recall(topic, id string) { n.wish(func() { n.relay.Recall(n.now, topic, id) }) }

// Sourced answers a relay that wants a topic of this relay's own: SourceOpen, SourceNone, or the status of the origin's answer.
func (n *Node) Sourced(topic, to string, status int) {
	n.wish(func() { n.relay.Source(n.now, topic, to, uint64(status)) })
}

func (n *Node) tellSources(d agree.Decision) {
	if n.Sources == nil {
		return
	}
	switch d := d.(type) {
	case agree.Wanted:
		if d.Want.Over {
			n.Sources.Unwanted(d.Topic, d.From)
		} else {
			n.Sources.Wanted(d.Topic, d.From, d.Want.ID, d.Want.Known)
		}
	case agree.Sourced:
		n.Sources.Sourced(d.About(), int(d.Status))
	}
}
