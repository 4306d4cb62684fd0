package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"freshet/cluster"
	"freshet/cmd/freshet/config"
	"freshet/cmd/freshet/demo"
)

// A fleet is the relays of the demo's cluster: processes of their own, so that killing one
// is what it is called. One that was killed is started again after a while. They end with
// this process, however it ends: their standard input does.
type fleet struct {
	relays []*fleetRelay // static after construction
	ready  chan struct{} // closed when all of them are, for the first time
}

// fleetRelay is one of them.
type fleetRelay struct {
	// Static after construction.
	name    string
	program string
	args    []string
	environ []string
	said    io.Writer // its standard error
	admin   *http.Client

	mu      sync.Mutex // guards what follows
	process *os.Process
	state   string // live, starting, killed
	plain   string // URL of its plain listener while it is live
	control string // URL of its admin listener while it is live
	size    int    // its subscribers when last asked
	roles   map[string]string
	asked   time.Time
}

const (
	mourning    = 4 * time.Second        // between a relay's death and its return
	fleetAge    = 250 * time.Millisecond // however many pages ask, the relays are asked so often
	fleetAnswer = time.Second            // a relay that takes longer to answer shows what it said last
)

// newFleet makes n relays with these settings, which say everything but where they listen
// and how they find one another.
func newFleet(n int, settings *settingFlags, t *terminal) (*fleet, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	gossip, err := freeLoopback(n)
	if err != nil {
		return nil, err
	}
	links, err := freeLoopback(n)
	if err != nil {
		return nil, err
	}
	key := newKey()
	f := &fleet{ready: make(chan struct{})}
	for i := range n {
		name := fmt.Sprint("r", i+1)
		args := []string{"run", "-until-stdin-ends", "-set", "drain=1s", "-set", "log.level=error"}
		if settings.file != "" {
			args = append(args, "-config", settings.file)
		}
		for _, s := range settings.settings {
			args = append(args, "-set", s.Key+"="+s.Text)
		}
		args = append(args, "-public", "off", "-plain", "127.0.0.1:0", "-admin", "127.0.0.1:0",
			"-set", "tls.cert=", "-set", "tls.key=", "-set", "tls.self_signed=false",
			"-set", "cluster.tls.cert=", "-set", "cluster.tls.key=", "-set", "cluster.tls.ca=", "-set", "cluster.role=any",
			"-set", "cluster.name="+name, "-set", "cluster.label=freshet-demo", "-set", "cluster.gossip="+gossip[i], "-set", "cluster.links="+links[i],
			"-set", "cluster.join="+strings.Join(slices.Concat(gossip[:i], gossip[i+1:]), ","))
		f.relays = append(f.relays, &fleetRelay{
			name: name, program: program, args: args, state: "starting",
			environ: append(slices.Clip(t.environ), config.Variable("cluster.key")+"="+key), // not an argument, which all can read
			said:    t.stderr, admin: &http.Client{Timeout: fleetAnswer, Transport: &http.Transport{}},
		})
	}
	return f, nil
}

// freeLoopback finds n addresses that are free for both UDP and TCP. They may be taken again
// before they are used, as any.
func freeLoopback(n int) (addresses []string, err error) {
	for tries := 0; len(addresses) < n; tries++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all of them at the end, or one might be found twice
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			if tries > 10*n {
				return nil, err
			}
			continue
		}
		defer p.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// Run runs the relays until ctx ends, then asks them to stop and waits.
func (f *fleet) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var all, first sync.WaitGroup
	first.Add(len(f.relays))
	errs := make([]error, len(f.relays))
	for i, r := range f.relays {
		all.Go(func() {
			if errs[i] = r.Run(ctx, sync.OnceFunc(first.Done)); errs[i] != nil {
				fail(errs[i])
			}
		})
	}
	go func() {
		first.Wait() // a relay that ends counts as well
		if ctx.Err() == nil {
			close(f.ready)
		}
	}()
	all.Wait()
	return errors.Join(errs...)
}

// Run starts the relay again and again until ctx ends. It calls once when the relay is ready for
// the first time, or never will be.
func (r *fleetRelay) Run(ctx context.Context, once func()) error {
	defer once()
	for {
		err := r.live(ctx, once)
		if ctx.Err() != nil || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(mourning):
		}
	}
}

// live is one life of the relay. It returns an error if there was none.
func (r *fleetRelay) live(ctx context.Context, ready func()) error {
	child := exec.Command(r.program, r.args...)
	child.Args[0] = "freshet"
	child.Env = r.environ
	lines := &prefixedLines{to: r.said, prefix: r.name + ": "}
	child.Stderr = lines
	stdin, err := child.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	r.become("starting", child.Process, "")
	stop := context.AfterFunc(ctx, func() { stdin.Close() })
	defer stop()
	out := bufio.NewReader(stdout)
	line, _ := out.ReadString('\n')
	if line != "" {
		r.become("live", child.Process, strings.TrimSuffix(line, "\n"))
		ready()
	}
	io.Copy(io.Discard, out)
	err = child.Wait()
	stdin.Close()
	if ctx.Err() != nil {
		return nil
	}
	if line == "" {
		return fmt.Errorf("relay %s ended before it was ready (%v): %s", r.name, err, cmp.Or(lines.last, "it said nothing"))
	}
	r.become("killed", nil, "")
	return nil
}

