package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"freshet/origin"
)

// A page in Chromium follows a topic over HTTP/3, from the first packet where it is made to, and else
// once an answer over HTTP/2 has told it of HTTP/3. That it is HTTP/3 say both the browser and
// the relay.
func TestStoryBrowserHTTP3(t *testing.T) {
	for _, how := range []string{"at once", "by Alt-Svc"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			relay := startRelay(t, "-plain", "127.0.0.1:0", "-admin", "127.0.0.1:0")
			at, err := url.Parse(relay.url("public"))
			if err != nil {
				t.Fatal(err)
			}
			host := net.JoinHostPort("localhost", at.Port())
			forced := host
			if how == "by Alt-Svc" {
				forced = "localhost:1" // for this host Chromium takes a certificate that only the list below vouches for
			}
			ctx := openBrowser(t, chromedp.Flag("disable-quic", false), chromedp.Flag("enable-quic", true),
				chromedp.Flag("ignore-certificate-errors", false),
				chromedp.Flag("origin-to-force-quic-on", forced),
				chromedp.Flag("host-resolver-rules", "MAP localhost 127.0.0.1"),
				chromedp.Flag("ignore-certificate-errors-spki-list", pinOf(t, net.JoinHostPort("127.0.0.1", at.Port()))))
			within := func(what, expression string) {
				t.Helper()
				for patience := time.Now().Add(20 * time.Second); ; {
					ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
					if err != nil {
						t.Fatal(err)
					}
					if ok {
						return
					}
					if time.Now().After(patience) {
						t.Fatalf("waited in vain until %s", what)
					}
				}
			}
			page := "https://" + host + "/page"
			protocol := ""
			for tries := 0; protocol != "h3"; tries++ {
				if tries == 20 {
					t.Fatalf("the page comes over %q", protocol)
				}
				if err := chromedp.Do(ctx, chromedp.Navigate(page)); err != nil {
					t.Fatal(err)
				}
				if protocol, err = chromedp.Run(ctx, chromedp.Evaluate[string](`performance.getEntriesByType("navigation")[0].nextHopProtocol`)); err != nil {
					t.Fatal(err)
				}
				if tries == 0 && (protocol == "h3") != (how == "at once") {
					t.Fatalf("the first page comes over %q", protocol)
				}
			}

			publisher := newPublisher(t, relay.url("plain"))
			publish := func(i int) {
				t.Helper()
				if _, err := publisher.Publish(t.Context(), "a", origin.Event{Data: fmt.Append(nil, i)}); err != nil {
					t.Fatal(err)
				}
			}
			watch := `(from => {
				window.stream = new EventSource("/events/a" + from);
				stream.onmessage = e => { seen.push(e.data); window.last = e.lastEventId };
				return true;
			})`
			within("the stream is asked for", `window.seen = [], window.last = "", `+watch+`("")`)
			within("the stream is open", `stream.readyState == 1`)
			for i := range 5 {
				publish(i)
				within(fmt.Sprint("event ", i, " is there"), fmt.Sprintf(`seen.length == %d && seen[%d] == "%d"`, i+1, i, i))
			}
			if n := metricOf(t, relay.url("admin"), "freshet_relay_http3_subscribers"); n != "1" {
				t.Errorf("the relay has %s subscribers over HTTP/3, want 1", n)
			}
			within("the stream is cut", `stream.close(), true`)
			publish(5)
			publish(6)
			within("it is resumed", watch+`("?lastEventId=" + last)`)
			publish(7)
			within("nothing is missing or doubled", `seen.join() == "0,1,2,3,4,5,6,7"`)
		})
	}
}

// pinOf is the hash of the key that a relay's certificate is for.
func pinOf(t *testing.T, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sum := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// metricOf is the value of a metric without labels.
func metricOf(t *testing.T, admin, name string) string {
	t.Helper()
	response, err := http.Get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "no"
}
