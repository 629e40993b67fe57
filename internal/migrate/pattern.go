package migrate

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/schema"
)

// linears are the names of the linear layers of a decoder block in models of
// the Llama family.
var linears = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// maxGlobs bounds the alternatives that a pattern is spelt out to.
const maxGlobs = 64

// globs turns a Python regular expression over module names, which is matched
// from the beginning of a name on as re.match does, into globs that match the
// same layers. It fails where globs cannot say it.
func globs(expression string) ([]string, error) {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", expression, err)
	}
	list, err := globsOf(re)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", expression, err)
	}
	for i, g := range list {
		g = strings.TrimPrefix(g, beginMark)
		if ended := strings.HasSuffix(g, endMark); ended || endsName(g) {
			list[i] = strings.TrimSuffix(g, endMark)
		} else {
			list[i] = g + "*"
		}
		for strings.Contains(list[i], "**") {
			list[i] = strings.ReplaceAll(list[i], "**", "*")
		}
		if strings.ContainsAny(list[i], beginMark+endMark) || list[i] == "" {
			return nil, fmt.Errorf("%q matches no name", expression)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// beginMark and endMark stand for ^ and $ while globs are put together; no name
// holds them.
const (
	beginMark = "\x01"
	endMark   = "\x00"
)

// endsName reports whether nothing can follow in the name of a layer.
func endsName(glob string) bool {
	return slices.ContainsFunc(linears, func(l string) bool { return strings.HasSuffix(glob, l) })
}

func globsOf(re *syntax.Regexp) ([]string, error) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, nil
	case syntax.OpBeginText, syntax.OpBeginLine:
		return []string{beginMark}, nil
	case syntax.OpEndText, syntax.OpEndLine:
		return []string{endMark}, nil
	case syntax.OpLiteral:
		return []string{escapeGlob(string(re.Rune))}, nil
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		// A dot that is not escaped: in a module's name it stands for a dot.
		return []string{"."}, nil
	case syntax.OpCapture:
		return globsOf(re.Sub[0])
	case syntax.OpCharClass:
		return classGlob(re)
	case syntax.OpStar, syntax.OpPlus:
		if re.Sub[0].Op == syntax.OpAnyCharNotNL || re.Sub[0].Op == syntax.OpAnyChar || isDigits(re.Sub[0]) {
			return []string{"*"}, nil
		}
	case syntax.OpQuest:
		list, err := globsOf(re.Sub[0])
		return append([]string{""}, list...), err
	case syntax.OpAlternate:
		var list []string
		for _, s := range re.Sub {
			more, err := globsOf(s)
			if err != nil {
				return nil, err
			}
			list = append(list, more...)
		}
		return list, nil
	case syntax.OpConcat:
		list := []string{""}
		for _, s := range re.Sub {
			tails, err := globsOf(s)
			if err != nil {
				return nil, err
			}
			var longer []string
			for _, head := range list {
				for _, tail := range tails {
					longer = append(longer, head+tail)
				}
			}
			if list = longer; len(list) > maxGlobs {
				return nil, fmt.Errorf("it has more than %d alternatives", maxGlobs)
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("globs have no counterpart of %s", re)
}

func isDigits(re *syntax.Regexp) bool {
	return re.Op == syntax.OpCharClass && len(re.Rune) == 2 && re.Rune[0] == '0' && re.Rune[1] == '9'
}

// classGlob writes a class of letters and digits; others, such as [^.], would
// match more than they should.
func classGlob(re *syntax.Regexp) ([]string, error) {
	var b strings.Builder
	b.WriteString("[")
	for i := 0; i+1 < len(re.Rune); i += 2 {
		from, to := re.Rune[i], re.Rune[i+1]
		if !isWord(from) || !isWord(to) {
			return nil, fmt.Errorf("globs have no counterpart of %s", re)
		}
		b.WriteRune(from)
		if to > from {
			b.WriteString("-" + string(to))
		}
	}
	if b.Len() == 1 {
		return nil, fmt.Errorf("%s matches nothing", re)
	}
	return []string{b.String() + "]"}, nil
}

func isWord(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
}

// escapeGlob writes text that means itself.
func escapeGlob(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune("*?[", r) {
			b.WriteString("[" + string(r) + "]")
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// paths are the names of the linear layers of a deep model of the Llama family,
// by layer within the block: what patterns are tried on.
var paths = func() map[string][]string {
	out := map[string][]string{}
	for _, l := range linears {
		parent := "mlp"
		if slices.Contains(linears[:4], l) {
			parent = "self_attn"
		}
		for b := range 128 {
			out[l] = append(out[l], fmt.Sprintf("model.layers.%d.%s.%s", b, parent, l))
		}
	}
	return out
}()

// share says which part of some names a pattern matches.
type share int

const (
	none share = iota
	some
	every
)

func shareOf(glob string, names []string) share {
	n := 0
	for _, name := range names {
		if schema.MatchGlob(glob, name) {
			n++
		}
	}
	switch n {
	case 0:
		return none
	case len(names):
		return every
	}
	return some
}

// without returns the globs of the linear layers that are left when others are
// ignored, nil for all of them, and the ignored globs that speak of single
// decoder blocks, which a list of layers cannot say.
func without(ignored []string) (targets, single []string) {
	left := slices.Clone(linears)
	for _, g := range ignored {
		partly := false
		for _, l := range linears {
			switch shareOf(g, paths[l]) {
			case every:
				left = slices.DeleteFunc(left, func(x string) bool { return x == l })
			case some:
				partly = true
			}
		}
		if partly {
			single = append(single, g)
		}
	}
	if len(left) == len(linears) {
		return nil, single
	}
	targets = []string{}
	for _, l := range left {
		targets = append(targets, "*."+l)
	}
	return targets, single
}
