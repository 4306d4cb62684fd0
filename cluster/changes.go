package cluster

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"freshet/cluster/agree"
)

// changes gathers what happens to many topics at once, so that an operator has a line for each event and not for each topic.
// It is owned by the node's loop.
type changes struct {
	log    *slog.Logger
	topics map[change]int // gathered since first
	first  time.Time      // zero: nothing is gathered
	last   time.Time
	latest *ChangeStatus // nil: none yet

	alone bool      // it was told that topics have no standby
	look  time.Time // then see whether that is so still; zero: no need
}

// change is one kind of event.
type change struct{ reason, peer string }

const (
	gatherPause = time.Second      // without another change of any kind, and what is gathered is told
	gatherMost  = 10 * time.Second // or after this: a long drain is told as it goes on
)

func (c *changes) note(now time.Time, n agree.Notice) {
	if n.Name == string(alone) {
		if !c.alone && c.look.IsZero() {
			c.look = now.Add(gatherPause)
		}
		return
	}
	if changeWords[n.Name] == [2]string{} || n.Detail == "" { // a new topic is taken from nobody
		return
	}
	if c.first.IsZero() {
		c.first, c.topics = now, map[change]int{}
	}
	c.last = now
	k := change{n.Name, n.Detail}
	c.topics[k]++
	c.latest = &ChangeStatus{Time: now, Reason: k.reason, Peer: k.peer, Topics: c.topics[k]}
}

// changeWords are a change's message, and what the peer is to it.
var changeWords = map[string][2]string{
	"takeover": {"took over topics", "from"},
	"move":     {"topics moved here", "from"},
	"moved":    {"topics moved", "to"},
	"fenced":   {"topics yielded", "to"},
	"met":      {"topics yielded", "to"},
}

// view says that who is here has changed.
func (c *changes) view(now time.Time) {
	if c.alone {
		c.look = now.Add(gatherPause)
	}
}

// due is when tell has something to say; zero: never.
func (c *changes) due() time.Time {
	at := c.look
	if !c.first.IsZero() {
		told := c.last.Add(gatherPause)
		if late := c.first.Add(gatherMost); late.Before(told) {
			told = late
		}
		if at.IsZero() || told.Before(at) {
			at = told
		}
	}
	return at
}

// tell logs what is due.
func (c *changes) tell(now time.Time, count func() agree.Counts) {
	due := c.due()
	if due.IsZero() || now.Before(due) {
		return
	}
	if !c.first.IsZero() && (now.Sub(c.last) >= gatherPause || now.Sub(c.first) >= gatherMost) {
		c.flush()
	}
	if !c.look.IsZero() && !now.Before(c.look) {
		c.look = time.Time{}
		switch n := count(); {
		case n.Alone > 0 && !c.alone:
			c.alone = true
			c.log.Warn("alone: topics without a standby", "topics", n.Alone)
		case n.Alone == 0 && c.alone:
			c.alone = false
			c.log.Info("not alone any more: topics find a standby", "topics", n.Owned)
		}
	}
}

// flush logs what is gathered.
func (c *changes) flush() {
	kinds := make([]change, 0, len(c.topics))
	for k := range c.topics {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.reason, b.reason), cmp.Compare(a.peer, b.peer))
	})
	for _, k := range kinds {
		words := changeWords[k.reason]
		c.log.Info(words[0], "topics", c.topics[k], words[1], k.peer)
	}
	c.first, c.topics = time.Time{}, nil
}
