package origin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"freshet/origin"
	"freshet/origin/sse"
)

// relay stands for a relay in the examples.
func relay(answer string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "text/event-stream" {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintln(w, answer)
			return
		}
		http.NewResponseController(w).EnableFullDuplex()
		r.Body.Read(nil)
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		n := 0
		for range sse.NewReader(r.Body).All() {
			n++
			fmt.Fprintf(w, "{\"count\":%d,\"id\":\"1-%d\"}\n", n, n)
			http.NewResponseController(w).Flush()
		}
	}))
}

func ExamplePublisher() {
	server := relay(`{"topic":"scores/match-42","id":"1-7","count":1}`)
	defer server.Close()

	publisher := &origin.Publisher{Relays: []string{server.URL}, Token: "secret"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	id, err := publisher.Publish(ctx, "scores/match-42", origin.Event{Type: "goal", Data: []byte(`{"score":"1:0"}`)})
	switch {
	case errors.Is(err, origin.ErrUnavailable):
		fmt.Println("try again later:", err)
	case err != nil:
		fmt.Println("this will never do:", err)
	default:
		fmt.Println("published as", id)
	}
	// Output: published as 1-7
}

func ExamplePublisher_Stream() {
	server := relay("")
	defer server.Close()

	publisher := &origin.Publisher{Relays: []string{server.URL}}
	ctx := context.Background()
	stream := publisher.Stream("tickers/ACME")
	for price := 100; price < 105; price++ {
		if _, err := stream.Send(ctx, origin.Event{Data: fmt.Append(nil, price)}); err != nil {
			fmt.Println(err)
			return
		}
	}
	err := stream.Close(ctx) // all are committed now
	fmt.Println(stream.Acked(), err)
	// Output: 5 <nil>
}

func ExampleFeed() {
	feed := &origin.Feed{Events: 1000}
	mux := http.NewServeMux()
	mux.Handle("GET /feed", feed)
	server := httptest.NewServer(mux)
	defer server.Close()
	defer feed.Close()

	feed.Append("scores/match-42", origin.Event{ID: "g1", Type: "goal", Data: []byte("1:0")})
	feed.Append("scores/match-42", origin.Event{ID: "g2", Type: "goal", Data: []byte("2:0")})

	request, _ := http.NewRequest("GET", server.URL+"/feed", nil)
	request.Header.Set("Last-Event-ID", "g1")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	for event, err := range sse.NewReader(response.Body).All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %s %q\n", event.ID, event.Type, event.Data)
		if event.ID == "g2" {
			break
		}
	}
	// Output:
	// g1 freshet.open ""
	// g2 goal "2:0"
}

// printer is a Sink.
type printer struct{ done context.CancelFunc }

func (p printer) Append(ctx context.Context, topic string, e sse.Event) (string, error) {
	fmt.Printf("%s: %s\n", topic, e.Data)
	if e.ID == "2" {
		p.done()
	}
	return e.ID, nil
}

func (p printer) Gap(ctx context.Context, topic, lastEventID, oldestID string) error {
	fmt.Printf("%s: events are missing\n", topic)
	return nil
}

func (p printer) End(ctx context.Context, topic string) error { return nil }

func ExampleSource() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Header.Get("Last-Event-ID") == "" {
			fmt.Fprint(w, "retry: 1\nid: 1\ndata: kick-off\n\nid: 2\ndata: torn") // and the connection ends
			return
		}
		fmt.Fprint(w, "id: 1\ndata: kick-off\n\nid: 2\ndata: goal\n\n")
	}))
	defer server.Close()

	ctx, cancel := context.WithCancel(context.Background())
	source := &origin.Source{URLs: []string{server.URL}, Topic: "match", Sink: printer{cancel}}
	if err := source.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// match: kick-off
	// match: goal
}
