package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"freshet/cluster"
	"freshet/cluster/agree"
	"freshet/origin"
	"freshet/origin/sse"
	"freshet/relay"
	"freshet/ringbuf"
)

// clusterFeed is one steady feed, at a relay that may be the one to pull it.
//
// Its log has two kinds of records. Who is charged with the feed claims it first: when its
// claim is shown, it has seen everything that its predecessor recorded. From then on it
// records its cursor, each time after the events up to there were committed. So a successor
// asks the origin for a little too much, never for too little, and the owners of the topics know
// what they have.
type clusterFeed struct {
	*relay.Intake // takes what the Source brings: it is its Sink

	// Static after construction.
	all     *clusterFeeds
	topic   string // the feed's log
	source  *origin.Source
	relay   *relay.Relay  // knows the logs of topics, as far as they are here
	refresh time.Duration // records are made anew after so long, before they are too old to be kept

	// mu guards what follows.
	mu      sync.Mutex
	changed chan struct{}      // closed and replaced with every change
	epoch   uint64             // under which this relay is to pull; 0: another is
	stop    context.CancelFunc // ends the pull of that epoch
	claim   uint64             // the newest one in the log
	former  uint64             // the one before
	place   origin.Place       // the newest one in the log
	moved   *origin.Place      // where the pull stands, if that is not recorded yet
	trimmed uint64             // the log is forgotten up to here

	mark agree.FeedMark // of the pull under way; owned by its goroutine
}

// feedRecord is an entry of a feed's log, as JSON.
type feedRecord struct {
	Claim  uint64 `json:"claim,omitempty"`  // the epoch under which a relay begins to pull; the rest is empty then
	Cursor []byte `json:"cursor,omitempty"` // see origin.Place
	Begun  bool   `json:"begun,omitempty"`
}

const (
	// Between two records of a cursor. What a successor asks the origin for again came in that time.
	recordPause = 100 * time.Millisecond
	// Of a feed's log so many entries are kept; for relays that are behind, since only the newest count.
	keepRecords = 256
	// Before something is tried again that failed at once.
	feedPause = time.Second
)

func newClusterFeed(all *clusterFeeds, topic string, source *origin.Source, r *relay.Relay, age time.Duration) (*clusterFeed, error) {
	f := &clusterFeed{all: all, topic: topic, source: source, relay: r, refresh: max(age/3, time.Second), changed: make(chan struct{})}
	f.Intake = r.Intake(f.commit)
	source.Sink, source.Log, source.Moved = f, f, f.reached
	return f, source.Check()
}

// Run pulls the feed whenever this relay is charged with it, until ctx ends.
func (f *clusterFeed) Run(ctx context.Context) error {
	if !f.all.edge { // which is never charged
		f.all.node.Pin(f.topic)
	}
	var epoch uint64
	for {
		if !f.await(ctx, func() bool { return f.epoch != 0 && f.epoch != epoch }) {
			return nil
		}
		f.mu.Lock()
		epoch = f.epoch
		pulling, stop := context.WithCancel(ctx)
		f.stop = stop
		f.mu.Unlock()
		if epoch != 0 { // else it was taken back at once
			f.pull(pulling, epoch)
		}
		stop()
	}
}

// pull pulls the feed under an epoch until ctx ends, or the origin has ended it, or it turns
// out that another relay pulls: who is charged still hears of that by a new charge.
func (f *clusterFeed) pull(ctx context.Context, epoch uint64) {
	log := f.all.log.With("feed", strings.TrimPrefix(f.topic, feedLog))
	mine := f.mark.Epoch
	for {
		err := f.record(ctx, epoch, feedRecord{Claim: epoch})
		if err == nil {
			break
		}
		if ctx.Err() != nil || errors.Is(err, cluster.ErrStale) {
			return
		}
		log.Warn("feed not claimed", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(feedPause):
		}
	}
	if !f.await(ctx, func() bool { return f.claim == epoch }) {
		return
	}
	f.mark = agree.FeedMark{Name: f.topic, Epoch: epoch}
	f.mu.Lock()
	from, before := f.place, f.former
	f.moved = nil
	f.mu.Unlock()
	if before != 0 && before != mine {
		f.all.metrics.takeovers.Inc()
	}
	log.Info("feed pulled here from now on", "resume", from.Cursor)
	f.all.metrics.pulled.Inc()
	defer f.all.metrics.pulled.Dec()

	over := make(chan struct{})
	var recording sync.WaitGroup
	recording.Go(func() { f.recordMoves(ctx, epoch, over) })
	if err := f.source.Resume(ctx, from); err != nil {
		log.Error("feed cannot be pulled", "error", err) // it was checked
	}
	close(over)
	recording.Wait()
	log.Info("feed not pulled here any more")
}

