package agree

import (
	"testing"
	"time"
)

// pair is two relays whose messages arrive at once.
type pair struct {
	now    time.Time
	relays map[string]*Relay
	forgot map[string]int // how often a relay was told to forget the topic
	shown  map[string]int // entries
}

func newPair(cfg Config) *pair {
	p := &pair{now: time.Unix(1000, 0), relays: map[string]*Relay{}, forgot: map[string]int{}, shown: map[string]int{}}
	view := []Member{{Name: "a", State: Ready}, {Name: "b", State: Ready}}
	for i, m := range view {
		cfg.Name, cfg.Nonce = m.Name, uint16(i+1)
		p.relays[m.Name] = New(cfg)
	}
	for name, r := range p.relays {
		r.View(p.now, view)
		for other := range p.relays {
			if other != name {
				r.LinkUp(p.now, other)
			}
		}
	}
	p.settle()
	return p
}

// settle carries messages until there are none.
func (p *pair) settle() {
	for busy := true; busy; {
		busy = false
		for name, r := range p.relays {
			out := r.Take()
			for _, d := range out.Decisions {
				switch d := d.(type) {
				case Forget:
					p.forgot[name]++
				case Show:
					p.shown[name] += len(d.Entries)
				}
			}
			for _, m := range out.Messages {
				busy = true
				p.relays[m.To].Receive(p.now, name, m.Message)
			}
		}
	}
}

func (p *pair) pass(d time.Duration) {
	for end := p.now.Add(d); ; {
		next := end
		for _, r := range p.relays {
			if at := r.Next(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if next.After(p.now) {
			p.now = next
		}
		for _, r := range p.relays {
			r.Tick(p.now)
		}
		p.settle()
		if !p.now.Before(end) {
			return
		}
		p.now = p.now.Add(time.Millisecond)
	}
}

func (p *pair) publish(key string, kind Kind) {
	p.relays["a"].Publish(p.now, "t", Entry{Key: key, Body: []byte("data: " + key + "\n"), Kind: kind}, 1)
	p.settle()
}

func (p *pair) held() (n int) {
	for _, r := range p.relays {
		n += len(r.Topics())
	}
	return n
}

func TestForgetOwned(t *testing.T) {
	for _, c := range []struct {
		name string
		fill func(p *pair)
		keep time.Duration
	}{
		{"never used", func(p *pair) {
			p.relays["a"].Open(p.now, "t", false)
			p.pass(time.Second)
			p.relays["a"].Close(p.now, "t", false)
		}, 30 * time.Second},
		{"silent", func(p *pair) { p.publish("k", Event) }, 24 * time.Hour},
		{"ended", func(p *pair) { p.publish("k", Event); p.pass(time.Second); p.publish("e", End) }, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair(Config{})
			p.pass(5 * time.Second)
			c.fill(p)
			p.pass(5 * time.Second)
			if p.held() != 2 {
				t.Fatalf("%d copies of the topic, want the owner's and the standby's", p.held())
			}
			p.pass(c.keep - 20*time.Second)
			if p.held() != 2 {
				t.Fatal("forgotten too early")
			}
			p.pass(time.Minute)
			if p.held() != 0 || p.forgot["a"] != 1 || p.forgot["b"] != 1 {
				t.Errorf("%d copies are left, and relays were told %v to forget", p.held(), p.forgot)
			}
			p.publish("k", Event)
			p.pass(5 * time.Second)
			if p.held() != 2 {
				t.Errorf("the topic does not come back")
			}
		})
	}
}

func TestNotForgotten(t *testing.T) {
	p := newPair(Config{})
	p.pass(5 * time.Second)
	p.relays["b"].Open(p.now, "t", false)
	p.publish("k", Event)
	p.pass(48 * time.Hour)
	if p.held() != 2 || p.forgot["a"]+p.forgot["b"] != 0 {
		t.Errorf("a topic that has a subscriber was forgotten: %v", p.forgot)
	}
}

func TestMemoryTrims(t *testing.T) {
	p := newPair(Config{})
	p.pass(5 * time.Second)
	for _, k := range []string{"1", "2", "3"} {
		p.publish(k, Event)
		p.pass(time.Second)
	}
	for name, r := range p.relays {
		r.Trim(p.now, "t", 2)
		if l := r.topics["t"].log; l.base != 2 || len(l.entries) != 1 {
			t.Errorf("%s holds %d entries after %d, want the last one", name, len(l.entries), l.base)
		}
		if _, known := r.topics["t"].log.memos[publication{Key: "1"}]; !known {
			t.Errorf("%s forgot the publish key with its event", name)
		}
	}
}

func TestCountedKeys(t *testing.T) {
	p := newPair(Config{})
	p.pass(5 * time.Second)
	results := map[uint64]Result{}
	post := func(ticket, number uint64, id, body string) {
		p.relays["a"].Publish(p.now, "t", Entry{Key: "k", Number: number, ID: id, Body: []byte(body)}, ticket)
		for range 10 {
			for name, r := range p.relays {
				out := r.Take()
				for _, d := range out.Decisions {
					if a, ok := d.(Answer); ok {
						results[a.Ticket] = a.Result
					}
				}
				for _, m := range out.Messages {
					p.relays[m.To].Receive(p.now, name, m.Message)
				}
			}
		}
	}
	post(1, 1, "", "one")
	post(2, 2, "", "two")
	post(3, 1, "", "one")
	post(4, 2, "", "other")
	post(5, 5, "x", "five")
	post(6, 4, "", "four") // up to the highest number committed is left out
	for _, want := range []struct {
		ticket  uint64
		outcome Outcome
		count   uint64
	}{{1, Committed, 1}, {2, Committed, 2}, {3, Duplicate, 2}, {4, Conflict, 2}, {5, Committed, 5}, {6, Duplicate, 5}} {
		got := results[want.ticket]
		if got.Outcome != want.outcome || got.Count != want.count {
			t.Errorf("publication %d: %v, want outcome %v and count %d", want.ticket, got, want.outcome, want.count)
		}
	}
	if got := results[6].ID; got != "x" {
		t.Errorf("the last id of the key is %q, want that of event 5", got)
	}
}

// Events that are counted under a key are many: the books on them are bounded, and their number is known all the same.
func TestCountedMemosAreBounded(t *testing.T) {
	l := newLog()
	l.begin(1)
	now := time.UnixMilli(1000)
	const events = 3 * innerMemos
	for seq := uint64(1); seq <= events; seq++ {
		l.append(Entry{Position: Position{Epoch: 1, Seq: seq}, Key: "k", Number: seq, Commit: 1000})
		l.visible = seq
		l.trim(Limits{Events: 100}, now, time.Hour)
	}
	if n := len(l.memos); n > innerMemos+200 {
		t.Errorf("%d memos after %d events", n, events)
	}
	for _, number := range []uint64{1, events} {
		if res, known := l.published(Entry{Key: "k", Number: number}); !known || res.Outcome == Committed || res.Count != events {
			t.Errorf("event %d is not known: %+v", number, res)
		}
	}
}
