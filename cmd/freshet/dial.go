package main

import (
	"cmp"
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"freshet/origin/sse"
)

const defaultURL = "http://127.0.0.1:8080"

// dialFlags say how a command reaches relays.
type dialFlags struct {
	urls     repeated
	ca       string
	insecure bool
	http3    bool
}

func defineDial(flags *flag.FlagSet) *dialFlags {
	d := &dialFlags{}
	flags.Var(&d.urls, "url", "the relay's `URL` (or FRESHET_URL; default "+defaultURL+"); repeat it for others to turn to")
	flags.StringVar(&d.ca, "ca", "", "trust the authorities in this PEM `FILE` too")
	flags.BoolVar(&d.insecure, "insecure", false, "take any certificate")
	flags.BoolVar(&d.http3, "h3", false, "speak HTTP/3; needs an https URL")
	return d
}

// relays are the URLs of the relays to talk to, without a path. There is at least one.
func (d *dialFlags) relays(t *terminal) ([]string, error) {
	urls := []string(d.urls)
	if len(urls) == 0 {
		urls = strings.Fields(cmp.Or(t.variable("FRESHET_URL"), defaultURL))
	}
	bases := make([]string, len(urls))
	for i, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, &usageError{text: fmt.Sprintf("-url %q is not a URL of the form http(s)://HOST:PORT", text)}
		}
		if d.http3 && u.Scheme != "https" {
			return nil, &usageError{text: fmt.Sprintf("-h3 needs an https URL, not %q", text)}
		}
		bases[i] = strings.TrimRight(text, "/")
	}
	return bases, nil
}

// client makes an HTTP client that trusts what the flags say.
func (d *dialFlags) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: d.insecure}
	transport.ForceAttemptHTTP2 = true // a TLS configuration of our own would turn it off
	transport.ResponseHeaderTimeout = time.Minute
	if d.ca != "" {
		roots, err := trusting("-ca", d.ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	if d.http3 {
		return overHTTP3(transport.TLSClientConfig), nil
	}
	return &http.Client{Transport: transport}, nil
}

// overHTTP3 makes an HTTP client that speaks HTTP/3 and nothing else. A server that does not answer for 25 seconds is
// gone: over UDP nobody tells when it died.
func overHTTP3(secure *tls.Config) *http.Client {
	return &http.Client{Transport: &http3.Transport{
		TLSClientConfig: secure,
		QUICConfig:      &quic.Config{MaxIdleTimeout: 20 * time.Second, KeepAlivePeriod: 5 * time.Second},
	}}
}

// topicArgument takes the topic from the front of args.
func topicArgument(args []string) (topic string, rest []string, err error) {
	if len(args) == 0 {
		return "", nil, &usageError{text: "needs a TOPIC"}
	}
	topic, err = sse.ParseTopic(args[0])
	if err != nil {
		return "", nil, &usageError{text: fmt.Sprintf("%q: %v", args[0], err)}
	}
	return topic, args[1:], nil
}
