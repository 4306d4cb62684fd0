package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"freshet/cmd/freshet/demo"
)

var shots = flag.String("shots", "", "write screenshots of the demo's cluster to this `DIRECTORY`")

// clusterPage is what the page of a demo with several relays says of itself.
type clusterPage struct {
	Relays   []demo.Relay
	Takeover *struct {
		Killed, Owner string
		Waiting       bool
		At            float64  // 0: not yet
		Silence       *float64 // milliseconds
	}
	Text    string // what it says to the reader
	Streams []struct {
		Topic, State string
		Last         uint64
		Log          []uint64
	}
}

// waitPage reads the page until it is as wanted.
func waitPage(t *testing.T, ctx context.Context, what string, wanted func(clusterPage) bool) clusterPage {
	t.Helper()
	const read = `JSON.parse(JSON.stringify({
		Relays: freshetDemo.relays, Streams: freshetDemo.streams, Text: document.getElementById("takeover").innerText,
		Takeover: freshetDemo.takeover,
	}))`
	for patience := time.After(30 * time.Second); ; {
		p, err := chromedp.Run(ctx, chromedp.Evaluate[clusterPage](read))
		if err != nil {
			t.Fatal(err)
		}
		if wanted(p) {
			return p
		}
		select {
		case <-patience:
			t.Fatalf("waited in vain until %s: %+v, takeover %+v, %q", what, p.Relays, p.Takeover, p.Text)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p clusterPage) prices() uint64 {
	for _, s := range p.Streams {
		if s.Topic == demo.TopicPrices && len(s.Log) > 0 {
			return s.Last
		}
	}
	return 0
}

// allLive says that every relay is there, one owns the prices, another stands by, and one serves the page.
func (p clusterPage) allLive() bool {
	owns, standsBy, serves := 0, 0, 0
	for _, r := range p.Relays {
		if r.State != "live" {
			return false
		}
		if r.Serves {
			serves++
		}
		for range r.Owns {
			owns++
		}
		for range r.StandsBy {
			standsBy++
		}
	}
	return len(p.Relays) == 3 && owns == len(demo.Topics) && standsBy == len(demo.Topics) && serves == 1 && p.prices() > 0
}

func (p clusterPage) servedByOwner() bool {
	return slices.ContainsFunc(p.Relays, func(r demo.Relay) bool { return r.Serves && slices.Contains(r.Owns, demo.TopicPrices) })
}

// The button kills the relay that owns the prices; the ticker goes on, without an event lost, doubled or out of order. So
// it does a second time, when all are there again and the relay that is killed serves the page, too.
func TestDemoSurvivesItsOwner(t *testing.T) {
	ctx := openBrowser(t, chromedp.WindowSize(1280, 1500))
	url, _ := playDemo(t, "-relays", "3", "-plain", "127.0.0.1:0", "-set", "retry=300ms")
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url+"events/mine/first", "text/plain", strings.NewReader("hello")) // as one would with curl
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusCreated {
		t.Errorf("publish through the front: %s", resp.Status)
	}
	for round := range 2 {
		before := waitPage(t, ctx, "all relays are there", clusterPage.allLive)
		for tries := 0; round == 1 && !before.servedByOwner(); tries++ {
			if tries == 12 {
				t.Fatal("the front never hands a new page to the relay that owns the prices")
			}
			if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
				t.Fatal(err)
			}
			before = waitPage(t, ctx, "all relays are there", clusterPage.allLive)
		}
		picture(t, ctx, fmt.Sprint(round, "-before"))
		first := before.Takeover
		waitPage(t, ctx, "a relay is killed", func(p clusterPage) bool {
			again := first != nil && p.Takeover != nil && p.Takeover.At == first.At
			if (p.Takeover == nil || again) && p.allLive() { // refused, if it was clicked: the topic was about to move back
				if err := chromedp.Do(ctx, chromedp.Click("#kill")); err != nil {
					t.Fatal(err)
				}
			}
			return slices.ContainsFunc(p.Relays, func(r demo.Relay) bool { return r.State == "killed" })
		})
		picture(t, ctx, fmt.Sprint(round, "-killed"))
		p := waitPage(t, ctx, "another took over", func(p clusterPage) bool {
			return p.Takeover != nil && !p.Takeover.Waiting && strings.Contains(p.Text, "took over")
		})
		if p.Takeover.Owner == p.Takeover.Killed || p.Takeover.Owner == "" || !strings.Contains(p.Text, "Nothing missing, nothing doubled, all in order") {
			t.Errorf("%+v: %s", p.Takeover, p.Text)
		}
		t.Log(p.Text)
		picture(t, ctx, fmt.Sprint(round, "-after"))
		if round == 1 && *shots != "" {
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(390, 1500)); err != nil {
				t.Fatal(err)
			}
			picture(t, ctx, "phone")
		}
		p = waitPage(t, ctx, "the ticker goes on", func(now clusterPage) bool { return now.prices() > p.prices()+50 })
		for _, s := range p.Streams {
			for i := 1; i < len(s.Log); i++ {
				if s.Log[i] != s.Log[i-1]+1 {
					t.Errorf("%s: event %d came after event %d", s.Topic, s.Log[i], s.Log[i-1])
				}
			}
		}
		if p.prices() <= before.prices() {
			t.Errorf("no price came after %d", before.prices())
		}
	}
}

