package relay

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestContract plays the requests of each file in testdata/contract against a
// relay of its own, over each protocol, and compares the answers to the letter.
//
// A file's comment sets the configuration, a line each. Its parts are requests,
// and beside each the answer. A request may say "blocks: 3" among its headers:
// its stream is read so far, and then cut. In answers, N stands for a retry and
// EPOCH for the relay's epoch.
func TestContract(t *testing.T) {
	files, err := filepath.Glob("testdata/contract/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range []string{"http1", "h2c", "h2", "h3"} {
				t.Run(name, func(t *testing.T) {
					r := serveRelay(t, contractConfig(t, archive.Comment))
					got := playContract(t, r, r.protocols(t)[i], archive)
					if *update && name == "http1" {
						archive = got
						if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
							t.Fatal(err)
						}
					}
					if diff := cmp.Diff(string(txtar.Format(archive)), string(txtar.Format(got))); diff != "" {
						t.Errorf("not as the contract says (-want +got):\n%s", diff)
					}
				})
			}
		})
	}
}

func contractConfig(t *testing.T, comment []byte) Config {
	c := Config{Origins: []string{"*"}}
	for line := range strings.Lines(string(comment)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		switch key {
		case "tokens":
			c.PublishTokens = strings.Fields(value)
		case "origins":
			c.Origins = strings.Fields(value)
		case "topics.events":
			c.Topics.Events, _ = strconv.Atoi(value)
		case "topics.bytes":
			c.Topics.Bytes, _ = strconv.Atoi(value)
		case "limits.event_bytes":
			c.Limits.EventBytes, _ = strconv.Atoi(value)
		case "limits.subscribers":
			c.Limits.Subscribers, _ = strconv.Atoi(value)
		case "limits.topics":
			c.Limits.Topics, _ = strconv.Atoi(value)
		}
	}
	return c
}

func playContract(t *testing.T, r *servedRelay, p protocol, script *txtar.Archive) *txtar.Archive {
	got := &txtar.Archive{Comment: script.Comment}
	epoch := strconv.FormatUint(r.topics.epoch(), 36)
	hide := strings.NewReplacer(epoch+"-", "EPOCH-")
	show := strings.NewReplacer("EPOCH-", epoch+"-")
	for _, part := range script.Files {
		if !strings.HasSuffix(part.Name, "request") {
			continue
		}
		got.Files = append(got.Files, part)
		answer := playRequest(t, p, show.Replace(string(part.Data)))
		answer = retryLine.ReplaceAllString(hide.Replace(answer), "${1}N")
		got.Files = append(got.Files, txtar.File{Name: strings.TrimSuffix(part.Name, "request") + "answer", Data: []byte(answer)})
	}
	return got
}

var retryLine = regexp.MustCompile(`(?m)^(retry: |Retry-After: )\d+`)

// playRequest sends one request of a script, and returns its answer as text.
func playRequest(t *testing.T, p protocol, text string) string {
	header, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSpace(header), "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	body = strings.TrimSuffix(body, "\n") // the script's own
	req, err := http.NewRequest(method, p.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.ParseRequestURI(target)
	if err != nil {
		at = &url.URL{}
		at.Path, at.RawQuery, _ = strings.Cut(target, "?") // as bad as it is
	}
	at.Scheme, at.Host = req.URL.Scheme, req.URL.Host
	req.URL = at
	blocks := 0
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "blocks":
			blocks, _ = strconv.Atoi(value)
		case "Host":
			req.Host = value
		default:
			req.Header.Add(name, value)
		}
	}
	res, err := p.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()

	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %s\n", res.StatusCode, http.StatusText(res.StatusCode))
	// How a body is framed is the protocol's business, and the date the clock's.
	for _, name := range []string{"Date", "Content-Length", "Transfer-Encoding", "Connection", "Alt-Svc"} {
		res.Header.Del(name)
	}
	for _, name := range slices.Sorted(mapKeys(res.Header)) {
		for _, value := range res.Header[name] {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	b.WriteByte('\n')
	if blocks > 0 {
		b.Write(readBlocks(t, res.Body, blocks))
	} else if _, err := io.Copy(&b, res.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func mapKeys(h http.Header) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if !yield(name) {
				return
			}
		}
	}
}

// readBlocks reads n blocks of an event stream, each with its blank line.
func readBlocks(t *testing.T, stream io.ReadCloser, n int) []byte {
	late := time.AfterFunc(10*time.Second, func() { stream.Close() })
	defer late.Stop()
	var b bytes.Buffer
	for lines := bufio.NewReader(stream); n > 0; {
		line, err := lines.ReadBytes('\n')
		b.Write(line)
		if err != nil {
			t.Fatalf("the stream ends after\n%s: %v", b.String(), err)
		}
		if len(line) == 1 {
			n--
		}
	}
	return b.Bytes()
}
