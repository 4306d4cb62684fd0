package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
)

// gossipLog passes memberlist's lines on to slog, a level below what they claim: that a relay is suspected is a warning
// to memberlist, and an every-day thing to an operator who is told of members that come and go.
type gossipLog struct{ to *slog.Logger }

func (g *gossipLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	level := slog.LevelDebug
	for _, l := range [...]struct {
		tag string
		at  slog.Level
	}{{"[ERR] ", slog.LevelWarn}, {"[WARN] ", slog.LevelInfo}, {"[INFO] ", slog.LevelDebug}, {"[DEBUG] ", slog.LevelDebug}} {
		if rest, found := strings.CutPrefix(text, l.tag); found {
			text, level = rest, l.at
			break
		}
	}
	g.to.Log(context.Background(), level, "gossip", "message", strings.TrimPrefix(text, "memberlist: "))
	return len(line), nil
}
