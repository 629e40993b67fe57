package lang

import (
	"fmt"
	"slices"
	"strconv"
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
	if a.Name == "requires" && b.Kind != KindLocal {
		l.resolveRequires(b, a)
		return
	}
	for _, t := range l.narrowed(a) {
		switch root := t.RootName(); {
		case b.Kind == KindSweep && root == AxisRoot:
			l.checkAxis(b, a, t)
			continue
		case root == "path":
			a.UsesPath = true
			if names := steps(t); len(names) < 2 || names[1] != "module" && names[1] != "root" {
				a.Broken = true
				l.errorAt(t.SourceRange(), "Unknown reference", "There is path.module, the folder of this file's module, and path.root, the pipeline's.")
			}
			continue
		case root == "each":
			l.resolveEach(a, t)
			continue
		}
		refs, empty, ok := l.resolveTraversal(a.Owner.Module, t)
		a.Empty = append(a.Empty, empty...)
		for _, r := range refs {
			if !slices.ContainsFunc(a.Refs, r.equal) {
				a.Refs = append(a.Refs, r)
			}
		}
		a.Broken = a.Broken || !ok
	}
	if e, ok := a.Expr.(*hclsyntax.ScopeTraversalExpr); ok && len(a.Refs) == 1 && len(a.Empty) == 0 && !a.UsesEach && !a.UsesPath {
		if n := len(a.Refs[0].In); n <= len(e.Traversal) && e.Traversal.RootName() != AxisRoot {
			a.Plain, a.Rest = true, e.Traversal[n:]
		}
	}
}

