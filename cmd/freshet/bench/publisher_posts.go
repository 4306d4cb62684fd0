//go:build linux

package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// mostBodies is up to how many topics each have a body that stays open: a relay takes only so many at once
// (limits.publishes).
const mostBodies = 500

// A poster publishes to many topics, with a request for each burst. A topic's requests go one after the other.
type poster struct {
	topics  []string
	work    []chan post // a topic's are all in one
	posting sync.WaitGroup
}

type post struct {
	topic string
	body  []byte
}

const (
	posters  = 16
	postRoom = 256 // requests that may wait in each, so that a slow answer does not hold up the schedule
)

func newPoster(ctx context.Context, client *http.Client, url, token string, topics []string, failed func(error)) *poster {
	p := &poster{topics: topics}
	for range posters {
		work := make(chan post, postRoom)
		p.work = append(p.work, work)
		p.posting.Go(func() {
			for todo := range work {
				if err := todo.do(ctx, client, url, token); err != nil {
					failed(err)
				}
			}
		})
	}
	return p
}

// send publishes what is in body, which is copied.
func (p *poster) send(topic int, body []byte) {
	p.work[topic%len(p.work)] <- post{p.topics[topic], bytes.Clone(body)}
}

// close waits for what was sent.
func (p *poster) close() {
	for _, work := range p.work {
		close(work)
	}
	p.posting.Wait()
}

func (p post) do(ctx context.Context, client *http.Client, url, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/events/"+p.topic, bytes.NewReader(p.body))
	if err != nil {
		return fmt.Errorf("-publish-url: %w", err)
	}
	request.Header.Set("Content-Type", "text/event-stream")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the relay refused to be published to: %s: %s", answer.Status, text)
	}
	return nil
}
