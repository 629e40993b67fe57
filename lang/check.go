package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/search"
)

// argSpec is an argument that the language itself gives meaning to.
type argSpec struct {
	name     string
	required bool
}

// ownArgs are the arguments of blocks without a schema.
var ownArgs = map[Kind][]argSpec{
	KindVariable: {{"type", false}, {"default", false}, {"description", false}, {"sensitive", false}},
	KindOutput:   {{"value", true}, {"description", false}, {"enabled", false}, {"requires", false}},
	KindGate:     {{"condition", true}, {"error_message", false}, {"require", false}, {"enabled", false}},
	KindSelect:   {{"from", true}, {"minimize", false}, {"maximize", false}, {"where", false}},
}

// metaArgs are what the language adds to blocks with a schema.
var metaArgs = map[Kind][]string{
	KindVerb: {"enabled", "requires", "seed"},
	KindData: {"seed"},
}

// IsMetaArg reports whether an argument of b is the language's own and not
// one of the block's schema.
func (b *Block) IsMetaArg(name string) bool { return slices.Contains(metaArgs[b.Kind], name) }

func (l *loader) checkBlocks() {
	for _, b := range l.Blocks {
		before := len(l.diags)
		l.lacking = false
		switch {
		case b.Broken && b.Schema == nil:
			// What the arguments should be is not known.
		case b.Schema != nil:
			l.checkBody(b.Body, b.Schema, metaArgs[b.Kind])
		case b.Kind == KindSweep:
			l.checkSweep(b)
		case b.Kind != KindLocal:
			l.checkOwn(b)
		case b.Type == "output":
			l.checkOwn(b)
		}
		l.checkWhereRefsStand(b)
		b.Damaged = l.lacking || len(l.diags) > before
		b.Body.All(func(a *Attr) { b.Damaged = b.Damaged || a.Broken })
	}
}

// missing reports what a block lacks. Behind a syntax error it may be there all
// the same: then the block is only marked.
func (l *loader) missing(at hcl.Range, summary, format string, args ...any) {
	l.lacking = true
	if !l.damaged {
		l.errorAt(at, summary, format, args...)
	}
}

func (l *loader) unsupportedArg(a *Attr, known []string) {
	a.Broken = true
	switch a.Name {
	case "for_each":
		l.errorAt(a.NameRange, "Unsupported argument", "Blocks of this type have no for_each. Verbs, models, data, gates, selects and modules have.")
		return
	case "count":
		l.errorAt(a.NameRange, "Unsupported argument", "There is no count: give the instances names with for_each = toset([\"a\", \"b\"]), or try several values with a sweep.")
		return
	}
	hint := didyoumean.Hint(a.Name, known)
	if hint == "" && len(known) > 0 {
		hint = " Those that are: " + strings.Join(known, ", ") + "."
	}
	l.errorAt(a.NameRange, "Unsupported argument", "An argument named %q is not expected here.%s", a.Name, hint)
}

func (l *loader) unsupportedBlock(n *Body, known []string) {
	hint := didyoumean.Hint(n.Type, known)
	switch {
	case hint == "" && len(known) > 0:
		hint = " Those that are: " + strings.Join(known, ", ") + "."
	case hint == "":
		hint = " There are only arguments: name = value."
	}
	l.errorAt(n.DefRange, "Unsupported block", "Blocks of type %q are not expected here.%s", n.Type, hint)
}

