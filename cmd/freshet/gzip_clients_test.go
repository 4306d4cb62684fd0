package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// gzipDecoders are programs that decode a compressed stream and print its text as it comes; "over" when it
// ended as it should.
var gzipDecoders = []struct {
	name    string
	program []string // and the URL
	over    bool     // it says so
}{
	{"curl", []string{"curl", "-sN", "--fail", "--compressed", "-H", "Accept: text/event-stream"}, false},
	{"python zlib", []string{"python3", filepath.Join("testdata", "gzip", "zlib.py")}, true},
	{"node zlib", []string{"node", filepath.Join("testdata", "gzip", "zlib.mjs")}, true},
	{"node fetch", []string{"node", filepath.Join("testdata", "gzip", "fetch.mjs")}, true},
}

// TestGzipArrivesEventByEvent publishes one event at a time and no next before every decoder has shown it. It begins
// out of step and ends long in step.
func TestGzipArrivesEventByEvent(t *testing.T) {
	relay := startForGzip(t)
	for _, d := range gzipDecoders {
		t.Run(d.name, func(t *testing.T) {
			if _, err := exec.LookPath(d.program[0]); err != nil {
				t.Skipf("%s is not here", d.program[0])
			}
			topic := "gzip/" + strings.ReplaceAll(d.name, " ", "-")
			seen, complaints := newTranscript(), newTranscript()
			cmd := exec.CommandContext(t.Context(), d.program[0], append(d.program[1:], relay.url("plain")+"/events/"+topic)...)
			cmd.Stdout, cmd.Stderr = seen, complaints
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			await := func(pattern string) {
				t.Helper()
				if err := seen.await(pattern, 20*time.Second); err != nil {
					t.Fatalf("%v\n%s", err, complaints)
				}
			}
			await("event: freshet.open\n(.*\n)*\n")
			for i := range 150 {
				publishForGzip(t, relay, topic, i)
				await(fmt.Sprintf(`(?m)^data: %d of a match.*\nid: .*\n\n`, i))
			}
			request, _ := http.NewRequest(http.MethodDelete, relay.url("plain")+"/events/"+topic, nil)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			await("event: freshet.end\n")
			if d.over {
				await("over\n")
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, complaints)
			}
		})
	}
	wantAllShared(t, relay)
}

// TestGzipInBrowsers does the same with Chromium's EventSource and the stream of its fetch.
func TestGzipInBrowsers(t *testing.T) {
	ctx := openBrowser(t)
	relay := startForGzip(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><title>streams</title>")
	}))
	t.Cleanup(page.Close)
	if err := chromedp.Do(ctx, chromedp.Navigate(page.URL)); err != nil {
		t.Fatal(err)
	}
	const topic = "gzip/chromium"
	script := fmt.Sprintf(`
		window.source = []; window.stream = ""; window.opened = 0;
		const url = %q;
		const events = new EventSource(url);
		events.onopen = () => { opened++ };
		events.onmessage = (event) => source.push(event.data);
		fetch(url, {headers: {Accept: "text/event-stream"}}).then(async (response) => {
			opened++;
			const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
			for (let part; !(part = await reader.read()).done;) stream += part.value;
		});
		0`, relay.url("plain")+"/events/"+topic)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[int](script)); err != nil {
		t.Fatal(err)
	}
	await := func(what string) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for {
			if ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](what)); err != nil {
				t.Fatal(err)
			} else if ok {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("waited in vain for %s", what)
			}
		}
	}
	await("opened == 2")
	for i := range 150 {
		publishForGzip(t, relay, topic, i)
		await(fmt.Sprintf(`source.length == %d && source[%d].startsWith("%d of") && stream.includes("\ndata: %d of") && stream.endsWith("\n\n")`, i+1, i, i, i))
	}
	wantAllShared(t, relay)
}

func startForGzip(t *testing.T) *program {
	t.Helper()
	relay, err := startProgram(t.Context(), nil, "", "run", "-plain", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-set", "drain=100ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.stop() })
	if relay.url("plain") == "" {
		t.Fatalf("the relay is not ready: %q\n%s", relay.ready, relay.output)
	}
	return relay
}

func publishForGzip(t *testing.T, relay *program, topic string, i int) {
	t.Helper()
	body := strings.NewReader(fmt.Sprintf("%d of a match with a – long enough – score, by %08x", i, i*2654435761))
	response, err := http.Post(relay.url("plain")+"/events/"+topic, "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("publishing %d: %s", i, response.Status)
	}
}

// wantAllShared asks the relay: all deliveries were compressed, and most in the shared form.
func wantAllShared(t *testing.T, relay *program) {
	t.Helper()
	response, err := http.Get(relay.url("admin") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	value := func(series string) int {
		m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\d+)$`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("no series %s", series)
		}
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	all := value("freshet_relay_deliveries_total")
	shared := value(`freshet_relay_gzip_deliveries_total{form="shared"}`)
	stored := value(`freshet_relay_gzip_deliveries_total{form="stored"}`)
	if all == 0 || shared+stored != all || shared < all/2 {
		t.Errorf("of %d deliveries %d were shared and %d stored", all, shared, stored)
	}
}
