package config

import (
	"slices"
	"strings"
)

// Problem is one mistake in the configuration.
type Problem struct {
	Where string // "freshet.yaml:12", "FRESHET_TOPICS_EVENTS", "-public"; empty: nobody set it
	Key   string // "topics.events"; empty: not about one key
	Text  string
}

// String is the problem in one line.
func (p Problem) String() string {
	var b strings.Builder
	for _, part := range []string{p.Where, p.Key} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is every mistake that [Load] found, in the order of the layers.
type Problems []Problem

// Error has one line a problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// nearest returns the name that was probably meant, or "".
func nearest(name string, known []string) string {
	best, least := "", 1+len(name)/3 // more changes than that is another word
	for _, k := range known {
		if d := edits(name, k); d <= least {
			best, least = k, d-1
		}
	}
	return best
}

// edits is the Levenshtein distance of a and b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = slices.Min([]int{change, row[j] + 1, diagonal + 1})
		}
	}
	return row[len(b)]
}

// unknownKey says that nobody knows name, and which of the known names is near.
func unknownKey(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return "unknown key: did you mean " + near + "?"
	}
	return "unknown key: one of " + strings.Join(known, ", ")
}