// checkBody checks names, labels and presence; values are checked when they
// are known, at each point.
func (l *loader) checkBody(b *Body, s *schema.Schema, meta []string) {
	known := append(s.ArgNames(), meta...)
	// A misspelt argument is one mistake, not a missing one as well.
	meant := map[string]bool{}
	for _, a := range b.Attrs {
		if !slices.Contains(known, a.Name) {
			meant[didyoumean.Nearest(a.Name, known)] = true
			if s.Block(a.Name) != nil {
				a.Broken = true
				l.errorAt(a.NameRange, "Unsupported argument", "%q is a block here, without an equals sign: %s { … }.", a.Name, a.Name)
				continue
			}
			l.unsupportedArg(a, known)
		}
	}
	blocks := []string{}
	for _, n := range s.Blocks {
		blocks = append(blocks, n.Name)
	}
	if s.Overrides {
		blocks = append(blocks, "override")
	}
	seen := map[string]hcl.Range{}
	for _, n := range b.Blocks {
		if n.Type == "override" && s.Overrides {
			l.checkOverride(n, s)
			continue
		}
		inner := s.Block(n.Type)
		if inner == nil {
			if s.Arg(n.Type) != nil {
				l.errorAt(n.DefRange, "Unsupported block", "%q is an argument here, with an equals sign: %s = …", n.Type, n.Type)
			} else {
				l.unsupportedBlock(n, blocks)
			}
			continue
		}
		if first, twice := seen[n.Type]; twice {
			l.errorAt(n.DefRange, "Duplicate block", "There is one block of type %q here, and it stands at %s.", n.Type, where(first))
			continue
		}
		seen[n.Type] = n.DefRange
		l.checkLabel(n, inner)
		l.checkBody(n, inner.Schema, nil)
	}
	for _, a := range s.Args {
		if a.Required && b.Attr(a.Name) == nil && !meant[a.Name] {
			l.missing(b.DefRange, "Missing argument", "The argument %q (%s) is required: %s.", a.Name, a.TypeName(), a.Doc)
		}
	}
	for _, n := range s.Blocks {
		if _, ok := seen[n.Name]; n.Required && !ok {
			l.missing(b.DefRange, "Missing block", "A block %q is required here.", n.Name)
		}
	}
}

func (l *loader) checkLabel(n *Body, inner *schema.Block) {
	switch {
	case len(inner.Labels) == 0 && len(n.Labels) > 0:
		l.errorAt(n.DefRange, "Wrong number of labels", "A block of type %q has no labels here.", n.Type)
	case len(inner.Labels) > 0 && len(n.Labels) != 1:
		l.errorAt(n.DefRange, "Wrong number of labels", "A block of type %q has one label here: %s %q { … }.", n.Type, n.Type, inner.Labels[0])
	case len(inner.Labels) > 0 && !inner.Admits(n.Labels[0]):
		l.errorAt(n.DefRange, "Unknown "+n.Type, "There is no %s %q here.%s Known is %s.", n.Type, n.Labels[0],
			didyoumean.Hint(n.Labels[0], inner.Labels), inner.LabelText())
	}
}

// OverrideArgs are the arguments of an override that pick its modules.
var OverrideArgs = []string{"match", "role", "layers"}

func (l *loader) checkOverride(n *Body, s *schema.Schema) {
	settable := s.PerModule()
	if len(n.Labels) > 1 {
		l.errorAt(n.DefRange, "Wrong number of labels", `An override has one pattern or none: override "model.layers.0.*" { … }.`)
	}
	for _, nested := range n.Blocks {
		l.unsupportedBlock(nested, nil)
	}
	if len(n.Labels) == 0 && !slices.ContainsFunc(n.Attrs, func(a *Attr) bool { return slices.Contains(OverrideArgs, a.Name) }) {
		l.errorAt(n.DefRange, "Override without a pattern", `An override needs a pattern: override "model.layers.0.*" { … }, or match, role or layers inside.`)
	}
	for _, a := range n.Attrs {
		if slices.Contains(settable, a.Name) || slices.Contains(OverrideArgs, a.Name) {
			continue
		}
		a.Broken = true
		if s.Arg(a.Name) != nil {
			l.errorAt(a.NameRange, "Unsupported argument", "The argument %q holds for the whole block and cannot stand in an override. Those that can: %s.",
				a.Name, strings.Join(settable, ", "))
			continue
		}
		l.errorAt(a.NameRange, "Unsupported argument", "An argument named %q is not expected in an override.%s", a.Name,
			didyoumean.Hint(a.Name, append(slices.Clone(settable), OverrideArgs...)))
	}
}

