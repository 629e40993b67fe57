// Package didyoumean finds the valid spelling nearest to a misspelt name. It
// knows nothing of what the names stand for.
package didyoumean

import (
	"sort"
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest returns the candidate nearest to given, or "" when none is near
// enough to be what was meant: at most one edit for every three letters, with
// one allowed at least, and two from four letters on, for two letters in the
// wrong order are two edits. Case does not count. Ties go to the candidate that
// sorts first.
func Nearest(given string, candidates []string) string {
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	allowed := max(1, len(given)/3)
	if len(given) >= 4 {
		allowed = max(2, allowed)
	}
	best, bestDistance := "", allowed+1
	for _, c := range sorted {
		d := levenshtein.Distance(strings.ToLower(given), strings.ToLower(c), nil)
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// Hint returns ` Did you mean "x"?` with its leading space, or "" when no
// candidate is near.
func Hint(given string, candidates []string) string {
	if n := Nearest(given, candidates); n != "" {
		return ` Did you mean "` + n + `"?`
	}
	return ""
}

// Join writes a list for a sentence: `a`, `a or b`, `a, b or c`.
func Join(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
