//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// ServePlainHTTP3 is the server that freshet's HTTP/3 is compared with: what one would write with net/http3, a
// goroutine and a channel for each subscriber. It prints where it serves HTTP/3 and where it is published to, and
// serves until in ends.
func ServePlainHTTP3(in io.Reader, out io.Writer) error {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer packets.Close()
	publishing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	certificate, err := throwaway()
	if err != nil {
		return err
	}
	hub := &plainHub{topics: make(map[string]map[chan []byte]struct{})}
	streams := &http3.Server{
		Handler:    http.HandlerFunc(hub.subscribe),
		TLSConfig:  &tls.Config{Certificates: []tls.Certificate{certificate}},
		QUICConfig: &quic.Config{MaxIncomingStreams: 1000, Allow0RTT: true},
	}
	publishes := &http.Server{Handler: http.HandlerFunc(hub.publish)}
	go streams.Serve(packets)
	go publishes.Serve(publishing)
	fmt.Fprintln(out, packets.LocalAddr(), publishing.Addr())
	_, err = io.Copy(io.Discard, in)
	publishes.Close()
	streams.Close()
	return err
}

// A plainHub has the subscribers of each topic, by path.
type plainHub struct {
	mu     sync.Mutex // guards topics
	topics map[string]map[chan []byte]struct{}
}

func (h *plainHub) subscribe(w http.ResponseWriter, r *http.Request) {
	events := make(chan []byte, 16)
	h.mu.Lock()
	if h.topics[r.URL.Path] == nil {
		h.topics[r.URL.Path] = make(map[chan []byte]struct{})
	}
	h.topics[r.URL.Path][events] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.topics[r.URL.Path], events)
		h.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	block := []byte("event: freshet.open\ndata:\n\n")
	for {
		if _, err := w.Write(block); err != nil || control.Flush() != nil {
			return
		}
		select {
		case block = <-events:
		case <-r.Context().Done():
			return
		}
	}
}

// publish takes events from the body, block by block, for as long as it lasts.
func (h *plainHub) publish(w http.ResponseWriter, r *http.Request) {
	blocks := bufio.NewScanner(r.Body)
	blocks.Split(splitBlocks)
	for blocks.Scan() {
		block := append([]byte(nil), blocks.Bytes()...)
		h.mu.Lock()
		for events := range h.topics[r.URL.Path] {
			select {
			case events <- block:
			default: // it is lost, which the load finds
			}
		}
		h.mu.Unlock()
	}
	w.WriteHeader(http.StatusCreated)
}

// splitBlocks is a bufio.SplitFunc for blocks with the blank line that ends them.
func splitBlocks(p []byte, _ bool) (advance int, block []byte, err error) {
	end := bytes.Index(p, blockEnd)
	if end < 0 {
		return 0, nil, nil
	}
	end += len(blockEnd)
	return end, p[:end], nil
}

// throwaway makes a certificate that nobody need trust.
func throwaway() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
