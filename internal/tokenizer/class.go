package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// The rune classes that the usual pre-tokenizer regexes tell apart.
type runeClass uint8

const (
	classOther  runeClass = iota // [^\s\p{L}\p{N}]
	classLetter                  // \p{L}
	classNumber                  // \p{N}
	classSpace                   // \s, the White_Space property
)

var asciiClass = func() (t [utf8.RuneSelf]runeClass) {
	for r := range t {
		t[r] = slowClass(rune(r))
	}
	return t
}()

func slowClass(r rune) runeClass {
	switch {
	case unicode.Is(unicode.L, r):
		return classLetter
	case unicode.Is(unicode.White_Space, r):
		return classSpace
	case unicode.Is(unicode.N, r):
		return classNumber
	}
	return classOther
}

// classAt returns the class and width of the rune at s[i]. An ill-formed byte
// counts as one rune of classOther.
func classAt(s string, i int) (runeClass, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, w := utf8.DecodeRuneInString(s[i:])
	return slowClass(r), w
}

// runOf returns the end of the run of class c that starts at i.
func runOf(s string, i int, c runeClass) int {
	for i < len(s) {
		k, w := classAt(s, i)
		if k != c {
			break
		}
		i += w
	}
	return i
}

// runOfNewlines returns the end of the run of \r and \n that starts at i.
func runOfNewlines(s string, i int) int {
	for i < len(s) && isNewline(s[i]) {
		i++
	}
	return i
}

func isNewline(b byte) bool { return b == '\r' || b == '\n' }