// ownSpecs are the arguments of a block without a schema.
func ownSpecs(b *Block) []argSpec {
	specs := ownArgs[b.Kind]
	if !b.IsSearch() {
		return specs
	}
	m := search.Lookup(b.Method)
	if m == nil { // reported; what it would have is not known
		m = &search.Method{Args: searchArgs()}
	}
	specs = slices.Clone(specs)
	for i := range specs {
		specs[i].required = specs[i].required || m.Where && specs[i].name == "where"
	}
	for _, name := range m.Args {
		specs = append(specs, argSpec{name, name == m.Required})
	}
	return specs
}

// searchArgs are the arguments that some method of search has.
func searchArgs() []string {
	var names []string
	for _, m := range search.Methods {
		for _, a := range m.Args {
			if !slices.Contains(names, a) {
				names = append(names, a)
			}
		}
	}
	return names
}

func (l *loader) checkOwn(b *Block) {
	specs := ownSpecs(b)
	if b.Kind == KindLocal {
		specs = []argSpec{{"value", true}, {"description", false}}
	}
	var known []string
	for _, s := range specs {
		known = append(known, s.name)
	}
	meant := map[string]bool{}
	for _, a := range b.Body.Attrs {
		if !slices.Contains(known, a.Name) {
			meant[didyoumean.Nearest(a.Name, known)] = true
			if b.IsSearch() && slices.Contains(searchArgs(), a.Name) {
				l.errorAt(a.NameRange, "Unsupported argument", "The argument %q is for other methods of search than %s. Those that are: %s.", a.Name, b.Method, strings.Join(known, ", "))
				a.Broken = true
				continue
			}
			l.unsupportedArg(a, known)
		}
	}
	for _, s := range specs {
		if !s.required || b.Body.Attr(s.name) != nil {
			continue
		}
		b.Broken = true
		if !meant[s.name] {
			l.missing(b.Body.DefRange, "Missing argument", "The argument %q is required%s.", s.name, why(b, s.name))
		}
	}
	for _, n := range b.Body.Blocks {
		l.unsupportedBlock(n, nil)
	}
	minimize, maximize := b.Body.Attr("minimize"), b.Body.Attr("maximize")
	switch {
	case b.Kind != KindSelect:
	case meant["minimize"] || meant["maximize"]:
		b.Broken = true
	case minimize == nil && maximize == nil:
		b.Broken = true
		l.missing(b.Body.DefRange, "Missing argument", "A %s says what is best with minimize or maximize.", b.Type)
	case minimize != nil && maximize != nil:
		b.Broken = true
		l.errorAt(maximize.Range, "Conflicting arguments", "A %s has minimize or maximize, not both.", b.Type)
	}
	l.checkSearch(b)
}

// why says what an argument is for where the method of a block decides that it
// is required.
func why(b *Block, name string) string {
	switch {
	case !b.IsSearch():
		return ""
	case name == "where":
		return fmt.Sprintf(": search %q looks for where the points begin to meet it", b.Method)
	case name == search.Fidelity:
		return fmt.Sprintf(": search %q needs the axis that says how well a point is tried, such as fidelity = sweep.try.steps", b.Method)
	case name == search.Tries:
		return ": how many points are tried"
	}
	return ""
}

// checkSearch checks that what a search orders its points by is known before the
// run.
func (l *loader) checkSearch(b *Block) {
	m := search.Lookup(b.Method)
	if !b.IsSearch() || m == nil {
		return
	}
	for _, name := range []string{"minimize", "maximize"} {
		a := b.Body.Attr(name)
		if a == nil || !m.Known {
			continue
		}
		for _, r := range a.Refs {
			if metric := l.reaches(r, func(r Ref) bool { return r.Block.Yields() == YieldsReport }); metric != "" {
				a.Broken = true
				l.errorAt(r.Range, "Objective is a metric",
					"%s is known only after a run, and search %q orders its points by the objective before any runs. Let it be what is known before, such as %s.size, and put the metric into where; or use search \"golden\" or \"climb\".",
					metric, b.Method, fromText(b))
				break
			}
		}
	}
	if a := b.Body.Attr(search.Fidelity); a != nil && !a.Broken && (!a.Plain || a.Refs[0].Block.Kind != KindSweep || a.Refs[0].Attr == "" || len(a.Rest) != 1) {
		a.Broken = true
		l.errorAt(a.Expr.Range(), "Invalid fidelity", "The fidelity is an axis and nothing else: fidelity = sweep.try.steps.")
	}
}

