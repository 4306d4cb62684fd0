package agree

import (
	"maps"
	"slices"
	"time"
)

// Some topics are pulled from an origin only while somebody subscribes: by their owner, wherever the subscribers are. Whoever
// has some tells the owner, with the id that the first of them resumes from; again after a while, so that the owner need
// not trust anybody to take it back, and at once when there is another owner. The owner's process asks the origin, and its
// answer goes back to all who asked. None of this touches the log, but for the id that an empty one begins after.

type (
	// Want says that the sender has subscribers for whom the topic is to be pulled.
	Want struct {
		Topic
		ID    string // that the first of them resumes from
		Known bool   // the topic has been opened for the sender before
		Over  bool   // it has none any more
	}
	// Sourced answers Want: what the topic's origin said. As a Decision it tells this process.
	Sourced struct {
		Topic
		Status uint64 // see cluster.Sources
	}
	// Wanted tells the owner's process of a Want.
	Wanted struct {
		Topic string
		From  string // relay, perhaps this one
		Want  Want
	}
)

func (Sourced) decision() {}
func (Wanted) decision()  {}

// wanting is what this relay has told the owner.
type wanting struct {
	on    bool
	id    string
	to    string // who was told
	sent  time.Time
	heard bool // that one has answered since
	known bool // somebody has, that the topic is open
}

// Want has the topic pulled from its origin by its owner until Unwant. Sourced tells what the origin says, once or more. The
// topic should be open.
func (r *Relay) Want(now time.Time, name, id string) {
	r.now = now
	t := r.topic(name)
	t.want = wanting{on: true, id: id}
	r.reconcile(t)
	r.flush()
}

// Unwant takes Want back.
func (r *Relay) Unwant(now time.Time, name string) {
	r.now = now
	t := r.topics[name]
	if t == nil || !t.want.on {
		return
	}
	to := t.want.to
	t.want = wanting{}
	r.tellWant(t, to, Want{Topic: Topic(name), Over: true})
	r.reconcile(t)
	r.flush()
}

// Recall says that the topic's log, in which nothing ever was, begins after what the origin knows by an id. Only the owner's
// process may.
func (r *Relay) Recall(now time.Time, name, id string) {
	r.now = now
	if t := r.topics[name]; t != nil && t.role == owner && t.target().head() == 0 {
		t.target().recall(id)
		t.mark(r)
		r.flush()
	}
}

// Source answers a relay that wants the topic: what its origin says.
func (r *Relay) Source(now time.Time, name, to string, status uint64) {
	r.now = now
	m := Sourced{Topic(name), status}
	if to != r.cfg.Name {
		r.send(to, m)
	} else if t := r.topics[name]; t != nil {
		r.onSourced(t, to, m)
	}
}

// pursue tells the owner what is wanted, and the owner's process who wants it: once it can say where the log ends.
func (r *Relay) pursue(t *topic) {
	if w := &t.want; w.on {
		to := t.source()
		switch {
		case t.role == owner:
			to = r.cfg.Name
		case to == "":
			to = t.holder
		}
		again := r.cfg.Silence
		if w.heard {
			again = r.cfg.Linger / 3
		}
		if due := w.sent.Add(again); to == w.to && r.now.Before(due) {
			r.at(t, due)
		} else if r.usable(to) {
			w.to, w.sent, w.heard = to, r.now, false
			r.tellWant(t, to, Want{Topic: Topic(t.name), ID: w.id, Known: w.known})
			r.in(t, r.cfg.Silence)
		}
	}
	if len(t.wishes) > 0 && t.role == owner && t.opened && t.staged == nil && r.whole(t) {
		for _, from := range slices.Sorted(maps.Keys(t.wishes)) {
			r.decide(Wanted{t.name, from, t.wishes[from]})
		}
		clear(t.wishes)
	}
}

func (r *Relay) tellWant(t *topic, to string, m Want) {
	switch {
	case to == r.cfg.Name:
		r.onWant(t, to, m)
	case r.usable(to):
		r.send(to, m)
	}
}

// onWant notes what a relay wants. Who does not own the topic need not answer: the sender finds the owner, or asks again.
func (r *Relay) onWant(t *topic, from string, m Want) {
	if t.role != owner {
		return
	}
	if t.wishes == nil {
		t.wishes = map[string]Want{}
	}
	t.wishes[from] = m
}

func (r *Relay) onSourced(t *topic, from string, m Sourced) {
	w := &t.want
	if !w.on || w.to != from {
		return
	}
	w.heard = true
	w.known = w.known || m.Status == 0
	r.decide(m)
}

// recall notes that the log begins after what the origin knows by an id.
func (l *Log) recall(id string) {
	if l.recalled != id {
		l.recalled = id
		l.note(Note{Recalled: id})
	}
}
