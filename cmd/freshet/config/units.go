package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size.
type Bytes int64

// The units a size may be written in. The binary ones come first, the larger
// first, so that String finds the shortest form.
var byteUnits = []struct {
	name string
	size Bytes
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// String writes b in the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits[:3] {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// ParseBytes reads a size: a whole number and a unit, or bytes without one.
func ParseBytes(text string) (Bytes, error) {
	digits := text
	unit := Bytes(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			digits, unit = strings.TrimRight(rest, " "), u.size
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if errors.Is(err, strconv.ErrRange) || err == nil && Bytes(n) > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is larger than any size", text)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: write it like 64KiB, 1MiB or 4096", text)
	}
	return Bytes(n) * unit, nil
}

// ParseDuration reads what time.ParseDuration reads, and days: 7d, 1d12h.
// It takes no negative duration, for no setting means anything by one.
func ParseDuration(text string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n != 0 {
		return 0, fmt.Errorf("%q has no unit: write it like %ss or %sm", text, text, text)
	}
	clock := text
	var days time.Duration
	if head, tail, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 16) // 65,535 days do not overflow
		if err != nil {
			return 0, notDuration(text)
		}
		days = time.Duration(n) * 24 * time.Hour
		if clock = tail; clock == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(clock)
	if err != nil || days > 0 && strings.ContainsAny(clock[:1], "+-") {
		return 0, notDuration(text)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative", text)
	}
	if days > math.MaxInt64-d {
		return 0, fmt.Errorf("%q is longer than any duration", text)
	}
	return days + d, nil
}

func notDuration(text string) error {
	return fmt.Errorf("%q is not a duration: write it like 500ms, 30s, 5m, 24h or 7d", text)
}

// SelfSigned says whether the relay makes its own certificate, and for which
// names besides localhost, 127.0.0.1 and ::1.
type SelfSigned struct {
	On    bool
	Names []string
}

// parseSelfSigned reads true, false, or the names themselves, separated by commas.
func parseSelfSigned(text string) (SelfSigned, error) {
	switch text {
	case "true":
		return SelfSigned{On: true}, nil
	case "false", "":
		return SelfSigned{}, nil
	}
	names, err := parseList(text)
	return SelfSigned{On: err == nil, Names: names}, err
}

// parseList reads a list from one line, as flags and the environment have it.
func parseList(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	list := strings.Split(text, ",")
	for i, item := range list {
		if list[i] = strings.TrimSpace(item); list[i] == "" {
			return nil, fmt.Errorf("%q has an empty item: separate items by one comma", text)
		}
	}
	return list, nil
}
