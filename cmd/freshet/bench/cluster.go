//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
)

// A Cluster measures three freshet processes that are a cluster on loopback: how long a subscriber of one relay waits for
// the next event when another one is killed or stopped, and what a publisher pays for the second copy of its events.
type Cluster struct {
	Program string    // freshet
	Rounds  int       // of each kind of failure; 0: 20
	Posts   int       // publishes that are timed; 0: 3,000
	Out     io.Writer // the table
	Log     io.Writer // progress, and what the relays print
}

// silenceGoal is for how long a subscriber may hear nothing when a relay of its topic dies or stops.
const silenceGoal = 3 * time.Second

// A failure is one row: what is done to whom, and undone.
type failure struct {
	name   string
	victim func(owner, standby *clusterRelay) *clusterRelay
	do     func(*clusterRelay) error
	undo   func(context.Context, *clusterRelay) error
}

var failures = []failure{
	{"kill -9 of the owner", ownerOf, (*clusterRelay).kill, func(ctx context.Context, r *clusterRelay) error { return r.start(ctx) }},
	{"pause of the owner", ownerOf, pauseRelay, resumeRelay},
	{"pause of the standby", func(_, standby *clusterRelay) *clusterRelay { return standby }, pauseRelay, resumeRelay},
}

func ownerOf(owner, _ *clusterRelay) *clusterRelay { return owner }

func pauseRelay(r *clusterRelay) error { return r.signal(syscall.SIGSTOP) }

func resumeRelay(_ context.Context, r *clusterRelay) error { return r.signal(syscall.SIGCONT) }

// Run prints the table; it returns an error when something could not be measured, not when a goal was missed.
func (c Cluster) Run(ctx context.Context) error {
	if c.Rounds == 0 {
		c.Rounds = 20
	}
	if c.Posts == 0 {
		c.Posts = 3000
	}
	table := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "cluster of three relays on loopback\tmeasured\tmust reach\t")
	relays, err := c.start(ctx)
	defer stopAll(relays)
	if err != nil {
		return err
	}
	for _, f := range failures {
		silences, err := c.fail(ctx, relays, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		slices.Sort(silences)
		worst := silences[len(silences)-1]
		fmt.Fprintf(table, "next event after a %s\tmedian %v, worst %v of %d\t<= %v\t%s\n",
			f.name, round(silences[len(silences)/2]), round(worst), len(silences), silenceGoal, mark(worst <= silenceGoal))
	}
	return c.acknowledgements(ctx, relays, table)
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// fail repeats a failure, and returns how long each time a subscriber at the third relay waited for an event that was
// published after it.
func (c Cluster) fail(ctx context.Context, relays []*clusterRelay, f failure) ([]time.Duration, error) {
	silences := make([]time.Duration, 0, c.Rounds)
	for i := range c.Rounds {
		fmt.Fprintf(c.Log, "%s, %d of %d\n", f.name, i+1, c.Rounds)
		owner, standby, err := settled(ctx, relays)
		if err != nil {
			return nil, err
		}
		victim := f.victim(owner, standby)
		third := relays[slices.IndexFunc(relays, func(r *clusterRelay) bool { return r != owner && r != standby })]
		silence, err := c.silence(ctx, third, func() error { return f.do(victim) })
		if err != nil {
			return nil, err
		}
		silences = append(silences, silence)
		if err := f.undo(ctx, victim); err != nil {
			return nil, err
		}
	}
	return silences, nil
}

// silence subscribes and publishes at a relay, has something happen, and returns how long after it the next event came.
func (c Cluster) silence(ctx context.Context, at *clusterRelay, happen func() error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stream, err := subscribeNumbers(ctx, at.plain)
	if err != nil {
		return 0, err
	}
	defer stream.close()
	source := publishNumbers(ctx, at.plain)
	defer source.close()
	if _, err := stream.await(ctx, 50); err != nil { // it flows
		return 0, err
	}
	if err := happen(); err != nil {
		return 0, err
	}
	began := time.Now()
	came, err := stream.await(ctx, source.last()+1)
	return came.Sub(began), err
}

// acknowledgements times publishes one after the other: to a relay that has no others, to an owner with a standby, and to
// a relay that hands them on to the owner.
func (c Cluster) acknowledgements(ctx context.Context, relays []*clusterRelay, table io.Writer) error {
	owner, standby, err := settled(ctx, relays)
	if err != nil {
		return err
	}
	third := relays[slices.IndexFunc(relays, func(r *clusterRelay) bool { return r != owner && r != standby })]
	alone, err := newClusterRelay(c.Program, c.Log, "alone", nil)
	if err != nil {
		return err
	}
	defer alone.kill()
	if err := alone.start(ctx); err != nil {
		return err
	}
	rows := []struct {
		name  string
		relay *clusterRelay
		took  []time.Duration
	}{{"by a relay that is alone", alone, nil}, {"by an owner with a standby", owner, nil}, {"by a relay that is neither", third, nil}}
	const turn = 100 // in turns, so that what else the machine does is shared
	for done := 0; done < c.Posts; done += turn {
		for i := range rows {
			took, err := timePosts(ctx, rows[i].relay.plain, turn)
			if err != nil {
				return fmt.Errorf("publish: %s: %w", rows[i].name, err)
			}
			rows[i].took = append(rows[i].took, took...)
		}
	}
	var base time.Duration
	for i, r := range rows {
		slices.Sort(r.took)
		median, p99 := r.took[len(r.took)/2], r.took[len(r.took)*99/100]
		if i == 0 {
			base = median
		}
		fmt.Fprintf(table, "publish acknowledged %s\tmedian %v = %.1fx that alone, p99 %v of %d\t\t\n",
			r.name, median.Round(time.Microsecond), float64(median)/float64(base), p99.Round(time.Microsecond), len(r.took))
	}
	return nil
}
