package schema

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// CheckGlob reports what is wrong with a pattern, or nil.
func CheckGlob(pattern string) error {
	if pattern == "" {
		return fmt.Errorf("an empty pattern matches nothing")
	}
	for i := 0; i < len(pattern); {
		_, n, err := nextGlob(pattern[i:])
		if err != nil {
			return err
		}
		i += n
	}
	return nil
}

// MatchGlob reports whether pattern matches the whole of path. `*` stands for
// any run of characters, dots included, `?` for one character, `[ab]`,
// `[0-9]` and `[!ab]` for one of, or none of, a set. A pattern that CheckGlob
// refuses matches nothing.
func MatchGlob(pattern, path string) bool {
	if pattern == "" || strings.IndexByte(pattern, '[') >= 0 && CheckGlob(pattern) != nil {
		return false
	}
	// Going back to the last star suffices: an earlier one can only give up
	// characters that the later one could have taken as well.
	p, s := 0, 0
	starP, starS := -1, 0
	for s < len(path) {
		r, rn := utf8.DecodeRuneInString(path[s:])
		if p < len(pattern) {
			if pattern[p] == '*' {
				starP, starS = p, s
				p++
				continue
			}
			if n, ok := matchGlobElement(pattern[p:], r); ok {
				p, s = p+n, s+rn
				continue
			}
		}
		if starP < 0 {
			return false
		}
		_, n := utf8.DecodeRuneInString(path[starS:])
		starS += n
		p, s = starP+1, starS
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchGlobElement matches one element of a sound pattern and returns its
// length. Only sets make anything on the heap: planning matches millions of
// names.
func matchGlobElement(p string, c rune) (int, bool) {
	r, n := utf8.DecodeRuneInString(p)
	switch r {
	case '?':
		return n, true
	case '[':
		match, n, _ := globClass(p)
		return n, match(c)
	}
	return n, c == r
}

// nextGlob reads one element of a pattern: what it matches, and its length.
func nextGlob(p string) (func(rune) bool, int, error) {
	r, n := utf8.DecodeRuneInString(p)
	switch r {
	case '*', '?':
		return func(rune) bool { return true }, n, nil
	case '[':
		return globClass(p)
	}
	return func(c rune) bool { return c == r }, n, nil
}

func globClass(p string) (func(rune) bool, int, error) {
	// A bracket that comes first stands for itself: []a] is a set of two.
	start := 1
	negated := strings.HasPrefix(p[1:], "!")
	if negated {
		start++
	}
	if start >= len(p) {
		return nil, 0, fmt.Errorf("the bracket in %q is not closed", p)
	}
	end := strings.IndexByte(p[start+1:], ']')
	if end < 0 {
		return nil, 0, fmt.Errorf("the bracket in %q is not closed", p)
	}
	set := []rune(p[start : start+1+end])
	match := func(c rune) bool {
		for i := 0; i < len(set); i++ {
			if i+2 < len(set) && set[i+1] == '-' {
				if set[i] <= c && c <= set[i+2] {
					return !negated
				}
				i += 2
			} else if set[i] == c {
				return !negated
			}
		}
		return negated
	}
	return match, start + end + 2, nil
}
