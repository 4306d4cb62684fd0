package demo

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"freshet/relay"
)

var shots = flag.String("shots", "", "write screenshots of the page to this `DIRECTORY`")

// A pageState is window.freshetDemo as a test reads it.
type pageState struct {
	Plug        string        `json:"plug"`
	Verdict     *verdict      `json:"verdict"`
	Protocol    string        `json:"protocol"`
	Subscribers *int          `json:"subscribers"`
	Delay       *float64      `json:"delay"`
	Streams     []streamState `json:"streams"`
	Text        string        `json:"text"` // what the verdict says to the reader
}

type verdict struct {
	OK         bool    `json:"ok"`
	Cause      string  `json:"cause"`
	Replayed   int     `json:"replayed"`
	Missing    int     `json:"missing"`
	Doubled    int     `json:"doubled"`
	Disordered int     `json:"disordered"`
	Declared   int     `json:"declared"`
	Again      bool    `json:"again"`
	Away       float64 `json:"away"`
}

type streamState struct {
	Topic    string   `json:"topic"`
	State    string   `json:"state"`
	LastID   string   `json:"lastId"`
	First    uint64   `json:"first"`
	Last     uint64   `json:"last"`
	Replayed int      `json:"replayed"`
	Log      []uint64 `json:"log"` // every n, as it came
}

const readState = `JSON.parse(JSON.stringify({
	plug: freshetDemo.plug, verdict: freshetDemo.verdict, protocol: freshetDemo.protocol,
	subscribers: freshetDemo.subscribers, delay: freshetDemo.delay, streams: freshetDemo.streams,
	text: document.getElementById("verdict").innerText,
}))`

// A browser is one tab of a headless Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// openBrowser starts Chromium, or skips where there is none.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on this machine")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.WindowSize(1280, 900),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		chromedp.Cancel(ctx) // waits until Chromium is gone
		stop()
	})
	thrown := make(chan string, 64)
	err := chromedp.Listen(ctx, func(event any) {
		text := ""
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			text = (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error()
		case *log.EventEntryAdded:
			if strings.Contains(e.Entry.Text, "Content Security Policy") {
				text = e.Entry.Text
			}
		}
		if text == "" {
			return
		}
		select {
		case thrown <- text:
		default: // enough is known
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for len(thrown) > 0 {
			t.Errorf("the page complains: %s", <-thrown)
		}
	})
	return b
}

// in is the same browser for a subtest.
func (b *browser) in(t *testing.T) *browser { return &browser{t: t, ctx: b.ctx} }

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) state() pageState {
	b.t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[pageState](readState))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// wait reads the state until it is as wanted, and returns it.
func (b *browser) wait(what string, wanted func(pageState) bool) pageState {
	b.t.Helper()
	deadline := time.After(25 * time.Second)
	for {
		s := b.state()
		if wanted(s) {
			return s
		}
		select {
		case <-deadline:
			b.t.Fatalf("waited in vain until %s: plug %s, verdict %+v, %q", what, s.Plug, s.Verdict, s.Text)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// shoot writes pictures of the page, if asked for: light and dark, on a
// desk and on a phone.
func (b *browser) shoot(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	b.picture(name + "-desk-light")
	b.view(1280, 1440, "dark")
	b.picture(name + "-desk-dark")
	b.view(390, 1500, "dark")
	b.picture(name + "-phone-dark")
	b.view(390, 1500, "light")
	b.picture(name + "-phone-light")
	b.view(1280, 1440, "light")
}

func (b *browser) picture(name string) {
	b.t.Helper()
	b.do(chromedp.Sleep(700 * time.Millisecond)) // for the transitions' sake
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// view sets the window and the colour scheme.
func (b *browser) view(width, height int64, scheme string) {
	b.t.Helper()
	b.do(
		chromedp.EmulateViewport(width, height),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return err
		}),
	)
}

// servePuppet serves the page beside the puppet, until the test ends.
func servePuppet(t *testing.T, p *puppetRelay, pace float64) (base string) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	base = "http://" + l.Addr().String()
	origin := &Origin{Relay: base, Seed: 11, Pace: pace, Log: slog.New(slog.DiscardHandler)}
	pages := (&Page{Origin: origin, Subscribers: p.Streams}).Handler()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/events/") {
			p.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})}
	background(t, "the server", func(ctx context.Context) error {
		context.AfterFunc(ctx, func() { server.Close() })
		if err := server.Serve(l); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	background(t, "the origin", origin.Run)
	return base
}

// serveRelay serves the page beside a real relay, until the test ends: over
// HTTP/1.1 at plain, over HTTP/2 at secure.
func serveRelay(t *testing.T, pace float64) (plain, secure string, origin *Origin) {
	t.Helper()
	withCertificate := httptest.NewTLSServer(nil)
	certificates := withCertificate.TLS.Certificates
	withCertificate.Close()

	open, sealed := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	plain, secure = "http://"+open.Addr().String(), "https://"+sealed.Addr().String()
	origin = &Origin{Relay: plain, Seed: 12, Pace: pace, Log: slog.New(slog.DiscardHandler)}
	r, err := relay.New(relay.Config{
		Plain: open, Public: sealed, TLS: &tls.Config{Certificates: certificates},
		Pages: (&Page{Origin: origin}).Handler(), Drain: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	background(t, "the relay", r.Run)
	background(t, "the origin", origin.Run)
	return plain, secure, origin
}

// startPlain starts a relay, an origin and the page at an address, and returns
// what stops them.
func startPlain(t *testing.T, address string, seed uint64) (base string, stop func()) {
	t.Helper()
	l := listen(t, address)
	base = "http://" + l.Addr().String()
	origin := &Origin{Relay: base, Seed: seed, Pace: 8, Log: slog.New(slog.DiscardHandler)}
	r, err := relay.New(relay.Config{Plain: l, Pages: (&Page{Origin: origin}).Handler(), Drain: time.Second, Retry: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	stopRelay := background(t, "the relay", r.Run)
	stopOrigin := background(t, "the origin", origin.Run)
	return base, func() { stopOrigin(); stopRelay() }
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// background runs something until it is stopped or the test ends, and waits for it.
func background(t *testing.T, what string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// wantUnbroken checks what the page received without asking the page's opinion.
func wantUnbroken(t *testing.T, s pageState) {
	t.Helper()
	for _, stream := range s.Streams {
		if err := unbroken(stream.Log); err != nil {
			t.Errorf("%s: %v", stream.Topic, err)
		}
		if len(stream.Log) == 0 {
			t.Errorf("%s: nothing came", stream.Topic)
		}
	}
}

func unbroken(log []uint64) error {
	for i := 1; i < len(log); i++ {
		if log[i] != log[i-1]+1 {
			return fmt.Errorf("event %d came after event %d", log[i], log[i-1])
		}
	}
	return nil
}
