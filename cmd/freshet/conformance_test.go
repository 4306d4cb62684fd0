package main

import (
	"net"
	"os/exec"
	"regexp"
	"testing"

	"freshet/cmd/freshet/config"
)

// All of h2spec against the relay as it is run, over TLS and as h2c with prior knowledge.
func TestH2Spec(t *testing.T) {
	h2spec, err := exec.LookPath("h2spec")
	if err != nil {
		t.Skip("h2spec is not installed; make test does that")
	}
	c := config.Default()
	c.Listen.Plain, c.Listen.Public = "127.0.0.1:0", "127.0.0.1:0"
	c.TLS.SelfSigned.On = true
	s := startService(t, c)
	tests := []struct {
		name   string
		listen net.Listener
		flags  []string
	}{
		{"TLS", s.listeners.public, []string{"-t", "-k"}},
		{"h2c", s.listeners.plain, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, port, err := net.SplitHostPort(test.listen.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			flags := append([]string{"--strict", "-h", "127.0.0.1", "-p", port}, test.flags...)
			out, err := exec.CommandContext(t.Context(), h2spec, flags...).CombinedOutput()
			if err != nil || !allPassed.Match(out) {
				t.Errorf("h2spec: %v\n%s", err, out)
			}
		})
	}
}

// allPassed is h2spec's closing line when there is nothing to complain about, and not nothing that ran.
var allPassed = regexp.MustCompile(`\n(1\d\d) tests, 1\d\d passed, 0 skipped, 0 failed`)
