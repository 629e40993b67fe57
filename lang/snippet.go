package lang

import (
	"bytes"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcled"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
)

// snippet is the source a diagnostic is about, as text and JSON show it.
type snippet struct {
	// context is the block around it: `prune "wanda" "x"`, "" for none.
	context string
	// code is whole lines, without the last line's end.
	code      string
	startLine int
	// start and end are the byte offsets in code of what is underlined.
	start, end int
	values     []snippetValue
}

// snippetValue is the value of a reference in the expression.
type snippetValue struct {
	traversal, statement string
}

// newSnippet returns nil where the source is not at hand.
func newSnippet(d *hcl.Diagnostic, files map[string]*hcl.File) *snippet {
	if d.Subject == nil || files[d.Subject.Filename] == nil {
		return nil
	}
	file := files[d.Subject.Filename]
	src := file.Bytes
	from, to := clamp(d.Subject.Start.Byte, src), clamp(d.Subject.End.Byte, src)
	to = max(to, from)
	s := &snippet{context: hcled.ContextString(file, from)}
	lineStart := bytes.LastIndexByte(src[:from], '\n') + 1
	lineEnd := len(src)
	// A subject that ends with its line's end belongs to that line alone.
	last := to
	if last > from && src[last-1] == '\n' {
		last--
	}
	if i := bytes.IndexByte(src[last:], '\n'); i >= 0 {
		lineEnd = last + i
	}
	s.code = strings.TrimRight(string(src[lineStart:lineEnd]), "\r")
	s.startLine = 1 + bytes.Count(src[:lineStart], []byte{'\n'})
	s.start, s.end = min(from-lineStart, len(s.code)), min(to-lineStart, len(s.code))
	s.values = snippetValues(d)
	return s
}

func clamp(offset int, src []byte) int { return max(0, min(offset, len(src))) }

func snippetValues(d *hcl.Diagnostic) []snippetValue {
	if d.Expression == nil || d.EvalContext == nil {
		return nil
	}
	seen := map[string]bool{}
	var list []snippetValue
	for _, t := range d.Expression.Variables() {
		v, diags := t.TraverseAbs(d.EvalContext)
		name := strings.Join(steps(t), ".")
		if diags.HasErrors() || seen[name] || v == cty.NilVal {
			continue
		}
		seen[name] = true
		statement := "is " + schema.Spell(v)
		if !v.IsKnown() {
			statement = "is known only after a run"
		}
		list = append(list, snippetValue{name, statement})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].traversal < list[j].traversal })
	return list
}
