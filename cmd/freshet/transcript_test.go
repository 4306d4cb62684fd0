package main

import (
	"fmt"
	"regexp"
	"sync"
	"time"
)

// transcript is what a program writes, for tests to wait on.
type transcript struct {
	mu      sync.Mutex
	text    []byte
	changed chan struct{} // closed and replaced by each Write
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	close(t.changed)
	t.changed = make(chan struct{})
	return len(p), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// await waits until the text matches the pattern.
func (t *transcript) await(pattern string, atMost time.Duration) error {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	timeout := time.After(atMost)
	for {
		t.mu.Lock()
		found, changed := wanted.Match(t.text), t.changed
		t.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-changed:
		case <-timeout:
			return fmt.Errorf("nothing matched %q in %v:\n%s", pattern, atMost, t)
		}
	}
}
