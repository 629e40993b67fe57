package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The regexes that are scanned by hand: about a hundred times faster than the
// general engine, and checked against it in the tests.
const (
	gpt2Regex = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	// gpt2RegexFactored is gpt2Regex as newer files spell it.
	gpt2RegexFactored = `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	llama3Regex       = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Regex        = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

var contractions = [...]string{"s", "t", "re", "ve", "m", "ll", "d"}

// scanGPT2 cuts s as gpt2Regex does.
func scanGPT2(s string, emit func(string)) {
	for i := 0; i < len(s); {
		k := 0
		if s[i] == '\'' {
			for _, c := range contractions {
				if strings.HasPrefix(s[i+1:], c) {
					k = i + 1 + len(c)
					break
				}
			}
		}
		if k == 0 {
			b := i
			if s[i] == ' ' && i+1 < len(s) {
				b++
			}
			switch c, _ := classAt(s, b); c {
			case classSpace:
				k = endOfSpaces(s, i)
			default:
				k = runOf(s, b, c)
			}
		}
		emit(s[i:k])
		i = k
	}
}

// endOfSpaces matches \s+(?!\S)|\s+ at i: the run of white space, less its last
// rune when something else follows and more than that rune was there.
func endOfSpaces(s string, i int) int {
	k := runOf(s, i, classSpace)
	if k < len(s) {
		if _, w := utf8.DecodeLastRuneInString(s[i:k]); k-w > i {
			return k - w
		}
	}
	return k
}

// scanLlama3 returns the scanner of llama3Regex (maxDigits 3) or qwen2Regex
// (maxDigits 1).
func scanLlama3(maxDigits int) func(string, func(string)) {
	return func(s string, emit func(string)) {
		for i := 0; i < len(s); {
			k := endOfLlama3(s, i, maxDigits)
			emit(s[i:k])
			i = k
		}
	}
}

func endOfLlama3(s string, i, maxDigits int) int {
	if s[i] == '\'' {
		for _, c := range contractions {
			if n := foldedPrefix(s[i+1:], c); n > 0 {
				return i + 1 + n
			}
		}
	}
	class, w := classAt(s, i)
	letters := i
	if class != classLetter && class != classNumber && !isNewline(s[i]) {
		letters = i + w
	}
	if e := runOf(s, letters, classLetter); e > letters {
		return e
	}
	if class == classNumber {
		k := i
		for n := 0; n < maxDigits && k < len(s); n++ {
			c, w := classAt(s, k)
			if c != classNumber {
				break
			}
			k += w
		}
		return k
	}
	b := i
	if s[i] == ' ' {
		b++
	}
	if e := runOf(s, b, classOther); e > b {
		return runOfNewlines(s, e)
	}
	spaces := runOf(s, i, classSpace)
	if x := strings.LastIndexAny(s[i:spaces], "\r\n"); x >= 0 {
		return i + x + 1
	}
	return endOfSpaces(s, i)
}

// foldedPrefix returns how many bytes of s match the ASCII letters c without
// regard to case, or 0. The long s (U+017F) folds to s; no other rune outside
// ASCII folds to a letter of a contraction.
func foldedPrefix(s, c string) int {
	i := 0
	for _, want := range c {
		if i >= len(s) {
			return 0
		}
		r, w := utf8.DecodeRuneInString(s[i:])
		if unicode.ToLower(r) != want && !(r == 'ſ' && want == 's') {
			return 0
		}
		i += w
	}
	return i
}
