package cluster

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGossipLog(t *testing.T) {
	for line, want := range map[string]string{
		"[ERR] memberlist: Failed to send gossip to 10.0.0.1: no route\n":   "level=WARN msg=gossip message=\"Failed to send gossip to 10.0.0.1: no route\"\n",
		"[WARN] memberlist: Refuting a suspect message (from: r2)\n":        "level=INFO msg=gossip message=\"Refuting a suspect message (from: r2)\"\n",
		"[INFO] memberlist: Marking r3 as failed\n":                         "level=DEBUG msg=gossip message=\"Marking r3 as failed\"\n",
		"[DEBUG] memberlist: Stream connection\n":                           "level=DEBUG msg=gossip message=\"Stream connection\"\n",
		"[WARN] memberlist: Refuting a dead message (from: r2)\n":           "level=DEBUG msg=gossip message=\"Refuting a dead message (from: r2)\"\n",
		"[ERR] memberlist: Conflicting address for r2. Mine: x Theirs: y\n": "level=DEBUG msg=gossip message=\"Conflicting address for r2. Mine: x Theirs: y\"\n",
		"something else\n": "level=DEBUG msg=gossip message=\"something else\"\n",
	} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		if n, err := (&gossipLog{to: log}).Write([]byte(line)); n != len(line) || err != nil || out.String() != want {
			t.Errorf("%q became %q, want %q (%d, %v)", line, out.String(), want, n, err)
		}
	}
}

// TestGossipLogOfStrangers: who knocks with another key or label is named once a minute, by host, whatever the port.
func TestGossipLogOfStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		g := &gossipLog{to: log.logger()}
		for i := range 90 {
			for _, line := range []string{
				"[ERR] memberlist: failed to receive: no installed keys could decrypt the message from=10.0.0.1:%d\n",
				"[ERR] memberlist: failed to receive: encryption is configured but remote state is not encrypted from=[2001:db8::1]:%d\n",
				"[ERR] memberlist: discarding stream with unacceptable label \"x\": from=10.0.0.1:%d\n",
			} {
				fmt.Fprintf(g, line, 40000+i)
			}
			time.Sleep(time.Second)
		}
		one := []string{
			`level=WARN msg="a relay has another cluster.key" host=10.0.0.1`,
			`level=WARN msg="a relay has another cluster.key" host=2001:db8::1`,
			`level=WARN msg="a relay has another cluster.label" host=10.0.0.1`,
		}
		if d := cmp.Diff(append(one, one...), log.lines("")); d != "" {
			t.Error(d)
		}
		for i := range 2 * mostSeldom {
			g.refused("x", fmt.Sprint(i))
		}
		if len(g.told) > mostSeldom {
			t.Errorf("%d hosts are remembered", len(g.told))
		}
		g.ended.Store(true)
		fmt.Fprint(g, "[ERR] memberlist: Failed to send UDP ping: use of closed network connection\n")
		log.want(t, "closed network", 0)
	})
}
