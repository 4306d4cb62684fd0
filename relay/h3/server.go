package h3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"freshet/relay/netloop"
)

// A Server serves HTTP/3. Its fields must not change once Serve, NewFanout or Run was called.
type Server struct {
	// Handler answers every request, in a goroutine of its own. It must not be nil.
	Handler http.Handler
	// TLS has the certificates; the server sets NextProtos on a copy. It must not be nil.
	TLS *tls.Config
	// Secret makes what outlives the process: stateless resets (RFC 9000 10.3), by which clients of
	// a process that died learn of it from its successor, and address tokens (8.1.3). At
	// least 32 bytes, the same for all that serve one address; none = random, so a
	// client of a dead process waits for its idle timeout.
	Secret []byte
	// Loops is the number of loops; 0 = one for each processor that Go uses.
	Loops int

	// Limits.

	// Connections is how many may be open at once, handshakes included; 0 = 65,536.
	Connections int
	// AddressShare is what part of Connections one address (IPv6: one /64) may hold, above 0 and
	// up to 1; 0 = 0.75.
	AddressShare float64
	// Places are what connections take, so that the limits can be shared with TCP: they, and not
	// Connections and AddressShare, bound them. An address is counted from when a finished
	// handshake has proved it. nil = places of its own.
	Places *netloop.Places
	// Handshakes is how many may be in progress at once; 0 = 512. From a quarter of it on a client
	// must prove its address before it costs anything (stateless retry, RFC 9000 8.1.2).
	Handshakes int
	// Streams is how many a connection may have open at once; 0 = 1,000.
	Streams int
	// Requests is how many may be in their handlers at once; 0 = 16,384. More are answered 503.
	Requests int
	// Departures is how many streams a connection may end early, at once; each second gives it a
	// tenth of them back. Beyond, the connection is closed (as with HTTP/2's rapid
	// reset); 0 = Streams.
	Departures int
	// HeaderBytes bounds a request's header fields; 0 = 16 KiB. Larger ones are answered 431.
	HeaderBytes int
	// BodyBytes is how much of a request's body is taken before its handler has read it; 0 = 128
	// KiB. A connection may have four times that.
	BodyBytes int
	// UnsentBytes is how much of a subscriber's stream may wait inside quic-go to be packed; 0 =
	// 16 KiB.
	UnsentBytes int

	// Times.

	Heartbeat time.Duration // silence after which a Body is asked for a heartbeat; 0 = 15 s, < 0 = never
	Stall     time.Duration // a stream that takes no byte for this long is closed; 0 = 30 s
	Idle      time.Duration // a connection without a request, or without any packet, for this long is closed; 0 = 30 s
	Handshake time.Duration // a handshake may be silent for this long, and take twice as long; 0 = 5 s
	Drain     time.Duration // how long Run waits for streams to end when its context does; 0 = 30 s

	Log *slog.Logger // nil = discard

	setupOnce sync.Once
	start     time.Time
	log       *slog.Logger
	loops     []*loop
	http3     *http3.Server
	admission admission
	stats     counters

	writers sync.WaitGroup // goroutines of streams that are apart
	serving sync.WaitGroup // goroutines of connections

	// mu serialises Serve with the start and the end of Run.
	mu         sync.Mutex
	transports []*transport
	running    bool
	leaving    bool
	told       sync.WaitGroup     // http3's Shutdown, begun by Leave
	toldOver   context.CancelFunc // ends it
	accepting  sync.WaitGroup
	acceptCtx  context.Context // ended when the sockets are closed
	stopAccept context.CancelFunc
	failed     chan error
}

// transport is one UDP socket.
type transport struct {
	packets  net.PacketConn
	quic     *quic.Transport
	listener *quic.EarlyListener
}

// setup fills in the defaults and makes the loops, which do not run yet.
func (s *Server) setup() {
	s.setupOnce.Do(func() {
		s.Loops = orDefault(s.Loops, runtime.GOMAXPROCS(0))
		s.Connections = orDefault(s.Connections, 65536)
		s.AddressShare = orDefault(s.AddressShare, 0.75)
		s.Handshakes = orDefault(s.Handshakes, 512)
		s.Streams = orDefault(s.Streams, 1000)
		s.Requests = orDefault(s.Requests, 16384)
		s.Departures = orDefault(s.Departures, s.Streams)
		s.HeaderBytes = orDefault(s.HeaderBytes, 16<<10)
		s.BodyBytes = orDefault(s.BodyBytes, 128<<10)
		s.UnsentBytes = orDefault(s.UnsentBytes, 16<<10)
		s.Heartbeat = orDefault(s.Heartbeat, 15*time.Second)
		s.Stall = orDefault(s.Stall, 30*time.Second)
		s.Idle = orDefault(s.Idle, 30*time.Second)
		s.Handshake = orDefault(s.Handshake, 5*time.Second)
		s.Drain = orDefault(s.Drain, 30*time.Second)
		s.log = orDefault(s.Log, slog.New(slog.DiscardHandler))

		s.start = time.Now()
		s.failed = make(chan error, 1)
		s.acceptCtx, s.stopAccept = context.WithCancel(context.Background())
		if s.Places == nil {
			s.Places = netloop.NewPlaces(s.Connections, s.AddressShare)
		}
		s.admission.init(s)
		for i := range s.Loops {
			s.loops = append(s.loops, newLoop(s, i))
		}
		s.http3 = &http3.Server{
			Handler:        http.HandlerFunc(s.serveHTTP),
			MaxHeaderBytes: s.HeaderBytes,
			ConnContext:    enterHTTP,
			Logger:         slog.New(slog.DiscardHandler), // of each request and each peer's going
		}
	})
}

