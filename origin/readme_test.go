package origin

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The README's examples work as printed, where their interpreter is here.
func TestReadmeExamples(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	run := map[string][]string{
		"sh":     {"sh", "-c", "CODE"},
		"js":     {"node", "--input-type=module", "-e", "CODE"},
		"python": {"python3", "-c", "CODE"},
		"php":    {"php", "-r", "CODE"},
	}
	blocks := regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	seen := map[string]int{}
	for _, block := range blocks {
		language, code := block[1], strings.TrimPrefix(block[2], "<?php\n")
		command := run[language]
		if command == nil {
			continue
		}
		seen[language]++
		t.Run(language, func(t *testing.T) {
			program := command[0]
			if language == "sh" {
				program = "curl"
			}
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("no %s here", program)
			}
			r := newPuppetRelay(t, false)
			args := append([]string(nil), command[1:]...)
			args[len(args)-1] = strings.ReplaceAll(code, "http://127.0.0.1:8080", r.URL)
			out, err := exec.CommandContext(t.Context(), command[0], args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want, answer := `scores/match-42 p-1 goal={"score":"1:0"}`, "p-1"
			if strings.Contains(code, "ndjson") {
				want, answer = "tickers/ACME p-1 =1\ntickers/ACME p-2 goal=2", `{"count":2,"id":"p-2"}`
			}
			if got := strings.ReplaceAll(strings.Join(r.Log(), "\n"), ": ", ":"); got != want || !strings.Contains(string(out), answer) {
				t.Errorf("published %q, want %q; printed %q", got, want, out)
			}
		})
	}
	for language, n := range map[string]int{"sh": 2, "js": 1, "python": 1, "php": 1} {
		if seen[language] != n {
			t.Errorf("%d examples in %s, want %d", seen[language], language, n)
		}
	}
}
