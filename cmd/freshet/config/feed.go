package config

import (
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"freshet/origin/sse"
)

// parseFeeds reads feeds from one line: URL=TOPIC each, separated by blanks.
// TOPIC is a topic; or a prefix that ends in a slash, and each event names its
// topic below it. Where URL holds {topic} it is a template: for the topics below
// a prefix, or with "*" for all.
func parseFeeds(text string) ([]Feed, error) {
	var feeds []Feed
	for _, word := range strings.Fields(text) {
		feed := defaultFeed()
		cut := strings.LastIndexByte(word, '=') // a URL may hold more of them, a topic none
		if cut <= 0 || cut == len(word)-1 {
			return nil, fmt.Errorf("%q is not URL=TOPIC", word)
		}
		address, topic := word[:cut], word[cut+1:]
		isPrefix := strings.HasSuffix(topic, "/")
		switch isTemplate := strings.Contains(address, "{topic}"); {
		case isTemplate && topic == "*":
			feed.Template = address
		case isTemplate && isPrefix:
			feed.Template, feed.Prefix = address, topic
		case isTemplate:
			return nil, fmt.Errorf("%q: a URL with {topic} is for many topics: write URL=PREFIX/ or URL=*", word)
		case isPrefix:
			feed.URL, feed.Prefix = []string{address}, topic
		default:
			feed.URL, feed.Topic = []string{address}, topic
		}
		feeds = append(feeds, feed)
	}
	return feeds, nil
}

// checkFeed finds what is wrong with one feed.
func (l *loader) checkFeed(path string, f *Feed) {
	switch {
	case f.Template != "" && f.Topic != "":
		l.complain(path+".template", "goes without topic: the URL names it")
	case f.Template != "" && len(f.URL) > 0:
		l.complain(path+".template", "goes without url: it is the URL")
	case f.Template != "":
		if !strings.Contains(f.Template, "{topic}") {
			l.complain(path+".template", fmt.Sprintf("%q has no {topic} in it", f.Template))
		}
		l.checkURL(path+".template", strings.ReplaceAll(f.Template, "{topic}", "topic"))
	case len(f.URL) == 0:
		l.complain(path, "needs url, or template")
	case f.Topic != "" && f.Prefix != "":
		l.complain(path+".prefix", "goes without topic: either all events go to one topic, or each names its own")
	case f.Topic == "" && f.Prefix == "":
		l.complain(path, "needs topic, or prefix: where do its events go?")
	}
	for i, address := range f.URL {
		if strings.Contains(address, "{topic}") {
			l.complain(fmt.Sprintf("%s.url[%d]", path, i), "holds {topic}: call it template")
			continue
		}
		l.checkURL(fmt.Sprintf("%s.url[%d]", path, i), address)
	}
	if f.HTTP3 {
		for _, address := range append(slices.Clone(f.URL), f.Template) {
			if strings.HasPrefix(address, "http:") {
				l.complain(path+".http3", fmt.Sprintf("needs https, not %q", address))
			}
		}
	}
	if f.Topic != "" {
		l.checkTopic(path+".topic", f.Topic)
	}
	if f.Prefix != "" {
		if name, ok := strings.CutSuffix(f.Prefix, "/"); !ok {
			l.complain(path+".prefix", fmt.Sprintf("%q must end in a slash, or it would also let in %q", f.Prefix, f.Prefix+"x/y"))
		} else {
			l.checkTopic(path+".prefix", name)
		}
	}
	for name, value := range f.Headers {
		if textproto.TrimString(name) == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(value, "\r\n\x00") {
			l.complain(path+".headers."+name, "is not a header that can be sent")
		}
	}
	if f.Retry < 10*time.Millisecond || f.Retry > time.Hour {
		l.complain(path+".retry", fmt.Sprintf("%v is not between 10ms and 1h", f.Retry))
	}
	if f.Idle < time.Second || f.Idle > 24*time.Hour {
		l.complain(path+".idle_timeout", fmt.Sprintf("%v is not between 1s and 24h", f.Idle))
	}
	if f.MaxEvent < 64 || f.MaxEvent > 64<<20 {
		l.complain(path+".max_event", fmt.Sprintf("%v is not between 64 and 64MiB", f.MaxEvent))
	}
	if f.MaxPulls < 1 || f.MaxPulls > 1_000_000 {
		l.complain(path+".max_pulls", fmt.Sprintf("%d is not between 1 and 1000000", f.MaxPulls))
	}
	if f.MissFor < time.Millisecond || f.MissFor > time.Hour {
		l.complain(path+".miss_for", fmt.Sprintf("%v is not between 1ms and 1h", f.MissFor))
	}
	if f.MissRate < 1 || f.MissRate > 1_000_000 {
		l.complain(path+".miss_rate", fmt.Sprintf("%d is not between 1 and 1000000", f.MissRate))
	}
	if (f.Cert == "") != (f.Key == "") {
		l.complain(path, "cert and key go together")
	}
}

func (l *loader) checkURL(path, address string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		l.complain(path, fmt.Sprintf("%q is not a URL of the form http(s)://HOST/PATH", address))
	}
}

// checkTopic holds a topic to the rule that the relay holds it to.
func (l *loader) checkTopic(path, topic string) {
	if _, err := sse.ParseTopic(topic); err != nil {
		text := err.Error()
		if fault, ok := errors.AsType[*sse.FieldError](err); ok {
			text = fault.Reason
		}
		l.complain(path, fmt.Sprintf("%q %s", topic, text))
	}
}
