package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// finder calls match for consecutive, non-overlapping, non-empty matches in s.
type finder func(s string, match func(start, end int))

func runeFinder(in func(rune) bool) finder {
	return func(s string, match func(int, int)) {
		for i := 0; i < len(s); {
			r, w := utf8.DecodeRuneInString(s[i:])
			if in(r) {
				match(i, i+w)
			}
			i += w
		}
	}
}

func stringFinder(sep string) finder {
	return func(s string, match func(int, int)) {
		for i := 0; ; {
			k := strings.Index(s[i:], sep)
			if k < 0 {
				return
			}
			match(i+k, i+k+len(sep))
			i += k + len(sep)
		}
	}
}

// regexFinder compiles a pattern for the general engine, whose syntax is that
// of .NET: close to Oniguruma's, which the files are written for, but without
// possessive quantifiers.
func regexFinder(pattern string) (finder, error) {
	re, err := regexp2.Compile(pattern, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: pre-tokenizer regex %s: %w (possessive quantifiers such as ?+ are not supported)", quoteShort(pattern), err)
	}
	return func(s string, match func(int, int)) {
		// The engine works on runes. at maps a rune's index to its byte offset,
		// so that ill-formed bytes come out as they went in.
		runes := make([]rune, 0, len(s))
		at := make([]int, 0, len(s)+1)
		for i, r := range s {
			runes = append(runes, r)
			at = append(at, i)
		}
		at = append(at, len(s))
		// Errors come only from a timeout, and none is set.
		for m, _ := re.FindRunesMatch(runes); m != nil; m, _ = re.FindNextMatch(m) {
			if m.Length > 0 {
				match(at[m.Index], at[m.Index+m.Length])
			}
		}
	}, nil
}

// inverted matches what lies between the matches of f.
func inverted(f finder) finder {
	return func(s string, match func(int, int)) {
		done := 0
		f(s, func(start, end int) {
			if done < start {
				match(done, start)
			}
			done = end
		})
		if done < len(s) {
			match(done, len(s))
		}
	}
}

func knownBehavior(b string) bool {
	switch b {
	case "Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext":
		return true
	}
	return false
}

func unknownBehavior(b string) error {
	return fmt.Errorf("tokenizer: pre-tokenizer behavior %q is unknown; expected Isolated, Removed, Contiguous, MergedWithPrevious or MergedWithNext", b)
}

// splitter turns matches and the gaps between them into pieces.
func splitter(behavior string, find finder) func(string, func(string)) {
	type span struct {
		start, end int
		match      bool
	}
	if behavior == "Isolated" { // needs no look at the neighbours
		return func(s string, emit func(string)) {
			done := 0
			find(s, func(start, end int) {
				if done < start {
					emit(s[done:start])
				}
				emit(s[start:end])
				done = end
			})
			if done < len(s) {
				emit(s[done:])
			}
		}
	}
	return func(s string, emit func(string)) {
		var spans []span
		done := 0
		find(s, func(start, end int) {
			if done < start {
				spans = append(spans, span{done, start, false})
			}
			spans = append(spans, span{start, end, true})
			done = end
		})
		if done < len(s) {
			spans = append(spans, span{done, len(s), false})
		}
		for i := 0; i < len(spans); {
			k := i + 1
			switch behavior {
			case "Removed":
				if spans[i].match {
					i = k
					continue
				}
			case "Contiguous":
				for k < len(spans) && spans[k].match == spans[i].match {
					k++
				}
			case "MergedWithPrevious": // a gap takes the one match after it
				if !spans[i].match && k < len(spans) && spans[k].match {
					k++
				}
			case "MergedWithNext": // a match takes the gap after it
				if spans[i].match && k < len(spans) && !spans[k].match {
					k++
				}
			}
			emit(s[spans[i].start:spans[k-1].end])
			i = k
		}
	}
}
