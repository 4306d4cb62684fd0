package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"freshet/origin"
	"freshet/origin/sse"
)

// mostEvent bounds what is read as one event; the relay has a bound of its own.
const mostEvent = 64 << 20

func init() {
	register(command{
		name:    "publish",
		args:    "TOPIC [DATA]",
		summary: "publish events to a topic",
		details: `Publishes DATA as one event, or, without it, each line of standard input, or with -sse the
events of standard input. Prints the id of each event once it is committed: kept by two
relays where there are two. Of events that come fast many are committed at a time, and the
id is that of the last of them.

What goes wrong on the way is tried again, at the next relay where -url is repeated, and
nothing is published twice.`,
		define: definePublish,
	})
}

// publication is what the flags of one publish command ask for.
type publication struct {
	dial     *dialFlags
	token    string
	event    sse.Event // the fields that each event gets
	sse      bool
	patience time.Duration
}

func definePublish(flags *flag.FlagSet) action {
	p := &publication{dial: defineDial(flags)}
	flags.StringVar(&p.token, "token", "", "send this bearer `TOKEN` (or FRESHET_TOKEN)")
	flags.StringVar(&p.event.Type, "event", "", "the events' `TYPE`")
	flags.StringVar(&p.event.Key, "key", "", "the events' `KEY`")
	flags.StringVar(&p.event.ID, "id", "", "the event's `ID`; repeated, it is the same event")
	flags.BoolVar(&p.sse, "sse", false, "read standard input as Server-Sent Events, with their ids, types and keys")
	flags.DurationVar(&p.patience, "patience", 30*time.Second, "give up when nothing could be committed for so long")
	return p.run
}

func (p *publication) run(ctx context.Context, t *terminal, args []string) error {
	topic, data, err := topicArgument(args)
	switch {
	case err != nil:
		return err
	case len(data) > 1:
		return &usageError{text: fmt.Sprintf("takes one DATA; put quotes around it, or publish %q by itself", data[1])}
	case p.sse && (len(data) > 0 || p.event.ID != "" || p.event.Type != "" || p.event.Key != ""):
		return &usageError{text: "-sse reads everything from standard input, without DATA, -id, -event and -key"}
	case len(data) == 0 && p.event.ID != "":
		return &usageError{text: "-id is for one event: give its DATA"}
	case p.patience <= 0:
		return &usageError{text: "-patience must be more than 0"}
	}
	relays, err := p.dial.relays(t)
	if err != nil {
		return err
	}
	client, err := p.dial.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	publisher := &origin.Publisher{Relays: relays, Client: client, Token: cmp.Or(p.token, t.variable("FRESHET_TOKEN"))}

	if len(data) == 1 {
		ctx, cancel := context.WithTimeoutCause(ctx, p.patience, p.tired())
		defer cancel()
		p.event.Data = []byte(data[0])
		id, err := publisher.Publish(ctx, topic, p.event)
		if err == nil {
			fmt.Fprintln(t.stdout, id)
		}
		return err
	}
	if t.asksPerson {
		t.say("freshet: type events, one a line; Ctrl-D ends")
	}
	return p.stream(ctx, t, publisher.Stream(topic))
}

// stream publishes what standard input holds.
func (p *publication) stream(ctx context.Context, t *terminal, stream *origin.Stream) error {
	stream.Acknowledged = func(_ uint64, id string) { fmt.Fprintln(t.stdout, id) }
	shown := &progress{terminal: t, start: time.Now()}
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()

	// Reading cannot be interrupted: when the command is stopped, this goroutine is left
	// behind in its Read, and ends with the process.
	input := make(chan inputEvent)
	go p.read(ctx, t.stdin, input)

	var failed error
	for open := true; open && failed == nil; {
		select {
		case in, more := <-input:
			if open = more; !more {
				break
			}
			if failed = in.err; failed == nil {
				failed = p.send(ctx, stream, in.event)
				shown.sent++
			}
		case <-ticker.C:
			shown.draw(stream.Acked())
		case <-ctx.Done():
			failed = context.Cause(ctx)
		}
	}
	// What was read is brought home, whatever else went wrong.
	err := p.settle(stream, shown)
	shown.finish(stream.Acked())
	if failed == nil {
		return err
	}
	return fmt.Errorf("%w (%d events were committed)", failed, stream.Acked())
}

// send puts one event into the stream, and waits for room there as long as patience lasts.
func (p *publication) send(ctx context.Context, stream *origin.Stream, e sse.Event) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.patience, p.tired())
	defer cancel()
	_, err := stream.Send(ctx, e)
	return err
}

// tired is why the command gives up.
func (p *publication) tired() error {
	return fmt.Errorf("nothing could be committed for %v", p.patience)
}

// settle waits until everything is committed, or nothing more was for as long as patience lasts.
func (p *publication) settle(stream *origin.Stream, shown *progress) error {
	acked, since := stream.Acked(), time.Now()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), progressInterval)
		err := stream.Flush(ctx)
		slow := ctx.Err() != nil
		cancel()
		now := stream.Acked()
		if now > acked {
			acked, since = now, time.Now()
		}
		if err == nil || !slow || time.Since(since) > p.patience {
			break
		}
		shown.draw(now)
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), progressInterval, p.tired())
	defer cancel()
	return stream.Close(ctx)
}

// inputEvent is one event of standard input, or why there are no more.
type inputEvent struct {
	event sse.Event
	err   error
}

// read sends what standard input holds, until its end or that of ctx, and closes input.
func (p *publication) read(ctx context.Context, from io.Reader, input chan<- inputEvent) {
	defer close(input)
	next := p.lines(from)
	if p.sse {
		next = events(from)
	}
	for {
		e, err := next()
		if errors.Is(err, io.EOF) {
			return
		}
		select {
		case input <- inputEvent{e, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// lines returns the events of a text, one a line.
func (p *publication) lines(from io.Reader) func() (sse.Event, error) {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, mostEvent)
	number := 0
	return func() (sse.Event, error) {
		number++
		if !scanner.Scan() {
			switch err := scanner.Err(); {
			case err == nil:
				return sse.Event{}, io.EOF
			case errors.Is(err, bufio.ErrTooLong):
				return sse.Event{}, fmt.Errorf("standard input: line %d is longer than %d bytes", number, mostEvent)
			default:
				return sse.Event{}, fmt.Errorf("standard input: %w", err)
			}
		}
		e := p.event
		e.Data = append([]byte{}, scanner.Bytes()...)
		return e, nil
	}
}

// events returns the events of an SSE stream, without those that a relay put in.
func events(from io.Reader) func() (sse.Event, error) {
	reader := sse.NewReader(from)
	reader.MaxEvent = mostEvent
	return func() (sse.Event, error) {
		for {
			var e sse.Event
			switch err := reader.Read(&e); {
			case errors.Is(err, io.EOF):
				return e, io.EOF
			case errors.Is(err, io.ErrUnexpectedEOF):
				return e, errors.New("standard input ended within an event, which was not published")
			case err != nil:
				return e, fmt.Errorf("standard input: %w", err)
			}
			if !e.Control() {
				return e.Clone(), nil
			}
		}
	}
}
