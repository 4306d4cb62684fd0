package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"freshet/cluster"
	"freshet/cluster/agree"
	"freshet/cmd/freshet/config"
	"freshet/relay"
)

const defaultAdmin = "http://127.0.0.1:8081"

func init() {
	register(command{
		name:    "cluster",
		args:    "[topic NAME]",
		summary: "show a cluster, or how it stands with a topic",
		details: `Asks a relay's admin listener, which is at -admin, or FRESHET_ADMIN, or ` + defaultAdmin + `.

Without arguments: the members that the relay knows by gossip, and its links to them.
DELAY is there and back; QUIET is since something was last heard, which is never more than
a second for long; LAG is what the other has not taken yet, in bytes; UP is how long the
link has lasted. Members that were lost are shown for an hour.

With "topic NAME": who owns the topic and who stands by, which relay of each region the
others there follow, whether it has ended, what is kept, and where each epoch of its log
begins. Any relay can be asked, for it asks the owner.`,
		define: func(flags *flag.FlagSet) action {
			admin := flags.String("admin", "", "the `URL` of a relay's admin listener (or FRESHET_ADMIN; default "+defaultAdmin+")")
			asJSON := flags.Bool("json", false, "print what the relay answers")
			return func(ctx context.Context, t *terminal, args []string) error {
				a := &adminClient{base: strings.TrimRight(cmp.Or(*admin, t.variable("FRESHET_ADMIN"), defaultAdmin), "/")}
				if u, err := url.Parse(a.base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
					return &usageError{text: fmt.Sprintf("-admin %q is not a URL of the form http://HOST:PORT", a.base)}
				}
				if *asJSON {
					a.raw = t.stdout
				}
				switch {
				case len(args) == 0:
					var s cluster.Status
					if err := a.get(ctx, "/cluster", &s); err != nil || a.raw != nil {
						return err
					}
					return writeCluster(t.stdout, s, time.Now())
				case args[0] == "topic":
					topic, rest, err := topicArgument(args[1:])
					if err != nil {
						return err
					}
					if err := noArguments(rest); err != nil {
						return err
					}
					var s cluster.TopicStatus
					if err := a.get(ctx, "/cluster/topics/"+topic, &s); err != nil || a.raw != nil {
						return err
					}
					return writeTopic(t.stdout, s)
				}
				return &usageError{text: fmt.Sprintf("takes nothing, or topic NAME, not %q", args[0])}
			}
		},
	})
}

// adminClient asks a relay's admin listener.
type adminClient struct {
	base   string
	raw    io.Writer    // answers are copied here instead of read; nil: read
	client *http.Client // nil: the default one
}

const mostAnswer = 16 << 20 // bytes of an answer: a thousand members are a few hundred KiB

func (a *adminClient) get(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 2*adminPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := cmp.Or(a.client, http.DefaultClient).Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return fmt.Errorf("no relay answers at %s: %w; its admin listener is chosen with -admin URL", a.base, err)
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, mostAnswer)
	if resp.StatusCode != http.StatusOK {
		var problem relay.Problem
		if err := json.NewDecoder(body).Decode(&problem); err != nil || problem.Detail == "" {
			return fmt.Errorf("%s%s answers %s: is that a relay's admin listener?", a.base, path, resp.Status)
		}
		return errors.New(problem.Detail)
	}
	if a.raw != nil {
		_, err := io.Copy(a.raw, body)
		return err
	}
	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return fmt.Errorf("%s%s: %w", a.base, path, err)
	}
	return nil
}

