package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer is one step of text normalisation.
type normalizer struct {
	signature string // canonical description, part of the digest
	apply     func(string) string
}

type normalizerJSON struct {
	Type        string            `json:"type"`
	Normalizers []json.RawMessage `json:"normalizers"`
	Pattern     patternJSON       `json:"pattern"`
	Content     string            `json:"content"`
	Prepend     string            `json:"prepend"`
	StripLeft   *bool             `json:"strip_left"`
	StripRight  *bool             `json:"strip_right"`
}

// patternJSON is the pattern of a Replace or Split: exactly one field is set.
type patternJSON struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

// parseNormalizer appends the steps that raw describes.
func parseNormalizer(raw json.RawMessage, steps []normalizer, depth int) ([]normalizer, error) {
	if isNull(raw) {
		return steps, nil
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("tokenizer: normalizer sequences nest deeper than %d", maxNesting)
	}
	var j normalizerJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("tokenizer: normalizer: %w", err)
	}
	forms := map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}
	if f, ok := forms[j.Type]; ok {
		return append(steps, normalizer{j.Type, func(s string) string { return normalForm(f, s) }}), nil
	}
	switch j.Type {
	case "Sequence":
		var err error
		for _, part := range j.Normalizers {
			if steps, err = parseNormalizer(part, steps, depth+1); err != nil {
				return nil, err
			}
		}
		return steps, nil
	case "Lowercase":
		return append(steps, normalizer{"Lowercase", lowercase}), nil
	case "Prepend":
		p := j.Prepend
		return append(steps, normalizer{"Prepend " + p, func(s string) string {
			if s == "" {
				return s
			}
			return p + s
		}}), nil
	case "Replace":
		if j.Pattern.String == nil || *j.Pattern.String == "" {
			return nil, fmt.Errorf("tokenizer: normalizer Replace needs a non-empty String pattern; patterns given as Regex are not supported")
		}
		from, to := *j.Pattern.String, j.Content
		return append(steps, normalizer{fmt.Sprintf("Replace %q %q", from, to), func(s string) string {
			return strings.ReplaceAll(s, from, to)
		}}), nil
	case "Strip":
		left, right := j.StripLeft == nil || *j.StripLeft, j.StripRight == nil || *j.StripRight
		return append(steps, normalizer{fmt.Sprintf("Strip %t %t", left, right), func(s string) string {
			if left {
				s = s[spaceRight(s, 0):]
			}
			if right {
				s = s[:spaceLeft(s, len(s))]
			}
			return s
		}}), nil
	}
	return nil, fmt.Errorf("tokenizer: normalizer %q is not supported; known are NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace (String pattern), Strip and Sequence", j.Type)
}

// lowercase maps each rune to its full lower case. U+0130 is the only one whose
// lower case is two runes (Unicode SpecialCasing, unconditional mappings).
func lowercase(s string) string {
	changed := false
	for _, r := range s {
		if r == 'İ' || unicode.ToLower(r) != r {
			changed = true
			break
		}
	}
	if !changed {
		return s
	}
	var sb strings.Builder
	sb.Grow(len(s))
	for i := 0; i < len(s); {
		r, w := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && w == 1:
			sb.WriteByte(s[i]) // ill-formed bytes pass through
		case r == 'İ':
			sb.WriteString("i\u0307")
		default:
			sb.WriteRune(unicode.ToLower(r))
		}
		i += w
	}
	return sb.String()
}
