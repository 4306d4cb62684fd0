package relay

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"freshet/origin/sse"
)

// Fifty topics on one connection, over a network that loses 2 % of the packets each way, delays them by 50 to 60 ms
// and lets them overtake one another: by HTTP/2 what is lost holds up every topic until it was sent again, by HTTP/3
// only its own. Both carry the same events at the same time, and neither loses, doubles or reorders one.
func TestHTTP3BeatsHTTP2WherePacketsAreLost(t *testing.T) {
	t.Parallel()
	const topics, every = 50, 3 * time.Millisecond // between two events, of one topic after the other
	events := 60                                   // of each topic
	if testing.Short() {
		events = 10
	}
	link := newLossyLink(t, 0.02, 50*time.Millisecond, 10*time.Millisecond)
	var public net.Listener
	var udp, local net.PacketConn
	err := link.near.in(func() (err error) {
		if public, err = net.Listen("tcp4", "10.77.0.1:443"); err == nil {
			udp, err = net.ListenPacket("udp4", "10.77.0.1:443")
		}
		return err
	})
	if err == nil {
		err = link.far.in(func() (err error) {
			local, err = net.ListenPacket("udp4", "10.77.0.2:0")
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	r := serveRelay(t, Config{Public: public, HTTP3: udp, Limits: Limits{AddressShare: 1}})
	over := link.clients(t, r, local)

	sent := make([][]atomic.Int64, topics) // when, since began
	for topic := range sent {
		sent[topic] = make([]atomic.Int64, events)
	}
	began := time.Now()
	delays := make(map[string][]time.Duration)
	var mu sync.Mutex // guards delays
	var reading sync.WaitGroup
	for _, c := range over {
		follow := func(topic int) {
			s := c.subscribe(t, fmt.Sprintf("/events/t/%d", topic))
			reading.Go(func() {
				took := make([]time.Duration, events)
				for i := range took {
					var e sse.Event
					if err := s.events.Read(&e); err != nil || e.Type != "" || string(e.Data) != strconv.Itoa(i)+padding {
						t.Errorf("%s, topic %d: got event %q %q, %v; want %d", c.name, topic, e.Type, e.Data, err, i)
						return
					}
					took[i] = time.Since(began) - time.Duration(sent[topic][i].Load())
				}
				mu.Lock()
				defer mu.Unlock()
				delays[c.name] = append(delays[c.name], took...)
			})
		}
		follow(0) // by itself: together they would dial several connections
		var opening sync.WaitGroup
		for topic := 1; topic < topics; topic++ {
			opening.Go(func() { follow(topic) })
		}
		opening.Wait()
	}
	if t.Failed() {
		return
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for i := range events * topics {
		<-ticks.C
		topic := i % topics
		sent[topic][i/topics].Store(int64(time.Since(began)))
		mustPublish(t, r.Relay, fmt.Sprintf("t/%d", topic), sse.Event{Data: []byte(strconv.Itoa(i/topics) + padding)})
	}
	reading.Wait()
	if t.Failed() {
		return
	}
	for _, c := range over {
		slices.Sort(delays[c.name])
		if n := c.dials.Load(); n != 1 {
			t.Errorf("%s: %d connections, want all topics on one", c.name, n)
		}
		t.Logf("%s: %d events, p50 %v, p90 %v, p99 %v, worst %v", c.name, len(delays[c.name]), part(delays[c.name], 0.5),
			part(delays[c.name], 0.9), part(delays[c.name], 0.99), part(delays[c.name], 1))
	}
	t.Logf("%d of %d packets were lost", link.dropped.Load(), link.packets.Load())
	if link.dropped.Load() == 0 {
		t.Error("nothing was lost: this shows nothing")
	}
	if testing.Short() {
		return // too few for what follows
	}
	// What is lost itself takes about as long either way, and with 2 % lost the p99 is among that: there HTTP/3 is ahead
	// by what waits behind what was lost twice, mostly, and behind by no more than chance.
	for _, most := range []struct{ of, ratio float64 }{{0.5, 0.8}, {0.9, 0.6}, {0.99, 1.25}} {
		by2, by3 := part(delays["h2"], most.of), part(delays["h3"], most.of)
		if float64(by3) > most.ratio*float64(by2) {
			t.Errorf("p%v: %v by HTTP/3, more than %v of HTTP/2's %v", 100*most.of, by3, most.ratio, by2)
		}
	}
}

// padding makes events as long as they are in life.
var padding = " " + strings.Repeat("x", 100)

// part is the delay that this part of them does not exceed.
func part(sorted []time.Duration, of float64) time.Duration {
	return sorted[int(of*float64(len(sorted)-1))].Round(time.Millisecond)
}

// A lossyClient is at the far end of a lossy link.
type lossyClient struct {
	protocol
	dials *atomic.Int32
}

// clients returns one of HTTP/2 and one of HTTP/3.
func (l *lossyLink) clients(t *testing.T, r *servedRelay, local net.PacketConn) []lossyClient {
	url := "https://" + r.public
	secure := &tls.Config{RootCAs: r.roots, ServerName: "localhost"}
	by2 := lossyClient{dials: new(atomic.Int32)}
	byTCP := &http.Transport{TLSClientConfig: secure, Protocols: new(http.Protocols), DisableCompression: true,
		DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			by2.dials.Add(1)
			err = l.far.in(func() (err error) {
				c, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
			return c, err
		}}
	byTCP.Protocols.SetHTTP2(true)
	t.Cleanup(byTCP.CloseIdleConnections)
	by2.protocol = protocol{"h2", url, &http.Client{Transport: byTCP}}

	by3 := lossyClient{dials: new(atomic.Int32)}
	socket := &quic.Transport{Conn: local}
	byUDP := &http3.Transport{TLSClientConfig: secure, DisableCompression: true,
		Dial: func(ctx context.Context, address string, secure *tls.Config, config *quic.Config) (*quic.Conn, error) {
			by3.dials.Add(1)
			to, err := net.ResolveUDPAddr("udp4", address)
			if err != nil {
				return nil, err
			}
			return socket.DialEarly(ctx, to, secure, config)
		}}
	t.Cleanup(func() { byUDP.Close(); socket.Close(); local.Close() })
	by3.protocol = protocol{"h3", url, &http.Client{Transport: byUDP}}
	return []lossyClient{by2, by3}
}