// writeCluster prints the members as a table, and what the relay is to its topics below.
func writeCluster(w io.Writer, s cluster.Status, now time.Time) error {
	var table bytes.Buffer
	rows := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "NAME\tREGION\tROLE\tSTATE\tGOSSIP\tLINK\tDELAY\tQUIET\tLAG\tUP")
	for _, m := range s.Members {
		link := "none\t\t\t\t"
		switch {
		case m.Name == s.Name:
			link = "(this)\t\t\t\t"
		case m.Since != nil:
			link = fmt.Sprintf("none, lost %v ago\t\t\t\t", now.Sub(*m.Since).Round(time.Second))
		case m.Link != nil:
			link = fmt.Sprintf("%s\t%v\t%v\t%v\t%v", m.Links, seconds(m.Link.Delay, 10*time.Microsecond),
				seconds(m.Link.Quiet, 10*time.Millisecond), config.Bytes(m.Link.Pending), now.Sub(m.Link.Since).Round(time.Second))
		}
		fmt.Fprintf(rows, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, cmp.Or(m.Region, "-"), m.Role, m.State, m.Gossip, link)
	}
	rows.Flush() // into memory
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	at := s.Name
	if s.Cluster != "" {
		at += " of " + s.Cluster
	}
	c := s.Topics
	_, err := fmt.Fprintf(w, "\n%s has %s: owns %d, stands by for %d\n", at, count(c.Topics, "topic"), c.Owned, c.Standby)
	if err == nil && c.Alone+c.Unsafe > 0 {
		_, err = fmt.Fprintf(w, "of those it owns, kept nowhere else, for nobody else may own them: %d; waiting for a standby: %d\n", c.Alone, c.Unsafe)
	}
	if err == nil && s.Change != nil {
		_, err = fmt.Fprintf(w, "%v ago it %s\n", now.Sub(s.Change.Time).Round(time.Second), changeText(*s.Change))
	}
	return err
}

// changeText says what happened when topics came to the relay or went.
func changeText(c cluster.ChangeStatus) string {
	topics := count(c.Topics, "topic")
	switch c.Reason {
	case "takeover":
		return "took over " + topics + " from " + c.Peer + ", which was gone"
	case "move":
		return "was given " + topics + " by " + c.Peer
	case "moved":
		return "gave " + topics + " to " + c.Peer
	}
	return "yielded " + topics + " to " + c.Peer
}

func seconds(s float64, to time.Duration) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(to)
}

// positionOrNone is the position, unless it is that of no event.
func positionOrNone(position string) string {
	if position == (agree.Position{}).String() {
		return "none"
	}
	return position
}

// count is a number of things, in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// writeTopic prints what a relay knows of a topic, a line a fact.
func writeTopic(w io.Writer, s cluster.TopicStatus) error {
	rows := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fact := func(name, format string, args ...any) { fmt.Fprintf(rows, name+"\t"+format+"\n", args...) }
	fact("topic", "%s", s.Topic)
	if s.OwnerLost {
		fact("owner", "none: %s was, and is lost", s.Owner)
	} else {
		fact("owner", "%s", cmp.Or(s.Owner, "not known here"))
	}
	switch {
	case s.Alone:
		fact("standby", "none: nobody else may own it")
	case s.Standby != "":
		fact("standby", "%s", s.Standby)
	default:
		fact("standby", "none yet, or not known")
	}
	fact("this relay", "%s", s.Role)
	if s.Parent != "" {
		fact("follows", "%s", s.Parent)
	}
	for _, p := range s.Parents {
		fact("regional parent", "%s (%s)", p.Relay, cmp.Or(p.Region, "no region"))
	}
	if len(s.Followers) > 0 {
		fact("followed by", "%s", strings.Join(s.Followers, ", "))
	}
	if s.Ended {
		fact("ended", "yes: subscribers are told to stop, publishers are refused")
	}
	fact("oldest kept", "%s", positionOrNone(s.Oldest))
	fact("newest", "%s", positionOrNone(s.Head))
	if s.OwnerHead != "" && s.OwnerHead != s.Head {
		fact("newest at the owner", "%s", s.OwnerHead)
	}
	if s.Tail > 0 {
		fact("not committed yet", "%d", s.Tail)
	}
	if s.Merging > 0 {
		fact("waiting for a merge", "%d", s.Merging)
	}
	lineage := make([]string, len(s.Lineage))
	for i, span := range s.Lineage {
		lineage[i] = span.First
	}
	fact("lineage", "%s", cmp.Or(strings.Join(lineage, " > "), "none"))
	return rows.Flush()
}
