//go:build linux

package bench

import (
	"bufio"
	"fmt"
	"io"
	"testing"
	"time"
)

// The server that HTTP/3 is compared with does what the load asks of a relay: a comparison with one that loses
// events would say nothing.
func TestPlainHTTP3(t *testing.T) {
	in, end := io.Pipe()
	said, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- ServePlainHTTP3(in, out) }()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var public, publish string
	fmt.Sscan(line, &public, &publish)
	result, err := Load{URL: "https://" + public, PublishURL: "http://" + publish, Protocol: "h3", Insecure: true,
		Connections: 3, Streams: 4, Topics: 2, Rate: 100, Warmup: 10 * time.Millisecond, Duration: 200 * time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Delivered == 0 || result.Delivered != result.Expected {
		t.Errorf("%d of %d delivered", result.Delivered, result.Expected)
	}
	end.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