// picture writes what the browser shows, if asked for.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	if *shots == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*shots, "cluster-"+name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Behind the front everybody is on this machine; so it holds back who could not publish without it.
func TestFrontHoldsBackPublishers(t *testing.T) {
	for _, c := range []struct {
		method, from, authorization string
		want                        bool
	}{
		{"GET", "192.0.2.1:1", "", true},
		{"OPTIONS", "192.0.2.1:1", "", true},
		{"POST", "127.0.0.1:1", "", true},
		{"POST", "[::1]:1", "", true},
		{"POST", "[::ffff:127.0.0.1]:1", "", true},
		{"POST", "192.0.2.1:1", "", false},
		{"DELETE", "192.0.2.1:1", "", false},
		{"POST", "192.0.2.1:1", "Bearer token", true},
		{"POST", "nonsense", "", false},
	} {
		r := httptest.NewRequest(c.method, "/events/a", nil)
		r.RemoteAddr = c.from
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		if got := mayPass(r); got != c.want {
			t.Errorf("%s from %s with %q: %v", c.method, c.from, c.authorization, got)
		}
	}
}

// A request goes to the next relay when one does not answer, unless it would be made twice.
func TestFrontTurnsToAnother(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	asked := 0
	alive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++ }))
	defer alive.Close()
	f := newFront(&fleet{relays: []*fleetRelay{
		{name: "r1", state: "live", plain: dead.URL}, {name: "r2", state: "killed"}, {name: "r3", state: "live", plain: alive.URL},
	}}, nil, nil)
	for i := range 6 {
		r := httptest.NewRequest("GET", "http://relays/events/a?page=x", nil)
		resp, err := f.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if asked != i+1 || f.serving("x") != "r3" {
			t.Errorf("%d requests reached the relay that lives, which serves %q", asked, f.serving("x"))
		}
	}
	failed := 0
	for range 6 {
		r := httptest.NewRequest("POST", "http://relays/events/a", strings.NewReader("body"))
		if resp, err := f.RoundTrip(r); err != nil {
			failed++
		} else {
			resp.Body.Close()
		}
	}
	if failed == 0 || failed == 6 {
		t.Errorf("%d of 6 publishes failed: those that came to the dead relay first should", failed)
	}
	for i := range mostPages + 10 {
		f.note(fmt.Sprint(i), "r1")
	}
	if len(f.serve) != mostPages {
		t.Errorf("%d pages are remembered", len(f.serve))
	}
	if f.fleet.relays[2].plain = ""; f.serving("nobody") != "" {
		t.Error("a page that was never served is")
	}
}

func TestFleetNeedsAllToKillOne(t *testing.T) {
	f := &fleet{relays: []*fleetRelay{{name: "r1", state: "live"}, {name: "r2", state: "starting"}}}
	if name, err := f.Kill(demo.TopicPrices); err != demo.ErrNotNow {
		t.Errorf("killed %q, %v, while one is not there", name, err)
	}
	f.relays[1].state = "live"
	if name, err := f.Kill(demo.TopicPrices); err != demo.ErrNotNow {
		t.Errorf("killed %q, %v, and nobody owns it", name, err)
	}
}

func TestReadyURL(t *testing.T) {
	const line = "freshet is ready: plain http://127.0.0.1:1, admin http://127.0.0.1:2, member r1"
	for listener, want := range map[string]string{"plain": "http://127.0.0.1:1", "admin": "http://127.0.0.1:2", "member": "r1", "public": ""} {
		if got := readyURL(line, listener); got != want {
			t.Errorf("%s: %q, want %q", listener, got, want)
		}
	}
}

// However the demo ends, its relays do not outlive it.
func TestFleetEndsWithItsParent(t *testing.T) {
	p, err := startProgram(t.Context(), os.Environ(), t.TempDir(), "demo", "-relays", "2", "-plain", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	relay := p.url("plain")
	if resp, err := http.Get(relay + "/"); err != nil {
		t.Fatalf("%q: %v", p.ready, err)
	} else {
		resp.Body.Close()
	}
	p.command.Process.Kill()
	<-p.ended
	for patience := time.After(15 * time.Second); ; {
		resp, err := http.Get(relay + "/")
		if err != nil {
			return
		}
		resp.Body.Close()
		select {
		case <-patience:
			t.Fatal("a relay outlives the demo that was killed")
		case <-time.After(50 * time.Millisecond):
		}
	}
}