// fromText is how a select names what it chooses among.
func fromText(b *Block) string {
	if a := b.Body.Attr("from"); a != nil && len(a.Refs) == 1 {
		return a.Refs[0].Path()
	}
	return "quantize.name"
}

func (l *loader) checkSweep(b *Block) {
	for _, n := range b.Body.Blocks {
		l.unsupportedBlock(n, nil)
	}
	if len(b.Axes()) == 0 {
		b.Broken = true
		l.errorAt(b.Body.DefRange, "Sweep without axes", "A sweep has one argument or more, each with the list of its values: rank = [16, 32].")
	}
	samples := b.Body.Attr("samples")
	if b.Method == "random" && samples == nil {
		b.Broken = true
		l.missing(b.Body.DefRange, "Missing argument", "A random sweep has the argument samples, the number of points to draw.")
	}
	if b.Method != "random" {
		for _, a := range []*Attr{samples, b.Body.Attr("seed")} {
			if a != nil {
				l.errorAt(a.NameRange, "Unsupported argument", "The argument %q belongs to sweeps of kind random.", a.Name)
			}
		}
	}
	for _, a := range b.Body.Attrs {
		for _, r := range a.Refs {
			if !l.beforeBlocks(r.Block) {
				a.Broken, b.Broken = true, true
				l.errorAt(r.Range, "Reference in a sweep", "The points of a sweep must be known before any block: they may depend on variables and on locals of variables, not on %s.", r.Path())
			}
		}
		b.Broken = b.Broken || a.Broken
	}
}

// beforeBlocks reports whether a value needs variables only.
func (l *loader) beforeBlocks(b *Block) bool {
	switch b.Kind {
	case KindVariable:
		return true
	case KindLocal:
		return b.Broken || !slices.ContainsFunc(b.Needs(), func(n *Block) bool { return !l.beforeBlocks(n) })
	}
	return false
}

// checkWhereRefsStand checks what may be referred to from where: metrics only
// where a run's results are read, sensitive variables only as credentials.
func (l *loader) checkWhereRefsStand(b *Block) {
	reads := b.Kind == KindGate || b.Kind == KindSelect || b.Kind == KindOutput || b.Kind == KindLocal || b.Kind == KindVariable
	b.Body.All(func(a *Attr) {
		for _, r := range a.Refs {
			if metric := l.reaches(r, func(r Ref) bool { return r.Block.Yields() == YieldsReport }); metric != "" &&
				(!reads && b.Kind != KindSweep || a.Name == "enabled" || a.Name == "require") {
				a.Broken = true
				l.errorAt(r.Range, "Metric outside of gate, select, search and output",
					"%s is known only after a run. It may stand in gate, select, search and output, but nothing that runs can depend on it. To go by a result, sweep the value and let a select or a search choose the point.", metric)
			}
			if b.Kind == KindLocal || (b.Kind == KindModel || b.Kind == KindData) && a.Name == "token" {
				continue
			}
			if secret := l.reaches(r, func(r Ref) bool { return r.Block.Sensitive }); secret != "" {
				a.Broken = true
				l.errorAt(r.Range, "Sensitive value", "%s is sensitive, and what is sensitive may stand in the argument token of a model or data block only.", secret)
			}
		}
	})
}

// reaches returns the path of the first reference for which is holds, r itself
// or one of the locals it goes through: "local.loss, which is evaluate.ppl".
func (l *loader) reaches(r Ref, is func(Ref) bool) string {
	if is(r) {
		return r.Path()
	}
	if r.Block.Kind != KindLocal || r.Block.inCycle {
		return ""
	}
	if a := r.Block.Expr(); a != nil {
		for _, inner := range a.Refs {
			if path := l.reaches(inner, is); path != "" {
				return r.Path() + ", by way of " + path + ","
			}
		}
	}
	return ""
}
