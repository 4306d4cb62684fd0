//go:build linux

package bench

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A clusterRelay is a freshet process of a cluster, or one that is alone. After its end it can be started again where it was.
type clusterRelay struct {
	name         string
	plain, admin string // URLs
	program      string
	args         []string
	log          io.Writer

	process *exec.Cmd
	input   io.WriteCloser // it ends when this does, and so with us
	ended   chan struct{}
}

// start makes the three relays, and waits until they are one cluster.
func (c Cluster) start(ctx context.Context) ([]*clusterRelay, error) {
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, err
	}
	gossip, free, err := freePairs(3)
	if err != nil {
		return nil, err
	}
	var relays []*clusterRelay
	for i := range gossip {
		r, err := newClusterRelay(c.Program, c.Log, fmt.Sprint("r", i+1), []string{
			"cluster.gossip=" + gossip[i], "cluster.links=127.0.0.1:0", "cluster.join=" + strings.Join(gossip, ","),
			"cluster.key=" + base64.StdEncoding.EncodeToString(key[:]),
		})
		if err != nil {
			return relays, err
		}
		relays = append(relays, r)
	}
	free()
	starting := make(chan error, len(relays))
	for _, r := range relays {
		go func() { starting <- r.start(ctx) }()
	}
	var errs []error
	for range relays {
		errs = append(errs, <-starting)
	}
	return relays, errors.Join(errs...)
}

// freePairs finds addresses on loopback that are free for TCP and for UDP; they are held until free is called.
func freePairs(n int) (addresses []string, free func(), err error) {
	var held []io.Closer
	free = func() {
		for _, h := range held {
			h.Close()
		}
	}
	for tries := 0; len(addresses) < n; tries++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			free()
			return nil, nil, err
		}
		held = append(held, l)
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil && tries > 10*n {
			free()
			return nil, nil, err
		}
		if err == nil {
			held = append(held, p)
			addresses = append(addresses, l.Addr().String())
		}
	}
	return addresses, free, nil
}

// newClusterRelay makes a relay with addresses of its own; settings are "key=value".
func newClusterRelay(program string, log io.Writer, name string, settings []string) (*clusterRelay, error) {
	_, plain, admin, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	r := &clusterRelay{name: name, plain: "http://" + plain, admin: "http://" + admin, program: program, log: log}
	r.args = []string{"run", "-until-stdin-ends", "-plain", plain, "-admin", admin, "-set", "log.level=error", "-set", "drain=200ms"}
	if len(settings) > 0 {
		settings = append(settings, "cluster.name="+name)
	}
	for _, s := range settings {
		r.args = append(r.args, "-set", s)
	}
	return r, nil
}

// start runs the process, and waits until it says that it is ready.
func (r *clusterRelay) start(ctx context.Context) error {
	process := exec.CommandContext(ctx, r.program, r.args...)
	process.Stderr = r.log
	out, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	if r.input, err = process.StdinPipe(); err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", r.program, err)
	}
	r.process, r.ended = process, make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(r.ended)
		lines := bufio.NewScanner(out)
		if lines.Scan() {
			close(ready)
		}
		for lines.Scan() {
		}
		process.Wait() // it was killed, mostly
	}()
	select {
	case <-ready:
		return nil
	case <-r.ended:
		return fmt.Errorf("%s ended before it was ready", r.name)
	case <-time.After(20 * time.Second):
		return fmt.Errorf("%s was not ready within 20 s", r.name)
	}
}

func (r *clusterRelay) signal(s syscall.Signal) error { return r.process.Process.Signal(s) }

// kill ends the process at once, whatever state it is in.
func (r *clusterRelay) kill() error {
	if r.process == nil {
		return nil
	}
	err := r.signal(syscall.SIGKILL)
	<-r.ended
	return err
}

func stopAll(relays []*clusterRelay) {
	for _, r := range relays {
		_ = r.kill() // it may have ended
	}
}

// clusterTopic is the topic that all figures are about.
const clusterTopic = "bench"

// ask reads JSON of the relay's admin listener.
func (r *clusterRelay) ask(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.admin+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(answer)
}

// settled publishes an event, so that the topic is there, and waits until all relays see one another and the topic has had
// the same owner, with the same standby, for as long as a relay that came back is given nothing.
func settled(ctx context.Context, relays []*clusterRelay) (owner, standby *clusterRelay, err error) {
	const rest, patience = 3 * time.Second, 40 * time.Second
	since := time.Now()
	err = errors.New("the relays did not become one cluster")
	for deadline := since.Add(patience); time.Now().Before(deadline); {
		o, s, seen := standings(ctx, relays)
		if seen != nil || o == nil || s == nil || o != owner || s != standby {
			owner, standby, since = o, s, time.Now()
			err = cmp.Or(seen, err)
			if o == nil {
				_, _ = timePosts(ctx, relays[0].plain, 1)
			}
		} else if time.Since(since) > rest {
			return owner, standby, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, nil, err
}

// standings finds the topic's owner and standby; an error says why that is not certain.
func standings(ctx context.Context, relays []*clusterRelay) (owner, standby *clusterRelay, err error) {
	for _, r := range relays {
		var view struct {
			Members []struct {
				Name, State string
				Link        *struct{}
			}
		}
		if err := r.ask(ctx, "/cluster", &view); err != nil {
			return nil, nil, err
		}
		ready := 0
		for _, m := range view.Members {
			if m.State == "ready" && (m.Name == r.name || m.Link != nil) {
				ready++
			}
		}
		if ready != len(relays) {
			return nil, nil, fmt.Errorf("%s sees %d of %d relays", r.name, ready, len(relays))
		}
		var topic struct{ Role, Standby string }
		if r.ask(ctx, "/cluster/topics/"+clusterTopic, &topic) != nil || topic.Role != "owner" {
			continue
		}
		if owner != nil {
			return nil, nil, errors.New("two relays own the topic")
		}
		owner = r
		for _, other := range relays {
			if other.name == topic.Standby {
				standby = other
			}
		}
	}
	return owner, standby, nil
}
