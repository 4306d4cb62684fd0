package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
)

// client is a program or a library that people follow topics with, as it is published.
type client struct {
	name    string
	program []string // interpreter and file in testdata/clients; or follow
	// follow writes TYPE, a tab and the data as a line for each event, until ctx ends.
	follow func(ctx context.Context, url string, out *transcript) error
	// tears: it takes what a cut left of an event for an event, so it is cut between
	// events only.
	tears bool
}

var clients = []client{
	{name: "eventsource", program: []string{"node", "eventsource.mjs"}},
	{name: "eventsource-client", program: []string{"node", "eventsource-client.mjs"}},
	{name: "fetch-event-source", program: []string{"node", "fetch-event-source.mjs"}},
	{name: "undici", program: []string{"node", "undici.mjs"}},
	{name: "http.client", program: []string{"python3", "follow.py"}},
	{name: "curl", program: []string{"bash", "follow.sh"}},
	{name: "go-sse", follow: followGoSSE},
	{name: "launchdarkly", follow: followLaunchDarkly},
	{name: "r3labs", follow: followR3Labs, tears: true},
	{name: "tail", follow: followTail},
}

// TestClients has each client follow a topic, cuts it off several times while events are
// published, and wants every event once and in order.
func TestClients(t *testing.T) {
	relay, err := startProgram(t.Context(), nil, "", "run", "-plain", "127.0.0.1:0", "-admin", "off",
		"-set", "retry=50ms", "-set", "drain=100ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.stop() })
	if relay.url("plain") == "" {
		t.Fatalf("the relay is not ready: %q\n%s", relay.ready, relay.output)
	}
	// The outer test must outlast its parallel parts, or the relay would be stopped first.
	t.Run("all", func(t *testing.T) {
		for _, c := range clients {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if c.program != nil {
					if missing := missingFor(c.program[0]); missing != "" {
						t.Skipf("%s is not here: make test installs it", missing)
					}
					c.follow = c.run
				}
				testClient(t, c, relay.url("plain"))
			})
		}
	})
}

func testClient(t *testing.T, c client, relay string) {
	topic := "clients/" + c.name
	between := newCutter(t, relay)
	seen := newTranscript()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- c.follow(ctx, between.url()+"/events/"+topic+"?from=oldest", seen) }()
	defer func() {
		cancel()
		<-over
	}()

	published := 0
	publish := func(n int) {
		for range n {
			published++
			kind := "?event=goal"
			if published%3 == 0 {
				kind = ""
			}
			data := fmt.Sprintf("%d of a match with a – long enough – score", published)
			response, err := http.Post(relay+"/events/"+topic+kind, "text/plain", strings.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusCreated {
				t.Fatalf("publishing %d: %s", published, response.Status)
			}
		}
	}
	caughtUp := func() {
		t.Helper()
		if err := seen.await(fmt.Sprintf(`(?m)^(goal|message)\t%d of`, published), 30*time.Second); err != nil {
			select {
			case end := <-over:
				over <- end
				t.Fatalf("the client ended: %v\n%v", end, err)
			default:
				t.Fatal(err)
			}
		}
	}

	publish(5) // before anybody is there
	caughtUp()
	publish(5) // live
	caughtUp()
	between.cut()
	publish(5) // while it is away
	caughtUp()
	wantCuts := 2
	if !c.tears {
		wantCuts += 3
		// In the middle of what comes next: of an opening block, a replay, an event.
		random := rand.New(rand.NewPCG(1, uint64(len(c.name))))
		for range 3 {
			between.cutAfter(1 + random.IntN(900))
			publish(12)
			caughtUp()
		}
	}
	between.cut()
	publish(3)
	caughtUp()
	if cuts := between.count(); cuts < wantCuts {
		t.Errorf("%d cuts happened, not %d", cuts, wantCuts)
	}

	var want, got []string
	for i := range published {
		kind := "goal"
		if (i+1)%3 == 0 {
			kind = "message"
		}
		want = append(want, fmt.Sprintf("%s\t%d of a match with a – long enough – score", kind, i+1))
	}
	for line := range strings.Lines(seen.String()) {
		if !strings.HasPrefix(line, "freshet.") { // for pages that listen to all types
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events lost, doubled or out of order (-published +seen):\n%s", diff)
	}
}

// missingFor is what an interpreter needs and this machine has not.
func missingFor(interpreter string) string {
	if _, err := exec.LookPath(interpreter); err != nil {
		return interpreter
	}
	modules := filepath.Join("testdata", "clients", "node_modules")
	if _, err := os.Stat(modules); err != nil && interpreter == "node" {
		return modules
	}
	return ""
}

// run follows with the client's program.
func (c client) run(ctx context.Context, url string, out *transcript) error {
	cmd := exec.CommandContext(ctx, c.program[0], c.program[1], url)
	cmd.Dir = filepath.Join("testdata", "clients")
	complaints := newTranscript()
	cmd.Stdout, cmd.Stderr = out, complaints
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, complaints)
	}
	return nil
}

func writeEvent(out *transcript, kind, data string) {
	if kind == "" {
		kind = "message"
	}
	fmt.Fprintf(out, "%s\t%s\n", kind, data)
}

// followGoSSE uses github.com/tmaxmax/go-sse. It comes back by itself.
func followGoSSE(ctx context.Context, url string, out *transcript) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	c := &gosse.Client{Backoff: gosse.Backoff{InitialInterval: 50 * time.Millisecond}}
	connection := c.NewConnection(request)
	connection.SubscribeToAll(func(e gosse.Event) { writeEvent(out, e.Type, e.Data) })
	return connection.Connect()
}

// followLaunchDarkly uses github.com/launchdarkly/eventsource. It comes back by itself.
func followLaunchDarkly(ctx context.Context, url string, out *transcript) error {
	stream, err := launchdarkly.SubscribeWithURL(url,
		launchdarkly.StreamOptionInitialRetry(50*time.Millisecond),
		launchdarkly.StreamOptionErrorHandler(func(error) launchdarkly.StreamErrorHandlerResult {
			return launchdarkly.StreamErrorHandlerResult{}
		}))
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		select {
		case e := <-stream.Events:
			writeEvent(out, e.Event(), e.Data())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// followR3Labs uses github.com/r3labs/sse. It takes the end of a stream for the end of
// everything, so it is asked again; it keeps its last id.
func followR3Labs(ctx context.Context, url string, out *transcript) error {
	c := r3labs.NewClient(url)
	for ctx.Err() == nil {
		err := c.SubscribeRawWithContext(ctx, func(e *r3labs.Event) { writeEvent(out, string(e.Event), string(e.Data)) })
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return ctx.Err()
}

// followTail uses this program's own command, and leaves out the ids that it prints first.
func followTail(ctx context.Context, url string, out *transcript) error {
	base, topic, _ := strings.Cut(strings.TrimSuffix(url, "?from=oldest"), "/events/")
	cmd := exec.CommandContext(ctx, "freshet", "tail", "-url", base, "-from", "oldest", topic)
	lines, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		_, event, _ := strings.Cut(scanner.Text(), "\t")
		fmt.Fprintln(out, event)
	}
	return cmd.Wait()
}
