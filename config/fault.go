package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	File    string // "" for the environment
	Line    int    // 0: the file as a whole
	Setting string // as in zones[0].acl[1].key, or the variable's name
	Text    string // what is wrong and what to do
}

// String is file:line: setting: text, as far as there is each.
func (f Fault) String() string {
	var b strings.Builder
	switch {
	case f.File == "":
		b.WriteString("environment: ")
	case f.Line == 0:
		fmt.Fprintf(&b, "%s: ", f.File)
	default:
		fmt.Fprintf(&b, "%s:%d: ", f.File, f.Line)
	}
	if f.Setting != "" {
		b.WriteString(f.Setting + ": ")
	}
	return b.String() + f.Text
}

// Faults are all faults of a configuration, a line each.
type Faults []Fault

func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

func (fs Faults) sort() {
	slices.SortStableFunc(fs, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
}

// nearest finds the word that was probably meant, or "".
func nearest(word string, words []string) string {
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
	best, limit := "", 1+len(word)/4
	for _, w := range words {
		if d := distance(word, strings.ReplaceAll(w, "-", "_")); d <= limit {
			best, limit = w, d-1
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements from a to b.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := left
			if a[i] != b[j] {
				d = 1 + min(left, row[j], row[j+1])
			}
			left, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// orList writes a, b or c.
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
