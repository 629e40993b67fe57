// Package didyoumean finds the valid spelling nearest to a misspelt name. It
// knows nothing of what the names stand for.
package didyoumean

import (
	"slices"
	"sort"
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest returns the candidate nearest to given, or "" when none is near
// enough to be what was meant: at most one edit for every three letters, with
// one allowed at least, and two from four letters on, for two letters in the
// wrong order are two edits. Of equally near ones that with the same letters
// goes first, then the one that sorts first. Case does not count.
func Nearest(given string, candidates []string) string {
	sorted := append([]string(nil), candidates...)
	sort.Strings(sorted)
	allowed := max(1, len(given)/3)
	if len(given) >= 4 {
		allowed = max(2, allowed)
	}
	best, bestDistance := "", 2*allowed+1
	for _, c := range sorted {
		// In half edits. Letters that are all there and in the wrong order are
		// nearer than a letter more: "modle" is "model" and not "module".
		d := 2 * levenshtein.Distance(strings.ToLower(given), strings.ToLower(c), nil)
		if d > 2*allowed {
			continue
		}
		if letters(given) == letters(c) {
			d = 1
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// letters are those of a name in order.
func letters(s string) string {
	b := []byte(strings.ToLower(s))
	slices.Sort(b)
	return string(b)
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
