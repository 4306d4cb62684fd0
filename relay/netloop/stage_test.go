package netloop

import (
	"bytes"
	"net/http"
	"sync/atomic"
)

// A stage is a topic of which only the newest event counts. Its bodies cost next to nothing, so that
// what is measured is the engine.
type stage struct {
	fanout *Fanout
	event  []byte
	seq    atomic.Uint64
	open   atomic.Int64
	asked  func() // when a body gives its event; nil = nothing
}

func newStage(e *Engine) *stage {
	return &stage{fanout: e.NewFanout(0), event: append(bytes.Repeat([]byte("x"), 199), '\n')}
}

func (g *stage) send() {
	g.seq.Add(1)
	g.fanout.Wake()
}

func (g *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	if err := Take(w, r, &stageBody{stage: g, at: g.seq.Load()}, g.fanout); err != nil {
		panic(err)
	}
}

type stageBody struct {
	stage *stage
	at    uint64
	left  []byte
}

func (b *stageBody) Start(int) { b.stage.open.Add(1) }

func (b *stageBody) Next(max int) ([]byte, bool) {
	if len(b.left) == 0 {
		if b.at == b.stage.seq.Load() {
			return nil, false
		}
		b.at++
		b.left = b.stage.event
		if b.stage.asked != nil {
			b.stage.asked()
		}
	}
	p := b.left[:min(max, len(b.left))]
	b.left = b.left[len(p):]
	return p, false
}

func (b *stageBody) Heartbeat() []byte { return []byte(":\n") }
func (b *stageBody) Close(error)       { b.stage.open.Add(-1) }
