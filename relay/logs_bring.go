package relay

import "freshet/ringbuf"

// LogOpened says that a topic's log is whole here, and where it stands: from now
// on its subscribers are served.
func (r *Relay) LogOpened(name string, head ringbuf.Position) {
	t := r.topics.hold(name)
	t.mu.Lock()
	if t.whole {
		t.mu.Unlock()
		return
	}
	t.whole = true
	ring := t.coming
	if t.coming = nil; ring == nil {
		ring = t.newRing(head, nil)
	}
	// Whoever still reads from before the topic was last forgotten here.
	before := t.log.Load()
	t.show(before.then(ring, &turn{from: before.ring, route: byPosition(ring)}))
	t.mu.Unlock()
	r.committed(t)
	t.audience.open()
}

// LogShow appends events to what is shown of a topic.
func (r *Relay) LogShow(name string, entries []Placed) {
	t := r.topics.hold(name)
	t.mu.Lock()
	ring := t.coming
	switch {
	case t.whole:
		if ring = t.ring(); ring.Head().Seq == 0 && entries[0].At.Epoch < ring.Head().Epoch {
			// Nothing happened in the epoch that it was opened in, and it is none of
			// the log's: another side of a partition began first.
			ring = t.newRing(ringbuf.Position{Epoch: entries[0].At.Epoch, Seq: entries[0].At.Seq - 1}, nil)
			before := t.log.Load()
			t.show(before.then(ring, &turn{from: before.ring, route: bySequence}))
		}
	case ring == nil:
		ring = t.newRing(ringbuf.Position{Epoch: entries[0].At.Epoch, Seq: entries[0].At.Seq - 1}, nil)
		t.coming = ring
	}
	ended := t.place(ring, entries)
	t.weigh()
	t.mu.Unlock()
	r.committed(t)
	if ended {
		r.endTopic(t)
	}
}

// LogReplace exchanges what is shown of a topic. Each subscriber goes on where
// the route says for its place, when it is next asked.
func (r *Relay) LogReplace(name string, by Replacement) {
	t := r.topics.hold(name)
	t.mu.Lock()
	ring := t.newRing(by.Base, by.Lineage)
	ended := t.place(ring, by.Entries)
	if t.whole {
		before := t.log.Load()
		t.show(before.then(ring, &turn{from: before.ring, route: by.Route}))
	} else {
		t.coming = ring
	}
	t.weigh()
	t.mu.Unlock()
	r.committed(t)
	if ended {
		r.endTopic(t)
	}
}

// LogMerged says that events of a lost branch have found places in what is
// shown of a topic: who was on that branch goes on where the route says.
func (r *Relay) LogMerged(name string, route func(ringbuf.Place) Route) {
	t := r.topics.kept(name)
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.whole && t.catchups.any() {
		log := t.log.Load()
		t.log.Store(log.then(log.ring, &turn{from: log.ring, merged: true, route: route}))
	}
}

// LogForget says that a topic's log is not kept here any more.
func (r *Relay) LogForget(name string) {
	t := r.topics.kept(name)
	if t == nil {
		return
	}
	t.mu.Lock()
	t.whole, t.coming = false, nil
	t.mu.Unlock()
	t.audience.shut()
	r.topics.unhold(t)
}

// show exchanges the log, under mu. The ring before gives its memory back.
func (t *topic) show(log *shownLog) {
	before := t.log.Swap(log)
	before.ring.Forget()
	t.weigh()
}

// place appends entries where they belong, under mu, and reports whether the
// last of them ends the topic.
func (t *topic) place(ring *ringbuf.Ring, entries []Placed) (ended bool) {
	const most = 256 // of one batch, so that few are copied at once
	var batch [most]ringbuf.Entry
	for len(entries) > 0 {
		ring.Begin(entries[0].At.Epoch)
		n := 0
		for n < min(len(entries), most) && entries[n].At.Epoch == entries[0].At.Epoch {
			batch[n] = entries[n].Entry
			batch[n].Settled = true
			t.relay.metrics.events.Inc()
			t.relay.metrics.eventBytes.Add(float64(len(batch[n].Body)))
			ended = entries[n].End
			n++
		}
		at := ring.AppendAll(batch[:n])
		if at != entries[n-1].At {
			t.relay.config.Log.Error("log out of step", "topic", t.name, "at", at.String(), "want", entries[n-1].At.String())
		}
		entries = entries[n:]
	}
	if !ended && t.ended.Swap(0) != 0 { // a heal brought what came after
		t.pace.Store(0)
	}
	return ended
}

// gave tells those who agree on the log that this relay evicted events which
// its limits would have let it keep.
func (t *topic) gave(oldest ringbuf.Cursor) {
	logs := t.relay.config.Logs
	if now := t.ring().Oldest(); logs != nil && t.whole && now.Seq() > oldest.Seq() {
		logs.Trim(t.name, now.Seq())
	}
}
