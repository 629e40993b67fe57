package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// alphabet is the byte alphabet: alphabet[b] spells byte b. Printable Latin-1
// bytes spell themselves, the other 68 take U+0100 onwards in byte order.
var alphabet = func() (a [256]rune) {
	next := rune(256)
	for b := range a {
		if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
			a[b] = rune(b)
			continue
		}
		a[b] = next
		next++
	}
	return a
}()

// alphabetBytes inverts alphabet; -1 marks runes below 324 that spell no byte.
var alphabetBytes = func() (inv [324]int16) {
	for r := range inv {
		inv[r] = -1
	}
	for b, r := range alphabet {
		inv[r] = int16(b)
	}
	return inv
}()

// spell writes bytes in the byte alphabet.
func spell(raw string) string {
	var sb strings.Builder
	sb.Grow(len(raw) + len(raw)/4)
	for i := range len(raw) {
		sb.WriteRune(alphabet[raw[i]])
	}
	return sb.String()
}

// unspell inverts spell; ok is false when s holds a rune outside the alphabet.
func unspell(s string) (raw string, ok bool) {
	buf := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, w := utf8.DecodeRuneInString(s[i:])
		if int(r) >= len(alphabetBytes) || alphabetBytes[r] < 0 {
			return "", false
		}
		buf = append(buf, byte(alphabetBytes[r]))
		i += w
	}
	return string(buf), true
}
