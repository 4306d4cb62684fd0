package config

import (
	"strings"
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "4096": 4096, "64KiB": 64 << 10, "1 MiB": 1 << 20, "2GiB": 2 << 30,
		"5KB": 5000, "1MB": 1e6, "7B": 7, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseBytes(text); got != want || err != nil {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "KiB", "64K", "1.5MiB", "-1", "+1", "64kib", "1 megabyte", "9223372036854775808", "9007199254740993GiB", "1MiBKiB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", text, got)
		} else if !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("ParseBytes(%q): %q does not show what was written", text, err)
		}
	}
}

func TestBytesString(t *testing.T) {
	for b, want := range map[Bytes]string{0: "0", 1: "1", 1023: "1023", 1 << 10: "1KiB", 1536: "1536", 3 << 20: "3MiB", 1 << 30: "1GiB"} {
		if got := b.String(); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", int64(b), got, want)
		}
		if back, err := ParseBytes(b.String()); back != b || err != nil {
			t.Errorf("%v is read back as %d, %v", b, back, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute,
		"7d": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0,
	} {
		if got, err := ParseDuration(text); got != want || err != nil {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for text, hint := range map[string]string{
		"15":            "15s",
		"1.5":           "1.5s",
		"":              "30s",
		"soon":          "30s",
		"-3s":           "negative",
		"1d-3h":         "7d",
		"1.5d":          "7d",
		"d":             "7d",
		"70000d":        "7d",
		"65535d100000h": "", // 65,535 days and 100,000 hours do fit
	} {
		got, err := ParseDuration(text)
		if hint == "" {
			if err != nil {
				t.Errorf("ParseDuration(%q): %v", text, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		} else if !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseDuration(%q): %q does not mention %s", text, err, hint)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"15s", "1d12h", "0", "-1h", "65535d2562047h", "9e9d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("ParseDuration(%q) = %v", text, d)
		}
		if back, err := ParseDuration(d.String()); back != d || err != nil {
			t.Fatalf("%q is %v, which is read back as %v, %v", text, d, back, err)
		}
	})
}
