package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// addedToken is a token matched verbatim in text. The JSON names are those of
// tokenizer.json.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // match only between non-word characters
	LStrip     bool   `json:"lstrip"`      // swallow white space to the left
	RStrip     bool   `json:"rstrip"`      // swallow white space to the right
	Normalized bool   `json:"normalized"`  // match in normalised text rather than in the raw one
	Special    bool   `json:"special"`
}

// matcher finds added tokens: leftmost match, longest among those that start
// there. It is a byte trie; a nil *matcher finds nothing.
type matcher struct {
	tokens []addedToken
	first  [256]bool
	nodes  []trieNode
}

type trieNode struct {
	edges []trieEdge
	token int32 // index into tokens, -1 for none
}

type trieEdge struct {
	b  byte
	to int32
}

// newMatcher indexes tokens under patterns[i], which differs from the content
// of tokens[i] where a normaliser changes it. It returns nil for no tokens.
func newMatcher(tokens []addedToken, patterns []string) *matcher {
	if len(tokens) == 0 {
		return nil
	}
	m := &matcher{tokens: tokens, nodes: []trieNode{{token: -1}}}
	for i, p := range patterns {
		if p == "" { // a normaliser may leave nothing to match
			continue
		}
		m.first[p[0]] = true
		at := int32(0)
		for k := range len(p) {
			to := m.step(at, p[k])
			if to < 0 {
				to = int32(len(m.nodes))
				m.nodes = append(m.nodes, trieNode{token: -1})
				m.nodes[at].edges = append(m.nodes[at].edges, trieEdge{p[k], to})
			}
			at = to
		}
		m.nodes[at].token = int32(i)
	}
	return m
}

func (m *matcher) step(at int32, b byte) int32 {
	for _, e := range m.nodes[at].edges {
		if e.b == b {
			return e.to
		}
	}
	return -1
}

// longest returns the longest token that starts at s[i:], or -1.
func (m *matcher) longest(s string, i int) (token int32, end int) {
	token = -1
	at := int32(0)
	for k := i; k < len(s); k++ {
		if at = m.step(at, s[k]); at < 0 {
			break
		}
		if t := m.nodes[at].token; t >= 0 {
			token, end = t, k+1
		}
	}
	return token, end
}

// split calls text for each stretch between added tokens and token for each
// added token, in order. With special false, special tokens stay text.
//
// A match that single_word or special rules out is passed over whole: a shorter
// or later token inside it is not tried. That is what the Rust library does.
func (m *matcher) split(s string, special bool, text func(string), token func(id int32)) {
	if s == "" {
		return
	}
	if m == nil {
		text(s)
		return
	}
	done := 0
	for i := 0; i < len(s); {
		if !m.first[s[i]] {
			i++
			continue
		}
		t, end := m.longest(s, i)
		if t < 0 {
			i++
			continue
		}
		a := &m.tokens[t]
		start, stop := i, end
		i = end
		if a.Special && !special {
			continue
		}
		if a.SingleWord && (wordBefore(s, start) || wordAfter(s, stop)) {
			continue
		}
		if a.LStrip {
			start = spaceLeft(s, start) // may lie before done, where rstrip took the same space
		}
		if a.RStrip {
			stop = spaceRight(s, stop)
		}
		if done < start {
			text(s[done:start])
		}
		token(a.ID)
		done = stop
	}
	if done < len(s) {
		text(s[done:])
	}
}

// isWord is \w of Unicode regular expressions (UTS 18, annex C).
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc,
		unicode.Other_Alphabetic, unicode.Join_Control)
}

func wordBefore(s string, i int) bool {
	r, w := utf8.DecodeLastRuneInString(s[:i])
	return w > 0 && isWord(r)
}

func wordAfter(s string, i int) bool {
	r, w := utf8.DecodeRuneInString(s[i:])
	return w > 0 && isWord(r)
}

// spaceLeft returns where the white space that ends at i begins.
func spaceLeft(s string, i int) int {
	for i > 0 {
		r, w := utf8.DecodeLastRuneInString(s[:i])
		if !unicode.Is(unicode.White_Space, r) {
			break
		}
		i -= w
	}
	return i
}

// spaceRight returns where the white space that begins at i ends.
func spaceRight(s string, i int) int {
	return runOf(s, i, classSpace)
}
