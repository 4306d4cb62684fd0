package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// gossipLog passes memberlist's lines on to slog, a level below what they claim: that a relay is suspected is a warning
// to memberlist, and an every-day thing to an operator who is told of members that come and go. What it says of relays
// with another key or label, each time that they knock, becomes a line that says so, one a minute for each host.
type gossipLog struct {
	to    *slog.Logger
	ended atomic.Bool // this relay goes: what memberlist still says is about its own closed sockets

	mu   sync.Mutex // guards told
	told seldom
}

// everyDay begins lines about what happens whenever a relay dies, or comes back: it is asked in vain; it refutes what is said
// of its former self, and others refuse its new address until that one is dead to them. Node logs that it was lost or moved.
var everyDay = [...]string{
	"Push/Pull with", "Failed fallback TCP ping", "Refuting a dead message", "Refuting an alive message", "Conflicting address",
}

// foreign is what memberlist says of a relay whose packets it cannot take, by what that relay has of its own.
var foreign = [...]struct{ says, has string }{
	{"no installed keys could decrypt", "a relay has another cluster.key"},
	{"encryption is configured but remote state is not encrypted", "a relay has another cluster.key"},
	{"remote state is encrypted and encryption is not configured", "a relay has another cluster.key"},
	{"Decrypt packet failed", "a relay has another cluster.key"},
	{"unacceptable label", "a relay has another cluster.label"},
}

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
	text = strings.TrimPrefix(text, "memberlist: ")
	for _, begin := range everyDay {
		if strings.HasPrefix(text, begin) {
			level = slog.LevelDebug
		}
	}
	if g.ended.Load() {
		level = slog.LevelDebug
	}
	if level > slog.LevelDebug {
		for _, f := range foreign {
			if strings.Contains(text, f.says) {
				level = slog.LevelDebug
				g.refused(f.has, host(text))
				break
			}
		}
	}
	g.to.Log(context.Background(), level, "gossip", "message", text)
	return len(line), nil
}

// refused warns of a host's relay that is of another cluster, or should be of this one.
func (g *gossipLog) refused(has, host string) {
	g.mu.Lock()
	tell := g.told.may(time.Now(), has+" "+host)
	g.mu.Unlock()
	if tell {
		g.to.Warn(has, "host", host)
	}
}

// host is whom a line of memberlist's is about: it ends with the address.
func host(line string) string {
	_, from, _ := strings.Cut(line, "from=")
	if host, _, err := net.SplitHostPort(from); err == nil {
		return host
	}
	return from
}

// seldom says what may be logged again: nothing more often than once a minute.
type seldom map[string]time.Time

const (
	again      = time.Minute
	mostSeldom = 256 // things that are remembered; who causes more of them has found another way to be noticed
)

func (s *seldom) may(now time.Time, what string) bool {
	if last, told := (*s)[what]; told && now.Sub(last) < again {
		return false
	}
	if *s == nil {
		*s = seldom{}
	}
	if len(*s) >= mostSeldom {
		for k, last := range *s {
			if now.Sub(last) >= again {
				delete(*s, k)
			}
		}
		if len(*s) >= mostSeldom {
			return false
		}
	}
	(*s)[what] = now
	return true
}
