package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/didyoumean"
)

// AxisRoot is the name under which a sweep's where sees its own axes.
const AxisRoot = "axis"

// resolve finds what each expression refers to, the gates of requires and the
// from of selects, then the cycles among all of these.
func (l *loader) resolve() {
	for _, b := range l.Blocks {
		if b.Kind == KindVariable {
			continue
		}
		b.Body.All(func(a *Attr) { l.resolveAttr(b, a) })
	}
	for _, b := range l.Blocks {
		if b.Kind == KindSelect {
			l.resolveFrom(b)
		}
	}
	l.findCycles()
}

func (l *loader) resolveAttr(b *Block, a *Attr) {
	if a.Name == "requires" {
		l.resolveRequires(b, a)
		return
	}
	for _, t := range a.Expr.Variables() {
		if b.Kind == KindSweep && t.RootName() == AxisRoot {
			l.checkAxis(b, a, t)
			continue
		}
		if r, ok := l.resolveTraversal(t); ok {
			if !slices.ContainsFunc(a.Refs, func(x Ref) bool { return x == r }) {
				a.Refs = append(a.Refs, r)
			}
			continue
		}
		a.Broken = true
	}
}

// steps returns the leading names of a traversal: x.y and x["y"] alike, up to
// the first that is no name.
func steps(t hcl.Traversal) []string {
	var names []string
	for _, s := range t {
		switch s := s.(type) {
		case hcl.TraverseRoot:
			names = append(names, s.Name)
		case hcl.TraverseAttr:
			names = append(names, s.Name)
		case hcl.TraverseIndex:
			if s.Key.Type() != cty.String {
				return names
			}
			names = append(names, s.Key.AsString())
		default:
			return names
		}
	}
	return names
}

func (l *loader) roots() []string {
	names := []string{"var", "local", "all", "sweep", "select", "model", "data"}
	for _, v := range Verbs {
		if v.Yields != YieldsNothing {
			names = append(names, v.Name)
		}
	}
	return names
}

func (l *loader) resolveTraversal(t hcl.Traversal) (Ref, bool) {
	names := steps(t)
	whole := t.SourceRange()
	r := Ref{Range: whole}
	if names[0] == "all" {
		if len(names) < 3 {
			l.errorAt(whole, "Invalid reference", "A list over a block's points is written all.evaluate.name.")
			return r, false
		}
		r.All, names = true, names[1:]
	}
	root := names[0]
	if !slices.Contains(l.roots(), root) || root == "all" {
		l.unknownRoot(whole, root, names)
		return r, false
	}
	if len(names) < 2 {
		l.errorAt(whole, "Invalid reference", "A reference to a %s has its name after a dot: %s.name.", rootNoun(root), root)
		return r, false
	}
	r.Block = l.index[root+"."+names[1]]
	if r.Block == nil {
		if !l.damaged {
			l.unknownName(whole, root, names[1])
		}
		return r, false
	}
	if r.All && r.Block.Kind != KindVerb {
		l.errorAt(whole, "Invalid reference", "The list all.%s is there for blocks that have results; %s is a %s.", r.Block.Addr(), r.Block.Addr(), rootNoun(root))
		return r, false
	}
	if len(names) > 2 && !r.All {
		r.Attr = names[2]
	}
	return r, l.checkRefAttr(r)
}

func rootNoun(root string) string {
	switch root {
	case "var":
		return "variable"
	case "data":
		return "data block"
	case "model", "local", "sweep", "select", "gate":
		return root
	}
	return root + " block"
}

