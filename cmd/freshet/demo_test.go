package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// playDemo runs the demo command until the test ends, and returns the page's URL.
func playDemo(t *testing.T, args ...string) (url, said string) {
	t.Helper()
	out, stdout := io.Pipe()
	var stderr strings.Builder // read after the command is over, or before it says its URL
	ctx, stop := context.WithCancel(t.Context())
	status := make(chan int, 1)
	go func() {
		defer stdout.Close()
		term := &terminal{stdout: stdout, stderr: &stderr}
		status <- term.execute(ctx, append([]string{"demo", "-pace", "10", "-set", "log.level=error"}, args...))
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found, ok := strings.CutPrefix(lines.Text(), "the demo plays at "); ok {
			url = found
			break
		}
	}
	stopped := false
	end := func() int {
		stopped = true
		stop()
		go io.Copy(io.Discard, out)
		return <-status
	}
	if url == "" {
		end()
		t.Fatalf("the demo says no URL: %s", stderr.String())
	}
	said = stderr.String()
	t.Cleanup(func() {
		if !stopped {
			if code := end(); code != 0 {
				t.Errorf("the demo ends with %d: %s", code, stderr.String())
			}
		}
	})
	return url, said
}

type demoAnswer struct {
	Subscribers int
	Topics      []struct{ Sent uint64 }
}

func demoStatus(t *testing.T, client *http.Client, url string) (answer demoAnswer) {
	t.Helper()
	resp, err := client.Get(url + "demo/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Topics) == 0 {
		t.Fatalf("the status: %+v, %v", answer, err)
	}
	return answer
}

// demoSent asks the demo how many events it has published, until there are some.
func demoSent(t *testing.T, client *http.Client, url string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); demoStatus(t, client, url).Topics[0].Sent == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing is published")
		}
	}
}

func TestDemoPlays(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	url, said := playDemo(t, "-plain", taken.Addr().String(), "-admin", "off")
	if !strings.Contains(said, "is in use") || strings.Contains(url, taken.Addr().String()) {
		t.Errorf("with %s in use the demo is at %s and says %q", taken.Addr(), url, said)
	}
	demoSent(t, http.DefaultClient, url)

	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || !strings.Contains(string(page), "Pull the plug") {
		t.Errorf("the page: %s\n%.200s", resp.Status, page)
	}

	resp, err = http.Get(url + "events/demo/scores?from=-1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := bufio.NewScanner(resp.Body)
	for deadline := time.Now().Add(5 * time.Second); demoStatus(t, http.DefaultClient, url).Subscribers != 1; {
		if time.Now().After(deadline) {
			t.Fatal("one stream is open, and the page is not told of it")
		}
	}
	stamped := regexp.MustCompile(`^data: \{"n":\d+,"sent":[\d.]+,"run":"\w+","match":`)
	for stream.Scan() {
		if stamped.MatchString(stream.Text()) {
			return
		}
	}
	t.Errorf("no event of a match on the stream: %v", stream.Err())
}

func TestDemoPublishesOverTLSWhenThereIsNothingElse(t *testing.T) {
	url, _ := playDemo(t, "-self-signed", "-public", "127.0.0.1:0", "-plain", "off", "-admin", "off")
	if !strings.HasPrefix(url, "https://") {
		t.Errorf("the page is at %s", url)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	demoSent(t, &http.Client{Transport: transport}, url)
}

func TestDemoSelfSignedNeedsNoAddress(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"-self-signed"}, demoPublic},
		{[]string{"-self-signed", "-public", ":9443"}, ":9443"},
		{[]string{"-self-signed", "-set", "listen.public=:9444"}, ":9444"},
	} {
		flags := flag.NewFlagSet("demo", flag.ContinueOnError)
		d := &demonstration{settings: defineSettings(flags)}
		if err := flags.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		conf, err := d.load(&terminal{})
		if err != nil || conf.Listen.Public != c.want {
			t.Errorf("%q: %+v, %v, want the public address %q", c.args, conf, err, c.want)
		}
	}
}

func TestDemoUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-pace", "0"}, "-pace 0 is not between"},
		{[]string{"-pace", "NaN"}, "-pace NaN is not between"},
		{[]string{"now"}, `not "now"`},
		{[]string{"-seed", "-1"}, "-seed"},
		{[]string{"-relays", "3", "-admin", "127.0.0.1:9999"}, "-admin has no effect"},
		{[]string{"-relays", "2", "-set", "cluster.name=a"}, "-set cluster.name has no effect"},
	} {
		var stdout, stderr strings.Builder
		if code := (&terminal{stdout: &stdout, stderr: &stderr}).execute(t.Context(), append([]string{"demo"}, c.args...)); code != 2 || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%q: status %d, %q", c.args, code, stderr.String())
		}
	}
}

func TestFreeAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for address, want := range map[string]string{
		"":                      "",
		"127.0.0.1:0":           "127.0.0.1:0",
		taken.Addr().String():   "127.0.0.1:0",
		"no address":            "no address",
		"192.0.2.1:http-of-old": "192.0.2.1:http-of-old",
	} {
		if got := freeAddress(address); got != want {
			t.Errorf("freeAddress(%q) = %q, want %q", address, got, want)
		}
	}
}

// The relay and the origin end together, whichever is first.
func TestPlayBeside(t *testing.T) {
	untilDone := func(ctx context.Context) error { <-ctx.Done(); return nil }
	broken := errors.New("broken")
	fails := func(context.Context) error { return broken }
	if err := playBeside(t.Context(), untilDone, fails); !errors.Is(err, broken) || !strings.Contains(err.Error(), "demo origin") {
		t.Errorf("when the origin fails: %v", err)
	}
	if err := playBeside(t.Context(), fails, untilDone); !errors.Is(err, broken) {
		t.Errorf("when the relay fails: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := playBeside(ctx, untilDone, untilDone); err != nil {
		t.Errorf("when both are stopped: %v", err)
	}
}