// resolveEach resolves each.key and each.value.
func (l *loader) resolveEach(a *Attr, t hcl.Traversal) {
	names := steps(t)
	owner := a.Owner
	switch {
	case owner.each == nil && owner.Kind == KindLocal && owner.Type == "local":
		a.Broken = true
		l.errorAt(t.SourceRange(), "Unknown reference", "A local has one value for all blocks, so that there is no each here. Write the expression into the block with for_each.")
	case owner.each == nil:
		a.Broken = true
		l.errorAt(t.SourceRange(), "Unknown reference", "The name each is there in blocks that have the argument for_each.")
	case len(names) < 2 || names[1] != "key" && names[1] != "value":
		a.Broken = true
		l.errorAt(t.SourceRange(), "Unknown reference", "There is each.key and each.value.")
	case names[1] == "key":
		a.UsesEach = true
	default:
		r := Ref{Block: owner.each, In: []string{"each", "value"}, Range: t.SourceRange()}
		if !slices.ContainsFunc(a.Refs, r.equal) {
			a.Refs = append(a.Refs, r)
		}
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

// refRoots are the names that references begin with.
var refRoots = func() []string {
	names := []string{"var", "local", "all", "sweep", "select", "search", "model", "data", "adapter", "module"}
	for _, v := range Verbs {
		if v.Yields != YieldsNothing {
			names = append(names, v.Name)
		}
	}
	return names
}()

// resolveTraversal resolves one reference from within a module. A name that
// stands for all instances of a block with for_each, or for all outputs of a
// module, gives a reference for each; empty holds where expressions see those
// of which there are none.
func (l *loader) resolveTraversal(m *Module, t hcl.Traversal) (refs []Ref, empty [][]string, ok bool) {
	names := steps(t)
	whole := t.SourceRange()
	proto := Ref{Range: whole}
	if names[0] == "all" {
		if len(names) < 3 {
			l.errorAt(whole, "Invalid reference", "A list over a block's points is written all.evaluate.name.")
			return nil, nil, false
		}
		proto.All, proto.In, names = true, []string{"all"}, names[1:]
	}
	root := names[0]
	if !slices.Contains(refRoots, root) || root == "all" {
		l.unknownRoot(m, whole, root, names)
		return nil, nil, false
	}
	if len(names) < 2 {
		l.errorAt(whole, "Invalid reference", "A reference to a %s has its name after a dot: %s.name.", rootNoun(root), root)
		return nil, nil, false
	}
	e := m.entries[root+"."+names[1]]
	if e == nil {
		if !l.damaged {
			l.unknownName(m, whole, root, names[1])
		}
		return nil, nil, false
	}
	proto.In = append(proto.In, root, names[1])
	if root == "module" {
		return l.resolveModule(proto, e, names)
	}
	b := e.declared
	if proto.All && b.Kind != KindVerb {
		l.errorAt(whole, "Invalid reference", "The list all.%s is there for blocks that have results; %s is a %s. Name it without all.", b.LocalAddr(), b.LocalAddr(), rootNoun(root))
		return nil, nil, false
	}
	if !b.Keyed {
		r := proto
		r.Block = e.blocks[0]
		if len(names) > 2 && !r.All {
			r.Attr = names[2]
		}
		return []Ref{r}, nil, l.checkRefAttr(r)
	}
	if len(names) == 2 {
		for _, b := range e.blocks {
			r := proto
			r.Block = b
			if r.In = slices.Clone(r.In); !b.KeyUnknown {
				r.In = append(r.In, b.Key)
			}
			refs = append(refs, r)
		}
		if len(refs) == 0 {
			empty = [][]string{proto.In}
		}
		return refs, empty, true
	}
	key := names[2]
	for _, b := range e.blocks {
		if b.Key != key && !b.KeyUnknown {
			continue
		}
		r := proto
		r.Block, r.In = b, append(r.In, key)
		if len(names) > 3 && !r.All {
			r.Attr = names[3]
		}
		return []Ref{r}, nil, l.checkRefAttr(r)
	}
	l.unknownKey(whole, b.LocalAddr(), key, keysOf(e.blocks))
	return nil, nil, false
}

func keysOf(blocks []*Block) []string {
	keys := make([]string, len(blocks))
	for i, b := range blocks {
		keys[i] = b.Key
	}
	return keys
}

func joinQuoted(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return strings.Join(quoted, ", ")
}

func (l *loader) unknownKey(at hcl.Range, name, key string, keys []string) {
	has := "Its for_each is empty."
	if len(keys) > 0 {
		has = "It has " + joinQuoted(keys) + "."
		if len(keys) > 12 {
			has = fmt.Sprintf("It has %d, the first of them %q.", len(keys), keys[0])
		}
	}
	l.errorAt(at, "Unknown instance", "%s has for_each and no instance [%q].%s %s", name, key, didyoumean.Hint(key, keys), has)
}

// resolveModule resolves module.name, its key, and the output behind it.
func (l *loader) resolveModule(proto Ref, e *entry, names []string) (refs []Ref, empty [][]string, ok bool) {
	call := e.declared
	if proto.All {
		l.errorAt(proto.Range, "Invalid reference", "A list over points is made where the block stands: write all.… in the module, and put it out there.")
		return nil, nil, false
	}
	if e.lost {
		return nil, nil, false
	}
	rest := names[2:]
	modules := e.modules
	if call.Keyed && len(rest) > 0 && !call.KeyUnknown {
		i := slices.IndexFunc(modules, func(m *Module) bool { return m.Call.Key == rest[0] })
		if i < 0 {
			var keys []string
			for _, m := range modules {
				keys = append(keys, m.Call.Key)
			}
			if len(modules) > 0 || !call.Broken {
				l.unknownKey(proto.Range, call.LocalAddr(), rest[0], keys)
			}
			return nil, nil, false
		}
		modules = modules[i : i+1]
	}
	if call.Keyed && len(rest) > 0 {
		proto.In, rest = append(proto.In, rest[0]), rest[1:]
	}
	for _, m := range modules {
		in := slices.Clone(proto.In)
		if call.Keyed && len(names) == 2 && !call.KeyUnknown {
			in = append(in, m.Call.Key)
		}
		outputs := m.outputs()
		if len(rest) > 0 {
			if m.entries["output."+rest[0]] == nil {
				if !l.damaged {
					l.unknownOutput(proto.Range, call, rest[0], outputs)
				}
				return nil, nil, false
			}
			outputs = rest[:1]
		}
		for _, name := range outputs {
			for _, b := range m.entries["output."+name].blocks {
				r := proto
				r.Block, r.In = b, append(slices.Clone(in), name)
				if len(rest) > 1 {
					r.Attr = rest[1]
				}
				refs = append(refs, r)
			}
		}
		if len(outputs) == 0 {
			empty = append(empty, in)
		}
	}
	if len(modules) == 0 {
		empty = [][]string{proto.In}
	}
	return refs, empty, true
}

func (l *loader) unknownOutput(at hcl.Range, call *Block, name string, outputs []string) {
	has := "It has no outputs: a module gives out what its output blocks name."
	if len(outputs) > 0 {
		has = "It has " + strings.Join(outputs, ", ") + "."
	}
	l.errorAt(at, "Unknown reference", "%s has no output %q.%s %s", call.LocalAddr(), name, didyoumean.Hint(name, outputs), has)
}

func rootNoun(root string) string {
	switch root {
	case "var":
		return "variable"
	case "data":
		return "data block"
	case "model", "adapter", "local", "sweep", "select", "search", "gate", "module":
		return root
	}
	return root + " block"
}

func (l *loader) unknownRoot(m *Module, at hcl.Range, root string, names []string) {
	detail := ""
	switch {
	case root == "gate":
		detail = "A gate is no value: name it in the argument requires."
	case root == "export" || root == "output" || root == "allocate":
		detail = fmt.Sprintf("Blocks of type %s yield nothing to refer to.", root)
	case root == AxisRoot:
		detail = "The name axis is there in the argument where of a sweep only. Elsewhere write sweep.name.axis."
	case root == "adapter":
		detail = fmt.Sprintf("References to %s are not supported yet.", root)
	default:
		detail = fmt.Sprintf("There is nothing called %q.", root)
		near := didyoumean.Nearest(root, refRoots)
		if near != "" && len(names) > 1 && m.entries[near+"."+names[1]] != nil {
			near += "." + names[1]
		}
		if near != "" {
			detail += fmt.Sprintf(" Did you mean %q?", near)
		} else if named := m.anyNamed(root); named != "" {
			detail += fmt.Sprintf(" Did you mean %q?", named)
		} else {
			detail += " References begin with " + didyoumean.Join(refRoots) + "."
		}
	}
	l.errorAt(at, "Unknown reference", "%s", detail)
}

// anyNamed returns the address of a block of that name, of any type.
func (m *Module) anyNamed(name string) string {
	for _, b := range m.blocks {
		if b.Name == name && (b.Yields() != YieldsNothing || b.Kind == KindVariable || b.Type == "local" || b.Type == "var" || b.Kind == KindSweep) {
			return b.LocalAddr()
		}
	}
	return ""
}

func (l *loader) unknownName(m *Module, at hcl.Range, root, name string) {
	detail := fmt.Sprintf("There is no %s %q.", rootNoun(root), name)
	if m.Parent != nil {
		detail = fmt.Sprintf("There is no %s %q in this module; what it uses from outside comes in by its variables.", rootNoun(root), name)
	}
	if named := m.anyNamed(name); named != "" {
		detail += fmt.Sprintf(" Did you mean %q?", named)
	} else if near := didyoumean.Nearest(name, m.named(root)); near != "" {
		detail += fmt.Sprintf(" Did you mean %q?", root+"."+near)
	} else if inner := m.within(root + "." + name); inner != "" {
		detail += fmt.Sprintf(" %s has one; to the outside a module has the values of its outputs.", inner)
	} else if root == "var" {
		detail += fmt.Sprintf(" Declare it: variable %q { … }.", name)
	} else if known := m.named(root); len(known) > 0 && len(known) <= 12 {
		detail += " There is " + didyoumean.Join(known) + "."
	} else {
		detail += fmt.Sprintf(" Write one: %s.", exampleOf(root, name))
	}
	l.errorAt(at, "Unknown reference", "%s", detail)
}

// within returns a module that m calls and that has a block of that local
// address.
func (m *Module) within(addr string) string {
	for _, b := range m.blocks {
		if b.Kind != KindModule {
			continue
		}
		for _, inner := range m.entries[b.LocalAddr()].modules {
			if inner.entries[addr] != nil {
				return inner.Path
			}
		}
	}
	return ""
}

// exampleOf is how a block of that name would begin.
func exampleOf(root, name string) string {
	switch root {
	case "local":
		return fmt.Sprintf("locals { %s = … }", name)
	case "model", "adapter", "select", "gate", "module":
		return fmt.Sprintf("%s %q { … }", root, name)
	case "data":
		return fmt.Sprintf("data \"text\" %q { … }", name)
	case "search":
		return fmt.Sprintf("search \"bisect\" %q { … }", name)
	case "sweep":
		return fmt.Sprintf("sweep \"grid\" %q { … }", name)
	}
	return fmt.Sprintf("%s \"method\" %q { … }", root, name)
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
	case r.Block.Yields() == YieldsAdapter:
		known = attrNames(AdapterAttrs)
	case r.Block.Yields() == YieldsAllocation:
		known = attrNames(AllocationAttrs)
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
	m := a.Owner.Module
	for _, item := range items {
		names := l.wholeReference(item, a.Owner)
		if len(names) < 2 || len(names) > 3 || names[0] != "gate" {
			a.Broken = true
			l.errorAt(item.Range(), "Invalid requires", "The argument requires is a list of gates: [gate.name].")
			continue
		}
		e := m.entries["gate."+names[1]]
		if e == nil {
			a.Broken = true
			if !l.damaged {
				l.unknownName(m, item.Range(), "gate", names[1])
			}
			continue
		}
		if len(names) == 2 {
			b.Requires = append(b.Requires, e.blocks...)
			continue
		}
		i := slices.IndexFunc(e.blocks, func(g *Block) bool { return g.Key == names[2] || g.KeyUnknown })
		if i < 0 || !e.declared.Keyed {
			a.Broken = true
			l.unknownKey(item.Range(), e.declared.LocalAddr(), names[2], keysOf(e.blocks))
			continue
		}
		b.Requires = append(b.Requires, e.blocks[i])
	}
}

func (l *loader) resolveFrom(b *Block) {
	a := b.Body.Attr("from")
	if a == nil || a.Broken {
		return
	}
	if t := staticTraversal(a.Expr); t != nil && len(a.Refs) == 0 { // JSON's "compensate.name", which is no expression to HCL
		refs, _, ok := l.resolveTraversal(a.Owner.Module, t)
		if !ok {
			a.Broken = true
			return
		}
		a.Refs = refs
	}
	if from := l.fromBlock(a, map[*Block]bool{}); from != nil {
		b.From = from
		return
	}
	a.Broken = true
	l.errorAt(a.Expr.Range(), "Invalid from", "A %s chooses among the points of one block that yields a model: from = compensate.name.", b.Type)
}

// fromBlock follows an expression that is one reference, by way of locals,
// arguments and outputs of modules, to the block whose model it is.
func (l *loader) fromBlock(a *Attr, seen map[*Block]bool) *Block {
	names := l.wholeReference(a.Expr, a.Owner)
	if names == nil || len(a.Refs) != 1 || seen[a.Refs[0].Block] {
		return nil
	}
	r := a.Refs[0]
	seen[r.Block] = true
	switch {
	case r.All || r.Attr != "" || len(names) != len(r.In):
		return nil
	case r.Block.Yields() == YieldsModel:
		return r.Block
	case r.Block.Kind == KindLocal && !r.Block.IsEach() && r.Block.Expr() != nil:
		return l.fromBlock(r.Block.Expr(), seen)
	}
	return nil
}

// Needs returns the blocks that b refers to in any way, each once, in source
// order.
func (b *Block) Needs() []*Block {
	var list []*Block
	seen := map[*Block]bool{}
	add := func(n *Block) {
		if !seen[n] {
			seen[n] = true
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
	way.WriteString("\nOne of these references must go.")
	if len(cycle) == 1 {
		l.errorAt(cycle[0].Body.DefRange, "Cycle", "%s refers to itself:%s", cycle[0].Addr(), way.String())
		return
	}
	l.errorAt(cycle[0].Body.DefRange, "Cycle", "These blocks need each other:%s", way.String())
}