func (l *loader) unknownRoot(at hcl.Range, root string, names []string) {
	detail := ""
	switch {
	case root == "gate":
		detail = "A gate is no value: name it in the argument requires."
	case root == "export" || root == "output" || root == "allocate":
		detail = fmt.Sprintf("Blocks of type %s yield nothing to refer to.", root)
	case root == AxisRoot:
		detail = "The name axis is there in the argument where of a sweep only. Elsewhere write sweep.name.axis."
	case root == "module" || root == "adapter" || root == "each":
		detail = fmt.Sprintf("References to %s are not supported yet.", root)
	default:
		detail = fmt.Sprintf("There is nothing called %q.", root)
		near := didyoumean.Nearest(root, l.roots())
		if near != "" && len(names) > 1 && l.index[near+"."+names[1]] != nil {
			near += "." + names[1]
		}
		if near != "" {
			detail += fmt.Sprintf(" Did you mean %q?", near)
		} else if named := l.named(root); named != "" {
			detail += fmt.Sprintf(" Did you mean %q?", named)
		} else {
			detail += " References begin with " + didyoumean.Join(l.roots()) + "."
		}
	}
	l.errorAt(at, "Unknown reference", "%s", detail)
}

// named returns the address of a block of that name, of any type.
func (l *loader) named(name string) string {
	for _, b := range l.Blocks {
		if b.Name == name && (b.Yields() != YieldsNothing || b.Kind == KindVariable || b.Kind == KindLocal || b.Kind == KindSweep) {
			return b.Addr()
		}
	}
	return ""
}

func (l *loader) unknownName(at hcl.Range, root, name string) {
	var names []string
	for _, b := range l.Blocks {
		if strings.HasPrefix(b.Addr(), root+".") {
			names = append(names, b.Name)
		}
	}
	detail := fmt.Sprintf("There is no %s %q.", rootNoun(root), name)
	if named := l.named(name); named != "" {
		detail += fmt.Sprintf(" Did you mean %q?", named)
	} else if near := didyoumean.Nearest(name, names); near != "" {
		detail += fmt.Sprintf(" Did you mean %q?", root+"."+near)
	}
	l.errorAt(at, "Unknown reference", "%s", detail)
}

// checkRefAttr checks the attribute of references whose attributes are fixed.
func (l *loader) checkRefAttr(r Ref) bool {
	if r.Attr == "" {
		return true
	}
	var known []string
	switch {
	case r.Block.Kind == KindSweep:
		if r.Block.Broken {
			return true
		}
		known = r.Block.Axes()
	case r.Block.Yields() == YieldsModel:
		known = attrNames(ModelAttrs)
	case r.Block.Yields() == YieldsData:
		known = attrNames(DataAttrs)
	default:
		return true
	}
	if slices.Contains(known, r.Attr) {
		return true
	}
	what := "attribute"
	if r.Block.Kind == KindSweep {
		what = "axis"
	}
	l.errorAt(r.Range, "Unsupported attribute", "%s has no %s %q.%s It has %s.", r.Block.Addr(), what, r.Attr,
		didyoumean.Hint(r.Attr, known), strings.Join(known, ", "))
	return false
}

// Axes returns the axes of a sweep in the order they are written.
func (b *Block) Axes() []string {
	var axes []string
	for _, a := range b.Body.Attrs {
		if !slices.Contains(SweepArgs, a.Name) {
			axes = append(axes, a.Name)
		}
	}
	return axes
}

func (l *loader) checkAxis(b *Block, a *Attr, t hcl.Traversal) {
	names := steps(t)
	axes := b.Axes()
	switch {
	case a.Name != "where":
		l.errorAt(t.SourceRange(), "Unknown reference", "The values of an axis cannot depend on another axis; filter with where.")
	case len(names) < 2:
		l.errorAt(t.SourceRange(), "Invalid reference", "An axis has its name after a dot: axis.%s.", strings.Join(axes, ", axis."))
	case !slices.Contains(axes, names[1]):
		l.errorAt(t.SourceRange(), "Unknown reference", "The sweep %q has no axis %q.%s", b.Name, names[1], didyoumean.Hint(names[1], axes))
	default:
		return
	}
	a.Broken = true
}

// staticTraversal reads an expression that is a name and nothing else, nil if
// it is not. In JSON both "gate.x" and "${gate.x}" are.
func staticTraversal(e hcl.Expression) hcl.Traversal {
	if t, diags := hcl.AbsTraversalForExpr(e); !diags.HasErrors() {
		return t
	}
	if _, native := e.(hclsyntax.Expression); native {
		return nil
	}
	if vars := e.Variables(); len(vars) == 1 {
		return vars[0]
	}
	return nil
}

