package cluster

import (
	"bytes"
	"log/slog"
	"testing"
)

func TestGossipLog(t *testing.T) {
	for line, want := range map[string]string{
		"[ERR] memberlist: Failed to send gossip to 10.0.0.1: no route\n": "level=WARN msg=gossip message=\"Failed to send gossip to 10.0.0.1: no route\"\n",
		"[WARN] memberlist: Refuting a suspect message (from: r2)\n":      "level=INFO msg=gossip message=\"Refuting a suspect message (from: r2)\"\n",
		"[INFO] memberlist: Marking r3 as failed\n":                       "level=DEBUG msg=gossip message=\"Marking r3 as failed\"\n",
		"[DEBUG] memberlist: Stream connection\n":                         "level=DEBUG msg=gossip message=\"Stream connection\"\n",
		"something else\n": "level=DEBUG msg=gossip message=\"something else\"\n",
	} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		if n, err := (&gossipLog{log}).Write([]byte(line)); n != len(line) || err != nil || out.String() != want {
			t.Errorf("%q became %q, want %q (%d, %v)", line, out.String(), want, n, err)
		}
	}
}
