package server

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/lang"
)

// name is a place where a name stands: of a block, a local, an axis of a sweep,
// an argument of a module.
type name struct {
	// addr is what is named: "prune.sparse", "var.n", "sweep.rank.rank",
	// "module.m.out".
	addr string
	// at covers the name alone, whole the reference up to it, or the block's
	// head.
	at, whole hcl.Range
	declares  bool
}

// names lists the names in the files of a folder, which are parsed as far as
// they can be.
func names(files map[string]*hcl.File) []name {
	var list []name
	for _, file := range sorted(files) {
		body, ok := files[file].Body.(*hclsyntax.Body)
		if !ok {
			continue
		}
		if strings.HasSuffix(file, lang.VarsSuffix) {
			for _, a := range attributes(body) {
				list = append(list, name{"var." + a.Name, a.NameRange, a.NameRange, false})
			}
			continue
		}
		for _, b := range body.Blocks {
			list = append(list, declared(b)...)
		}
		// The visitor reports nothing.
		_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
			if t, ok := n.(*hclsyntax.ScopeTraversalExpr); ok {
				list = append(list, referred(t.Traversal)...)
			}
			return nil
		})
	}
	slices.SortFunc(list, func(a, b name) int {
		return strings.Compare(a.at.Filename, b.at.Filename)*4 + compare(a.at.Start.Byte, b.at.Start.Byte)
	})
	return list
}

func compare(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// attributes are those of a body in source order.
func attributes(b *hclsyntax.Body) []*hclsyntax.Attribute {
	var list []*hclsyntax.Attribute
	for _, n := range sorted(b.Attributes) {
		list = append(list, b.Attributes[n])
	}
	slices.SortFunc(list, func(x, y *hclsyntax.Attribute) int { return compare(x.SrcRange.Start.Byte, y.SrcRange.Start.Byte) })
	return list
}

// declared are the names that a block gives.
func declared(b *hclsyntax.Block) []name {
	if b.Type == "locals" {
		var list []name
		for _, a := range attributes(b.Body) {
			list = append(list, name{"local." + a.Name, a.NameRange, a.NameRange, true})
		}
		return list
	}
	addr := blockAddr(b)
	if addr == "" {
		return nil
	}
	label := b.LabelRanges[len(b.LabelRanges)-1]
	list := []name{{addr, inner(label), b.DefRange(), true}}
	for _, a := range attributes(b.Body) {
		switch {
		case b.Type == "sweep" && !slices.Contains(lang.SweepArgs, a.Name):
			list = append(list, name{addr + "." + a.Name, a.NameRange, a.NameRange, true})
		case b.Type == "sweep" && a.Name == "where":
			for _, t := range a.Expr.Variables() {
				if t.RootName() == lang.AxisRoot && len(t) > 1 {
					list = append(list, step(addr, t, 1)...)
				}
			}
		}
	}
	return list
}

// blockAddr is what the block is referred to as, "" where it has no name.
func blockAddr(b *hclsyntax.Block) string {
	if len(b.Labels) == 0 || b.Type == "pipeline" {
		return ""
	}
	root := b.Type
	if root == "variable" {
		root = "var"
	}
	return root + "." + b.Labels[len(b.Labels)-1]
}

// inner is a label without its quotes.
func inner(r hcl.Range) hcl.Range {
	if r.End.Byte-r.Start.Byte >= 2 {
		r.Start.Byte++
		r.Start.Column++
		r.End.Byte--
		r.End.Column--
	}
	return r
}

// referred are the names in a reference: the block's, and behind a sweep the
// axis', behind a module the output's.
func referred(t hcl.Traversal) []name {
	first := 1
	if t.RootName() == "all" {
		first = 2
	}
	if len(t) <= first {
		return nil
	}
	root := stepName(t[first-1])
	list := step(root, t, first)
	if len(list) == 0 {
		return nil
	}
	next := first + 1
	switch root {
	case "module":
		// A key stands before the output.
		if next < len(t) {
			if _, keyed := t[next].(hcl.TraverseIndex); keyed {
				next++
			}
		}
		fallthrough
	case "sweep":
		if next < len(t) {
			list = append(list, step(list[0].addr, t, next)...)
		}
	}
	return list
}

func stepName(s hcl.Traverser) string {
	switch s := s.(type) {
	case hcl.TraverseRoot:
		return s.Name
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString()
		}
	}
	return ""
}

// step is the name at one step of a reference: ".name" or ["name"].
func step(prefix string, t hcl.Traversal, i int) []name {
	n := stepName(t[i])
	if n == "" {
		return nil
	}
	at := t[i].SourceRange()
	whole := hcl.RangeBetween(t.SourceRange(), at)
	if _, index := t[i].(hcl.TraverseIndex); index {
		at.Start.Byte, at.Start.Column = at.Start.Byte+1, at.Start.Column+1
		at.End.Byte, at.End.Column = at.End.Byte-1, at.End.Column-1
		at = inner(at)
	} else {
		at.Start.Byte = at.End.Byte - len(n)
		at.Start.Column++
	}
	return []name{{prefix + "." + n, at, whole, false}}
}

// nameAt finds the name at an offset: the one that covers it, else the block
// whose reference does.
func nameAt(list []name, file string, offset int) *name {
	covers := func(r hcl.Range) bool {
		return r.Filename == file && r.Start.Byte <= offset && offset <= r.End.Byte
	}
	for i := range list {
		if covers(list[i].at) {
			return &list[i]
		}
	}
	for i := range list {
		if !list[i].declares && covers(list[i].whole) {
			return &list[i]
		}
	}
	return nil
}
