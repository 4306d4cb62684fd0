package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"freshet/origin/sse"
)

func init() {
	register(command{
		name:    "tail",
		args:    "TOPIC",
		summary: "follow a topic",
		details: `Prints each event on a line: its id, its type and its data, separated by tabs, with
further lines of data indented below. When the connection is lost it comes back as a
browser does, with the last id it saw, and misses nothing that the relay still has; where
something is missing, it says so on standard error. It ends when the topic does.`,
		define: defineTail,
	})
}

func defineTail(flags *flag.FlagSet) action {
	dial := defineDial(flags)
	from := flags.String("from", "", "where to begin: `live` (the default), oldest, -N for the last N, or a time like 2026-11-21T15:00:00Z")
	after := flags.String("after", "", "begin after the event with this `ID`")
	count := flags.Int("n", 0, "stop after `N` events")
	asJSON := flags.Bool("json", false, "print each event as a line of JSON")
	idle := flags.Duration("idle", time.Minute, "cut a connection that is silent for so long")
	return func(ctx context.Context, t *terminal, args []string) error {
		topic, rest, err := topicArgument(args)
		if err == nil {
			err = noArguments(rest)
		}
		if err != nil {
			return err
		}
		relays, err := dial.relays(t)
		if err != nil {
			return err
		}
		if len(relays) > 1 {
			return &usageError{text: "follows one relay: give -url once"}
		}
		if *count < 0 || *idle <= 0 {
			return &usageError{text: "-n and -idle must not be negative, and -idle not zero"}
		}
		client, err := dial.client()
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()

		follow := newSubscription(client, relays[0]+"/events/"+topic)
		follow.from, follow.lastID, follow.idle = *from, *after, *idle
		printer := &eventPrinter{out: bufio.NewWriter(t.stdout), json: *asJSON, left: *count}
		follow.event = func(e sse.Event) error {
			if e.Type == sse.TypeGap {
				t.say("freshet: %s", gapText(e.Data))
			}
			return printer.print(e)
		}
		follow.lost = func(err error, wait time.Duration) {
			t.say("freshet: %v; again in %v", err, wait.Round(10*time.Millisecond))
		}
		switch err := follow.run(ctx); {
		case errors.Is(err, errEnded):
			t.say("freshet: %v", err)
			return nil
		case errors.Is(err, errEnough) || ctx.Err() != nil:
			return nil
		default:
			return err
		}
	}
}

// errEnough says that as many events were printed as were asked for.
var errEnough = errors.New("enough")

// eventPrinter writes events to standard output.
type eventPrinter struct {
	out  *bufio.Writer
	json bool
	left int // events to print yet; 0 at the start: no bound
}

// print writes one event, unless it is a control event.
func (p *eventPrinter) print(e sse.Event) error {
	if e.Control() {
		return nil
	}
	if p.json {
		encoder := json.NewEncoder(p.out) // one line each
		encoder.SetEscapeHTML(false)
		encoder.Encode(struct {
			ID   string `json:"id"`
			Type string `json:"event"`
			Key  string `json:"key,omitempty"`
			Data string `json:"data"`
		}{e.ID, typeName(e), e.Key, string(e.Data)}) // its errors come back from Flush
	} else {
		writeText(p.out, e)
	}
	if err := p.out.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if p.left > 0 {
		if p.left--; p.left == 0 {
			return errEnough
		}
	}
	return nil
}

// writeText writes the event for people and for cut(1).
func writeText(w io.Writer, e sse.Event) {
	data := strings.ReplaceAll(string(e.Data), "\n", "\n\t\t")
	fmt.Fprintf(w, "%s\t%s\t%s\n", e.ID, typeName(e), data)
}

// typeName is the type as a page sees it.
func typeName(e sse.Event) string {
	if e.Type == "" {
		return "message"
	}
	return e.Type
}

// gapText says in words what a gap event does.
func gapText(data []byte) string {
	var gap struct {
		LastEventID string `json:"last_event_id"`
		OldestID    string `json:"oldest_id"`
		Reason      string `json:"reason"`
	}
	if json.Unmarshal(data, &gap) != nil || gap.Reason == "" {
		return "gap: events are missing here"
	}
	text := "gap (" + gap.Reason + "): events are missing"
	if gap.LastEventID != "" {
		text += " after " + gap.LastEventID
	}
	if gap.OldestID != "" {
		text += ", going on from " + gap.OldestID
	}
	return text
}
