package lang

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/diag"
)

func (l *loader) errorAt(r hcl.Range, summary, format string, args ...any) {
	l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary,
		Detail: fmt.Sprintf(format, args...), Subject: r.Ptr()})
}

// Diagnostics attaches ranges to findings about the arguments of b: the
// argument's expression where there is one, the block's head otherwise.
func (b *Body) Diagnostics(list diag.List) hcl.Diagnostics {
	var out hcl.Diagnostics
	for _, d := range list {
		h := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: d.Summary, Detail: d.Detail}
		if d.Severity == diag.Warning {
			h.Severity = hcl.DiagWarning
		}
		h.Subject = b.Range(d.Arg).Ptr()
		out = append(out, h)
	}
	return out
}

// Range finds what a finding's argument points at: "rank",
// "optimizer.learning_rate", "override[1].sparsity", "settings[1].group_size" in a
// list of objects, "" for the block. An argument that is not written is at the head of the block it belongs in.
func (b *Body) Range(arg string) hcl.Range {
	name, rest, nested := strings.Cut(arg, ".")
	typ, index := name, 0
	if head, number, ok := strings.Cut(name, "["); ok {
		if n, err := strconv.Atoi(strings.TrimSuffix(number, "]")); err == nil {
			typ, index = head, n
		}
	}
	if a := b.Attr(typ); a != nil {
		if typ != name {
			return inList(a.Expr, index, rest)
		}
		return a.Expr.Range()
	}
	for _, n := range b.Blocks {
		if n.Type != typ {
			continue
		}
		if index > 0 {
			index--
			continue
		}
		if nested {
			return n.Range(rest)
		}
		return n.DefRange
	}
	return b.DefRange
}

// inList finds element index of a list that is written out, and attr in it if it
// is an object; otherwise what stands around them.
func inList(list hcl.Expression, index int, attr string) hcl.Range {
	elements, diags := hcl.ExprList(list)
	if diags.HasErrors() || index >= len(elements) {
		return list.Range()
	}
	pairs, diags := hcl.ExprMap(elements[index])
	if !diags.HasErrors() {
		for _, p := range pairs {
			if k, d := p.Key.Value(nil); !d.HasErrors() && k.IsWhollyKnown() && !k.IsNull() && k.Type() == cty.String && k.AsString() == attr {
				return p.Value.Range()
			}
		}
	}
	return elements[index].Range()
}

// sortDiagnostics orders by file and line, those without a place first, and
// keeps the order in which equal places were found. Repetitions go: a module's
// text is checked once for each of its instances.
func sortDiagnostics(diags hcl.Diagnostics) hcl.Diagnostics {
	place := func(d *hcl.Diagnostic) hcl.Range {
		if d.Subject == nil {
			return hcl.Range{}
		}
		return *d.Subject
	}
	type content struct {
		severity        hcl.DiagnosticSeverity
		at              hcl.Range
		summary, detail string
	}
	seen := map[content]bool{}
	diags = slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool {
		c := content{d.Severity, place(d), d.Summary, d.Detail}
		twice := seen[c]
		seen[c] = true
		return twice
	})
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int {
		x, y := place(a), place(b)
		return cmp.Or(cmp.Compare(x.Filename, y.Filename), cmp.Compare(x.Start.Byte, y.Start.Byte))
	})
	return diags
}

// Merge joins and sorts the diagnostics of several steps.
func Merge(steps ...hcl.Diagnostics) hcl.Diagnostics {
	return sortDiagnostics(slices.Concat(steps...))
}
