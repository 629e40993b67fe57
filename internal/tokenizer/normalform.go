package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// longMarks is a run of non-starters that x/text would break up: it follows
// the Stream-Safe Text Format (UAX 15) and inserts U+034F after 30 of them,
// which the libraries that models were trained with do not.
const longMarks = 30

// normalForm applies a Unicode normal form, without x/text's stream-safe
// insertions, to text of any length.
func normalForm(f norm.Form, s string) string {
	if f.IsNormalString(s) {
		return s
	}
	var sb strings.Builder
	sb.Grow(len(s))
	plain := 0 // start of text not yet written
	for i := 0; i < len(s); {
		start, end, long := markRun(s, i)
		if long {
			sb.WriteString(f.String(s[plain:start]))
			sb.WriteString(normalizeRun(f, s[start:end]))
			plain = end
		}
		i = end
	}
	sb.WriteString(f.String(s[plain:]))
	return sb.String()
}

// markRun finds the next stretch from i on that begins with a normalisation
// boundary and has more than longMarks non-starters before the next one. When
// there is none it returns the end of s and long false.
func markRun(s string, i int) (start, end int, long bool) {
	start = i
	marks := 0
	for i < len(s) {
		if s[i] < utf8.RuneSelf {
			if marks > longMarks {
				return start, i, true
			}
			start, marks = i, 0
			i++
			continue
		}
		p := norm.NFKD.PropertiesString(s[i:])
		size := max(p.Size(), 1)
		if p.BoundaryBefore() {
			if marks > longMarks {
				return start, i, true
			}
			start, marks = i, 0
		}
		switch d := p.Decomposition(); {
		case d != nil:
			marks += nonStarters(d)
		case p.CCC() != 0:
			marks++
		}
		i += size
	}
	return start, i, marks > longMarks
}

func nonStarters(d []byte) (n int) {
	for len(d) > 0 {
		p := norm.NFKD.Properties(d)
		if p.CCC() != 0 {
			n++
		}
		d = d[max(p.Size(), 1):]
	}
	return n
}

type markedRune struct {
	r   rune
	ccc uint8
}

// normalizeRun normalises one run by the definition (UAX 15, D108 to D117):
// decompose, order marks stably by class, and for the composed forms join each
// mark to the last starter unless something of the same or a higher class lies
// between.
func normalizeRun(f norm.Form, s string) string {
	decomposed, composes := norm.NFD, f == norm.NFC || f == norm.NFKC
	if f == norm.NFKC || f == norm.NFKD {
		decomposed = norm.NFKD
	}
	var runes []markedRune
	for i := 0; i < len(s); {
		r, w := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && w == 1 {
			// An ill-formed byte is a boundary; keep it as it is.
			return f.String(s[:i]) + s[i:i+1] + normalForm(f, s[i+1:])
		}
		for _, d := range decomposed.String(s[i : i+w]) {
			ccc := decomposed.PropertiesString(string(d)).CCC()
			runes = append(runes, markedRune{d, ccc})
		}
		i += w
	}
	for i := 0; i < len(runes); {
		k := i
		for k < len(runes) && runes[k].ccc != 0 {
			k++
		}
		slices.SortStableFunc(runes[i:k], func(a, b markedRune) int { return int(a.ccc) - int(b.ccc) })
		i = k + 1
	}
	if composes {
		runes = compose(runes)
	}
	var sb strings.Builder
	for _, m := range runes {
		sb.WriteRune(m.r)
	}
	return sb.String()
}

func compose(runes []markedRune) []markedRune {
	out := runes[:0:0]
	starter := -1
	for _, m := range runes {
		if starter >= 0 {
			last := out[len(out)-1]
			blocked := len(out)-1 > starter && last.ccc >= m.ccc
			if !blocked {
				pair := string(out[starter].r) + string(m.r)
				joined := norm.NFC.String(pair)
				if r, w := utf8.DecodeRuneInString(joined); w == len(joined) {
					out[starter].r = r
					continue
				}
			}
		}
		if m.ccc == 0 {
			starter = len(out)
		}
		out = append(out, m)
	}
	return out
}
