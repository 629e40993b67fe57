package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Names such as prune.x[each.key].size stand for one instance, but HCL calls
// only prune.x a reference. Where the key is known before anything is planned,
// the reference is narrowed to its instance, so that a block does not hang on
// all the others.

// narrowed returns the references of an expression, those with such a key
// followed by it and by the attributes behind it.
func (l *loader) narrowed(a *Attr) []hcl.Traversal {
	list := a.Expr.Variables()
	if !a.Owner.Module.keyed {
		return list
	}
	longer := map[hcl.Range]hcl.Traversal{}
	eachSyntax(a.Expr, func(n hclsyntax.Node) {
		var rest hcl.Traversal
		if r, ok := n.(*hclsyntax.RelativeTraversalExpr); ok {
			inner, ok := r.Source.(hclsyntax.Node)
			if !ok {
				return
			}
			n, rest = inner, r.Traversal
		}
		x, ok := n.(*hclsyntax.IndexExpr)
		if !ok {
			return
		}
		of, ok := x.Collection.(*hclsyntax.ScopeTraversalExpr)
		if !ok || !l.hasInstances(a.Owner.Module, of.Traversal) {
			return
		}
		at := of.Traversal.SourceRange()
		if longer[at] != nil {
			return // the node around this one, which says more, came first
		}
		s := &static{l: l, busy: map[*Block]bool{}}
		key, diags := s.value(x.Key, a.Owner)
		if s.lost || diags.HasErrors() || !key.IsKnown() || key.IsNull() || key.Type() != cty.String {
			return
		}
		t := append(append(hcl.Traversal{}, of.Traversal...), hcl.TraverseIndex{Key: key, SrcRange: x.BracketRange})
		longer[at] = append(t, rest...)
	})
	if len(longer) == 0 {
		return list
	}
	out := make([]hcl.Traversal, len(list))
	for i, t := range list {
		out[i] = t
		if l := longer[t.SourceRange()]; l != nil {
			out[i] = l
		}
	}
	return out
}

// wholeReference returns the names of an expression that is one reference and
// nothing else, nil if it is not: gate.x, gate.x["k"] and gate.x[each.key], in
// JSON as "gate.x" too.
func (l *loader) wholeReference(e hcl.Expression, owner *Block) []string {
	if t := staticTraversal(e); t != nil {
		if names := steps(t); len(names) == len(t) {
			return names
		}
		return nil
	}
	var whole hclsyntax.Node
	eachSyntax(e, func(n hclsyntax.Node) {
		switch n.(type) {
		case *hclsyntax.TemplateWrapExpr, *hclsyntax.ParenthesesExpr:
		default:
			if whole == nil {
				whole = n
			}
		}
	})
	x, ok := whole.(*hclsyntax.IndexExpr)
	if !ok {
		return nil
	}
	of, ok := x.Collection.(*hclsyntax.ScopeTraversalExpr)
	if !ok {
		return nil
	}
	s := &static{l: l, busy: map[*Block]bool{}}
	key, diags := s.value(x.Key, owner)
	if !s.lost && !diags.HasErrors() && !key.IsKnown() && len(s.blocks) == 0 {
		return append(steps(of.Traversal), "?") // for lack of a variable: any instance will do
	}
	if s.lost || diags.HasErrors() || !key.IsKnown() || key.IsNull() || key.Type() != cty.String {
		return nil
	}
	return append(steps(of.Traversal), key.AsString())
}

// hasInstances reports whether a traversal is the name of a block with for_each
// and nothing behind it.
func (l *loader) hasInstances(m *Module, t hcl.Traversal) bool {
	names := steps(t)
	if len(names) == 3 && names[0] == "all" {
		names = names[1:]
	}
	if len(names) != 2 {
		return false
	}
	e := m.entries[names[0]+"."+names[1]]
	return e != nil && e.declared.Keyed
}

// eachSyntax calls f for each node of an expression, outer ones first. Strings
// of the JSON form are templates.
func eachSyntax(e hcl.Expression, f func(hclsyntax.Node)) {
	if n, ok := e.(hclsyntax.Expression); ok {
		_ = hclsyntax.VisitAll(n, func(n hclsyntax.Node) hcl.Diagnostics { // f reports nothing
			f(n)
			return nil
		})
		return
	}
	if items, diags := hcl.ExprList(e); !diags.HasErrors() {
		for _, i := range items {
			eachSyntax(i, f)
		}
		return
	}
	if pairs, diags := hcl.ExprMap(e); !diags.HasErrors() {
		for _, p := range pairs {
			eachSyntax(p.Value, f)
		}
		return
	}
	// Without a context a JSON string is what is written.
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return
	}
	start := e.Range().Start
	start.Byte++
	start.Column++
	if n, diags := hclsyntax.ParseTemplate([]byte(v.AsString()), e.Range().Filename, start); !diags.HasErrors() {
		eachSyntax(n, f)
	}
}