func orDefault[T comparable](v, unset T) T {
	var zero T
	if v == zero {
		return unset
	}
	return v
}

// Serve adds a socket; Run receives from it and closes it.
func (s *Server) Serve(packets net.PacketConn) error {
	s.setup()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return errors.Join(ErrShutdown, packets.Close())
	}
	s.adviseBuffers(packets)
	t := &transport{packets: packets, quic: &quic.Transport{
		Conn:                concurrent(packets),
		VerifySourceAddress: func(net.Addr) bool { return s.admission.doubtful() },
		ConnContext:         s.admission.arrive,
	}}
	if err := s.deriveKeys(t.quic); err != nil {
		return errors.Join(err, packets.Close())
	}
	var err error
	if t.listener, err = t.quic.ListenEarly(http3.ConfigureTLSConfig(s.TLS), s.quicConfig()); err != nil {
		return errors.Join(fmt.Errorf("listen for QUIC on %s: %w", packets.LocalAddr(), err), packets.Close())
	}
	s.transports = append(s.transports, t)
	if s.running {
		s.accept(t)
	}
	return nil
}

// uniStreams are those a peer may open: one for control and two for QPACK (RFC 9114 6.2), and
// some that mean nothing, by which clients try whether servers mind (7.2.8).
const uniStreams = 8

func (s *Server) quicConfig() *quic.Config {
	stream, conn := uint64(s.BodyBytes), uint64(4*s.BodyBytes)
	return &quic.Config{
		HandshakeIdleTimeout: s.Handshake,
		MaxIdleTimeout:       s.Idle,
		// Heartbeats keep a connection open by themselves. This is for a peer that asks for an idle
		// timeout shorter than the heartbeat: quic-go takes half of what was agreed.
		// Connections where nothing is subscribed are closed by sweep.
		KeepAlivePeriod:                s.Idle / 2,
		InitialStreamReceiveWindow:     min(stream, 32<<10),
		MaxStreamReceiveWindow:         stream,
		InitialConnectionReceiveWindow: min(conn, 64<<10),
		MaxConnectionReceiveWindow:     conn,
		MaxIncomingStreams:             int64(s.Streams),
		MaxIncomingUniStreams:          uniStreams,
		Allow0RTT:                      true,
	}
}

// Leave begins to drain while Run still serves: new connections are refused (CONNECTION_REFUSED), peers are
// told to go (GOAWAY, RFC 9114 5.2) and so open nothing new, what is open goes on, and each
// connection is closed once its last stream has ended. It may be called more than once.
func (s *Server) Leave() {
	s.setup()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return
	}
	s.leaving = true
	s.admission.shut()
	s.admission.settle()
	// http3.Server has no other way to say GOAWAY than Shutdown, which waits for the peers to close,
	// and for the longest-lived of them in vain. So it waits in a goroutine, and
	// the connections are closed here.
	over, cancel := context.WithCancel(context.Background())
	s.toldOver = cancel
	s.told.Go(func() { _ = s.http3.Shutdown(over) })
	s.admission.hurry()
}

// Run serves until ctx ends, and then drains: it does what Leave does, unless that was called before,
// and what is open may end until Drain has passed. The sockets are closed last, so that
// until then they answer. It returns when everything it started has ended.
func (s *Server) Run(ctx context.Context) error {
	s.setup()
	var loops sync.WaitGroup
	for _, l := range s.loops {
		loops.Go(l.work)
	}
	s.mu.Lock()
	s.running = true
	for _, t := range s.transports {
		s.accept(t)
	}
	s.mu.Unlock()

	sweeping, stopSweep := context.WithCancel(context.Background())
	defer stopSweep()
	var sweep sync.WaitGroup
	sweep.Go(func() { s.sweep(sweeping) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	s.drain()
	stopSweep()
	sweep.Wait()
	s.writers.Wait()
	for _, l := range s.loops {
		l.inbox.push(stopLoop{})
	}
	loops.Wait()
	s.stopAccept()
	s.accepting.Wait()
	for _, t := range s.transports {
		t.listener.Close()
		t.quic.Close()
		t.packets.Close()
	}
	return err
}

// acceptors is how many goroutines wait for connections, at most. quic-go refuses a connection whose handshake
// is done when 32 wait to be accepted, which happens in no time when many come to a busy machine. One that
// finds a goroutine waiting is taken at once, whenever that will run.
const acceptors = 512

// accept starts a transport's goroutines. s.mu is held.
func (s *Server) accept(t *transport) {
	for range min(acceptors, s.Handshakes) {
		s.accepting.Go(func() { s.acceptFrom(t) })
	}
}

func (s *Server) acceptFrom(t *transport) {
	for {
		q, err := t.listener.Accept(s.acceptCtx)
		if err == nil {
			s.open(q) // also while draining: what is not taken would stay in quic-go's queue
			continue
		}
		if s.acceptCtx.Err() == nil {
			select {
			case s.failed <- fmt.Errorf("accept QUIC connections on %s: %w", t.packets.LocalAddr(), err):
			default:
			}
		}
		return
	}
}

// drain lets everything end by itself until the time is over, and then ends it.
func (s *Server) drain() {
	s.Leave()
	timeUp := time.NewTimer(s.Drain)
	defer timeUp.Stop()
	select {
	case <-s.admission.empty():
	case <-timeUp.C:
		for _, l := range s.loops {
			l.inbox.push(endStreams{})
		}
		s.admission.closeAll()
	}
	s.serving.Wait()
	s.toldOver()
	s.told.Wait()
}