func (l *loader) resolveRequires(b *Block, a *Attr) {
	items, diags := hcl.ExprList(a.Expr)
	if diags.HasErrors() {
		a.Broken = true
		l.errorAt(a.Expr.Range(), "Invalid requires", "The argument requires is a list of gates: [gate.name].")
		return
	}
	for _, item := range items {
		var names []string
		if t := staticTraversal(item); t != nil {
			names = steps(t)
		}
		if len(names) != 2 || names[0] != "gate" {
			a.Broken = true
			l.errorAt(item.Range(), "Invalid requires", "The argument requires is a list of gates: [gate.name].")
			continue
		}
		gate := l.index["gate."+names[1]]
		if gate == nil {
			a.Broken = true
			if !l.damaged {
				l.unknownName(item.Range(), "gate", names[1])
			}
			continue
		}
		b.Requires = append(b.Requires, gate)
	}
}

func (l *loader) resolveFrom(b *Block) {
	a := b.Body.Attr("from")
	if a == nil || a.Broken {
		return
	}
	t := staticTraversal(a.Expr)
	if t != nil && len(a.Refs) == 0 { // JSON's "compensate.name", which is no expression to HCL
		r, ok := l.resolveTraversal(t)
		if !ok {
			a.Broken = true
			return
		}
		a.Refs = []Ref{r}
	}
	if len(t) != 2 || len(a.Refs) != 1 || a.Refs[0].Block.Yields() != YieldsModel {
		a.Broken = true
		l.errorAt(a.Expr.Range(), "Invalid from", "A select chooses among the points of one block that yields a model: from = compensate.name.")
		return
	}
	b.From = a.Refs[0].Block
}

// Needs returns the blocks that b refers to in any way, each once, in source
// order.
func (b *Block) Needs() []*Block {
	var list []*Block
	add := func(n *Block) {
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	b.Body.All(func(a *Attr) {
		for _, r := range a.Refs {
			add(r.Block)
		}
	})
	for _, g := range b.Requires {
		add(g)
	}
	return list
}

// findCycles reports each group of blocks that depend on each other once, with
// the whole way round, and breaks them.
func (l *loader) findCycles() {
	const onPath, done = 1, 2
	state := map[*Block]int{}
	var path []*Block
	var visit func(*Block)
	visit = func(b *Block) {
		switch state[b] {
		case done:
			return
		case onPath:
			l.reportCycle(path[slices.Index(path, b):])
			return
		}
		state[b] = onPath
		path = append(path, b)
		for _, n := range b.Needs() {
			visit(n)
		}
		path = path[:len(path)-1]
		state[b] = done
	}
	for _, b := range l.Blocks {
		visit(b)
	}
}

func (l *loader) reportCycle(cycle []*Block) {
	// A block on a cycle reported before leads to the same mistake.
	if slices.ContainsFunc(cycle, func(b *Block) bool { return b.Broken && b.inCycle }) {
		return
	}
	var way strings.Builder
	for i, b := range cycle {
		next := cycle[(i+1)%len(cycle)]
		at, arg := b.Body.DefRange, "requires"
		b.Body.All(func(a *Attr) {
			for _, r := range a.Refs {
				if r.Block == next && arg == "requires" {
					at, arg = r.Range, a.Name
				}
			}
		})
		if a := b.Body.Attr("requires"); arg == "requires" && a != nil {
			at = a.Expr.Range()
		}
		fmt.Fprintf(&way, "\n  %s needs %s, at %s", b.Addr(), next.Addr(), where(at))
		b.Broken, b.inCycle = true, true
	}
	if len(cycle) == 1 {
		l.errorAt(cycle[0].Body.DefRange, "Cycle", "%s refers to itself:%s", cycle[0].Addr(), way.String())
		return
	}
	l.errorAt(cycle[0].Body.DefRange, "Cycle", "These blocks need each other:%s", way.String())
}
