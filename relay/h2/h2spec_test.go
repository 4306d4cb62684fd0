package h2

import (
	"bytes"
	"context"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// TestH2spec runs the whole conformance suite against the state machine behind the plainest loop
// there can be. It takes no option that leaves a case out.
func TestH2spec(t *testing.T) {
	program, err := exec.LookPath("h2spec")
	if err != nil {
		t.Skip("h2spec is not installed: make tools, or go install github.com/summerwind/h2spec/cmd/h2spec@latest")
	}
	for _, strict := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "strict"}[strict], func(t *testing.T) {
			t.Parallel()
			port := serveBlocking(t, nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			args := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(port)}
			if strict {
				args = append(args, "--strict")
			}
			out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
			// Skipped counts as failed: a case that h2spec could not begin proves nothing.
			if err != nil || !bytes.Contains(out, []byte(" 0 skipped, 0 failed")) {
				t.Fatalf("h2spec: %v\n%s", err, out)
			}
			t.Logf("%s", bytes.TrimSpace(out[bytes.LastIndex(out, []byte("Finished")):]))
		})
	}
}