func (r *fleetRelay) become(state string, p *os.Process, ready string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state, r.process, r.plain, r.control = state, p, readyURL(ready, "plain"), readyURL(ready, "admin")
	r.size, r.roles, r.asked = 0, nil, time.Time{}
}

// readyURL is where the listener of that name is, by the line of a relay that is ready.
func readyURL(line, listener string) string {
	_, list, _ := strings.Cut(line, ": ")
	for part := range strings.SplitSeq(list, ", ") {
		if name, url, _ := strings.Cut(part, " "); name == listener {
			return url
		}
	}
	return ""
}

// prefixedLines writes whole lines, each with a prefix. One goroutine writes.
type prefixedLines struct {
	to     io.Writer
	prefix string
	part   string // of a line
	last   string
}

func (w *prefixedLines) Write(b []byte) (int, error) {
	w.part += string(b)
	for {
		line, rest, whole := strings.Cut(w.part, "\n")
		if !whole {
			return len(b), nil
		}
		w.part, w.last = rest, line
		if _, err := fmt.Fprintf(w.to, "%s%s\n", w.prefix, line); err != nil {
			return 0, err
		}
	}
}

// sharedWriter lets one write at a time through.
type sharedWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *sharedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// address returns where the relay takes requests; "" while it does not.
func (r *fleetRelay) address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.plain
}

// ask asks the relay what it is to the demo's topics, unless it said so within that age.
func (r *fleetRelay) ask(age time.Duration) {
	r.mu.Lock()
	control := r.control
	if control == "" || time.Since(r.asked) < age {
		r.mu.Unlock()
		return
	}
	r.asked = time.Now()
	r.mu.Unlock()

	roles := map[string]string{}
	for _, topic := range demo.Topics {
		var s cluster.TopicStatus
		if r.get(control, "/cluster/topics/"+topic, &s) == nil {
			roles[topic] = s.Role
		}
	}
	size := (&audience{admin: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if resp, err := r.admin.Get(control + "/metrics"); err == nil {
			defer resp.Body.Close()
			io.Copy(w, resp.Body)
		}
	})}).subscribers()

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.control == control { // still the same life
		r.roles, r.size = roles, size
	}
}

func (r *fleetRelay) get(control, path string, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), fleetAnswer)
	defer cancel()
	return (&adminClient{base: control, client: r.admin}).get(ctx, path, answer)
}

// Relays tells of all of them; serving is the one that serves who asks.
func (f *fleet) Relays(serving string) []demo.Relay { return f.tell(serving, fleetAge) }

// tell is Relays, with answers of at most that age.
func (f *fleet) tell(serving string, age time.Duration) []demo.Relay {
	var asking sync.WaitGroup
	for _, r := range f.relays {
		asking.Go(func() { r.ask(age) })
	}
	asking.Wait()
	list := make([]demo.Relay, len(f.relays))
	for i, r := range f.relays {
		r.mu.Lock()
		list[i] = demo.Relay{Name: r.name, State: r.state, Subscribers: r.size, Serves: r.state == "live" && r.name == serving, Owns: []string{}, StandsBy: []string{}}
		for _, topic := range demo.Topics {
			switch r.roles[topic] {
			case "owner": // not "sealed", which is about to give it away
				list[i].Owns = append(list[i].Owns, topic)
			case "standby":
				list[i].StandsBy = append(list[i].StandsBy, topic)
			}
		}
		r.mu.Unlock()
	}
	return list
}

// Kill kills the topic's owner, if all relays are there and another has a copy.
func (f *fleet) Kill(topic string) (string, error) {
	all := f.tell("", 0)
	if !slices.ContainsFunc(all, func(r demo.Relay) bool { return slices.Contains(r.StandsBy, topic) }) {
		return "", demo.ErrNotNow
	}
	if slices.ContainsFunc(all, func(r demo.Relay) bool { return r.State != "live" }) {
		return "", demo.ErrNotNow
	}
	i := slices.IndexFunc(all, func(r demo.Relay) bool { return slices.Contains(r.Owns, topic) })
	if i < 0 {
		return "", demo.ErrNotNow
	}
	r := f.relays[i]
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != "live" {
		return "", demo.ErrNotNow
	}
	r.state, r.plain, r.control, r.roles = "killed", "", "", nil
	return r.name, r.process.Kill()
}