// recordMoves records where the pull stands, the newest only, until it is over.
func (f *clusterFeed) recordMoves(ctx context.Context, epoch uint64, over <-chan struct{}) {
	again := time.NewTicker(f.refresh)
	defer again.Stop()
	for last := false; !last; {
		f.mu.Lock()
		changed, place := f.changed, f.moved
		f.moved = nil
		f.mu.Unlock()
		if place == nil {
			select {
			case <-ctx.Done():
				return
			case <-over:
				return
			case <-changed:
				continue
			case <-again.C:
				f.mu.Lock()
				newest := f.place
				f.mu.Unlock()
				place = &newest
			}
		}
		err := f.record(ctx, epoch, feedRecord{Cursor: []byte(place.Cursor), Begun: place.Begun})
		switch {
		case errors.Is(err, cluster.ErrStale):
			f.giveUp()
			return
		case ctx.Err() != nil:
			return
		case err != nil:
			f.mu.Lock()
			if f.moved == nil {
				f.moved = place
			}
			f.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-over: // and the origin has ended it: what is left is recorded once more
			f.mu.Lock()
			last = f.moved == nil || err != nil
			f.mu.Unlock()
		case <-time.After(recordPause):
		}
	}
}

// record appends to the feed's log, under the epoch of who does.
func (f *clusterFeed) record(ctx context.Context, epoch uint64, r feedRecord) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = f.all.node.Feed(ctx, f.topic, agree.FeedMark{Name: f.topic, Epoch: epoch}, agree.Event, ringbuf.Entry{Body: body})
	return err
}

// errOutdated is why the Source is stopped. It has no status: the origin would be asked again.
var errOutdated = errors.New("another relay pulls this feed by now")

// commit is what the Intake does with events.
func (f *clusterFeed) commit(ctx context.Context, topic string, e ringbuf.Entry, gap bool) (id string, err error) {
	kind := agree.Event
	if gap {
		kind = agree.Gap
	}
	id, err = f.all.node.Feed(ctx, topic, f.mark, kind, e)
	if errors.Is(err, cluster.ErrStale) {
		f.giveUp()
		return "", errOutdated
	}
	return id, err
}

// Holds is origin.Log's. The Source asks whether an event is a repeat that it does not know
// of itself. It is known at the owner of its topic, unless that topic is followed here, so this
// begins what is a pull to the owner: in an unbroken run from here on it drops what it has.
func (f *clusterFeed) Holds(topic string, e sse.Event) bool {
	if f.relay.Holds(topic, e) {
		return true
	}
	f.mark.Pull++
	return false
}

// Newest is origin.Log's.
func (f *clusterFeed) Newest(topic string) (id string, given bool) { return f.relay.Newest(topic) }

// reached is origin.Source's Moved.
func (f *clusterFeed) reached(p origin.Place) { f.change(func() { f.moved = &p }) }

// charge says under which epoch this relay is to pull; 0: another is.
func (f *clusterFeed) charge(epoch uint64) {
	f.change(func() {
		f.epoch = epoch
		if f.stop != nil {
			f.stop()
		}
	})
}

// giveUp ends the pull that is under way.
func (f *clusterFeed) giveUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stop()
}

// show takes in what the log has. Entries come in order, perhaps of another branch of the log
// than those before: the newest count.
func (f *clusterFeed) show(entries []agree.Entry) {
	if len(entries) == 0 {
		return
	}
	f.change(func() {
		for _, e := range entries {
			var r feedRecord
			if json.Unmarshal(e.Body, &r) != nil {
				continue // of a later version
			}
			if r.Claim != 0 {
				f.former, f.claim = f.claim, r.Claim
			} else {
				f.place = origin.Place{Cursor: string(r.Cursor), Begun: r.Begun}
			}
		}
		if head := entries[len(entries)-1].Seq; head < f.trimmed || head > f.trimmed+2*keepRecords {
			f.trimmed = max(head, keepRecords) - keepRecords
			f.all.node.Trim(f.topic, f.trimmed)
		}
	})
}

// change changes the feed's state, and tells those who wait for that.
func (f *clusterFeed) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	close(f.changed)
	f.changed = make(chan struct{})
}

// await waits until it is so, and reports whether it is; false: ctx has ended.
func (f *clusterFeed) await(ctx context.Context, so func() bool) bool {
	for {
		f.mu.Lock()
		done, changed := so(), f.changed
		f.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
