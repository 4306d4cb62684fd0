package relay

import (
	"net/http"
	"time"

	"freshet/relay/netloop"
)

// signal is woken by filling it.
type signal chan struct{}

func (s signal) Wake() {
	select {
	case s <- struct{}{}:
	default: // it is awake already
	}
}

// driveChunk is how much a driven stream is asked for at once, in bytes.
const driveChunk = 32 << 10

// drive writes the stream to a ResponseWriter that is none of this relay's own
// engine, from the goroutine of its handler, which it keeps: under httptest, or
// inside another server.
func (r *Relay) drive(w http.ResponseWriter, req *http.Request, t *topic, s netloop.Body) {
	control := http.NewResponseController(w)
	awake := make(signal, 1)
	defer t.audience.listen(awake)()
	w.WriteHeader(http.StatusOK)
	s.Start(0)

	write := func(p []byte) error {
		_ = control.SetWriteDeadline(time.Now().Add(r.config.Stall))
		_, err := w.Write(p)
		return err
	}
	silence := time.NewTimer(r.config.Heartbeat)
	defer silence.Stop()
	for {
		p, end := s.Next(driveChunk)
		var err error
		switch {
		case len(p) > 0:
			err = write(p)
		case end:
		default:
			if err = control.Flush(); err != nil {
				break
			}
			silence.Reset(r.config.Heartbeat)
			select {
			case <-awake:
			case <-silence.C:
				err = write(s.Heartbeat())
			case <-req.Context().Done():
				err = req.Context().Err()
			case <-r.stopped.Done():
				err = netloop.ErrShutdown
			}
		}
		if err != nil || end {
			s.Close(err)
			return
		}
	}
}
