package planner

import (
	"math"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

// evaluation evaluates expressions at places, before a run (metrics are
// unknown then) or after, and notes what they touched.
type evaluation struct {
	x   *expander
	run *Results
	// axes is what a sweep's where sees as axis, NilVal elsewhere.
	axes cty.Value

	refs, watches []*Node
	// status is the worst of the nodes referred to, after a run.
	status Status
	// diverged are the null metrics that were referred to, by path.
	diverged []string
	diags    hcl.Diagnostics
}

func (x *expander) evaluation(run *Results) *evaluation {
	return &evaluation{x: x, run: run, axes: cty.NilVal, status: Done}
}

// attr evaluates an attribute at a place. It is false when the value cannot be
// had: with diagnostics when the mistake is here, without when it lies in what
// is referred to and was reported there.
func (e *evaluation) attr(a *lang.Attr, at place) (cty.Value, bool) {
	if a.Broken {
		return cty.NilVal, false
	}
	if a.Plain && !a.Refs[0].All {
		// Most arguments are one reference: no context need be built for it. What
		// is wrong with the rest is said below, where hcl sees the expression.
		v, ok := e.ref(a.Refs[0], a.Owner, at)
		if !ok {
			return cty.NilVal, false
		}
		if v, diags := a.Rest.TraverseRel(v); !diags.HasErrors() {
			return v, true
		}
	}
	ctx, ok := e.context(a, at)
	if !ok {
		return cty.NilVal, false
	}
	v, diags := a.Expr.Value(ctx)
	secret := a.Sensitive()
	for _, d := range diags {
		if secret {
			d.EvalContext = nil // it would be shown
		}
		e.x.pipeline.NearestFunction(d)
		// The attribute is what a reader looks for; hcl has only the expression.
		if d.Subject == nil {
			d.Subject = a.Expr.Range().Ptr()
		}
	}
	e.diags = append(e.diags, diags...)
	return v, !diags.HasErrors()
}

// context holds what the references name, and nothing else: building it all
// would evaluate what the expression does not need.
func (e *evaluation) context(a *lang.Attr, at place) (*hcl.EvalContext, bool) {
	tree := lang.ValueTree{}
	ok := true
	for _, r := range a.Refs {
		v, sound := e.ref(r, a.Owner, at)
		ok = ok && sound
		if sound {
			tree.Set(r.In, v)
		}
	}
	for _, path := range a.Empty {
		tree.Set(path, cty.EmptyObjectVal)
	}
	if a.UsesEach {
		tree.Set([]string{"each", "key"}, a.Owner.EachKey())
	}
	if a.UsesPath {
		tree.Set([]string{"path"}, a.Owner.Module.PathValue())
	}
	if e.axes != cty.NilVal {
		tree.Set([]string{lang.AxisRoot}, e.axes)
	}
	return &hcl.EvalContext{Variables: tree.Variables(), Functions: e.x.pipeline.Functions}, ok
}

// ref is the value of a reference that stands in the block owner.
func (e *evaluation) ref(r lang.Ref, owner *lang.Block, at place) (cty.Value, bool) {
	b := r.Block
	if b.Broken || e.x.broken[b] || e.x.refused[b] {
		return cty.NilVal, false
	}
	switch {
	case r.All:
		return e.all(b, owner.Module)
	case b.IsEach():
		v, ok := e.local(b, at)
		if !ok {
			return v, false
		}
		v, err := owner.EachValue(v)
		if err != nil {
			e.errorAt(r.Range, "Missing element", "%v: its keys may not depend on sweeps.", err)
		}
		return v, err == nil
	case b.KeyUnknown && r.In[len(r.In)-1] == b.Name:
		// All instances, of which it is not known how many there are.
		return cty.DynamicVal, true
	case b.Kind == lang.KindVariable:
		return b.Value, true
	case b.Kind == lang.KindLocal:
		return e.local(b, at)
	case b.Kind == lang.KindSweep:
		return sweepValue(b, at.point), true
	case b.Kind == lang.KindSelect:
		for _, c := range at.choices {
			if c.Select.Block == b {
				e.touch(&e.refs, c.Select)
				e.touch(&e.refs, c.Candidate)
				e.check(c.Candidate)
				return nodeValue(c.Candidate, e.run, nil), true
			}
		}
		return cty.NilVal, false
	}
	n := e.x.lookup(b, at)
	if n == nil {
		if there := at.restrict(e.x.reachOf(b)); e.x.vanished[b][there.key()] {
			e.errorAt(r.Range, "Reference to a disabled block", "%s is not enabled here, so that it has no results. Give what refers to it the same argument enabled.", b.Addr())
		}
		return cty.NilVal, false
	}
	e.touch(&e.refs, n)
	e.check(n)
	v := nodeValue(n, e.run, nil)
	if b.Yields() == lang.YieldsReport && r.Attr != "" && v.IsKnown() {
		if !v.Type().HasAttribute(r.Attr) {
			known := attributeNames(v.Type())
			e.errorAt(r.Range, "Unsupported attribute", "%s has no metric %q.%s It has %s.", b.Addr(), r.Attr,
				didyoumean.Hint(r.Attr, known), strings.Join(known, ", "))
			return cty.NilVal, false
		}
		if m := v.GetAttr(r.Attr); m.IsKnown() && m.IsNull() {
			e.diverged = append(e.diverged, r.Path())
		}
	}
	return v, true
}

func attributeNames(t cty.Type) []string {
	var names []string
	for n := range t.AttributeTypes() {
		if n != schema.RefAttr {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

func (e *evaluation) touch(list *[]*Node, n *Node) {
	if !slices.Contains(*list, n) {
		*list = append(*list, n)
	}
}

// check notes how a node that a value depends on has ended.
func (e *evaluation) check(n *Node) {
	if e.run != nil {
		e.status = max(e.status, e.run.status(n))
	}
}

// local evaluates a local where its own reach says, so that its value does not
// depend on who asks.
func (e *evaluation) local(b *lang.Block, at place) (cty.Value, bool) {
	at = at.restrict(e.x.reachOf(b))
	inner := e.x.evaluation(e.run)
	v, ok := inner.attr(b.Expr(), at)
	for _, n := range inner.refs {
		e.touch(&e.refs, n)
	}
	for _, n := range inner.watches {
		e.touch(&e.watches, n)
	}
	e.status = max(e.status, inner.status)
	e.diverged = append(e.diverged, inner.diverged...)
	// A mistake in a local is the local's: its own expansion reports it.
	if e.run != nil {
		e.diags = append(e.diags, inner.diags...)
	}
	if !ok {
		return v, false
	}
	v, err := b.Convert(v)
	return v, err == nil
}

// all is the list over a block's points.
func (e *evaluation) all(b *lang.Block, from *lang.Module) (cty.Value, bool) {
	if e.x.damaged[b] {
		return cty.NilVal, false
	}
	var list []cty.Value
	for _, n := range e.x.byBlock[b] {
		if e.run != nil && !e.run.Active(n) {
			continue
		}
		e.touch(&e.watches, n)
		status := cty.UnknownVal(cty.String)
		if e.run != nil {
			s := e.run.status(n)
			status = cty.StringVal(s.String())
			if s == Pending {
				e.status = max(e.status, Pending)
			}
		}
		list = append(list, nodeValue(n, e.run, map[string]cty.Value{
			lang.PointAttr: pointValue(n.Point, from), lang.StatusAttr: status}))
	}
	if len(list) == 0 {
		return cty.EmptyTupleVal, true
	}
	return cty.TupleVal(list), true
}

func (e *evaluation) errorAt(r hcl.Range, summary, format string, args ...any) {
	e.diags = append(e.diags, newError(r, summary, format, args...))
}

func sweepValue(b *lang.Block, p Point) cty.Value {
	axes := map[string]cty.Value{}
	for _, c := range p {
		if c.Axis.Sweep == b {
			axes[c.Axis.Name] = c.Value()
		}
	}
	return cty.ObjectVal(axes)
}

// pointValue is a point as expressions of a module see it: point.rank.rank, and
// point["module.m.rank"].rank for the sweep of another module.
func pointValue(p Point, from *lang.Module) cty.Value {
	sweeps := map[string]cty.Value{}
	for _, c := range p {
		name := c.Axis.Sweep.Name
		if m := c.Axis.Sweep.Module; m != from && m.Path != "" {
			name = m.Path + "." + name
		}
		if _, ok := sweeps[name]; !ok {
			sweeps[name] = sweepValue(c.Axis.Sweep, p)
		}
	}
	return cty.ObjectVal(sweeps)
}

// nodeValue is what a node is in expressions, with extra attributes.
func nodeValue(n *Node, run *Results, extra map[string]cty.Value) cty.Value {
	// What a model or data is does not change with the run, and counting a
	// model's parameters for every reference would take half of validate.
	fixed := extra == nil && n.Block.Yields() != lang.YieldsReport
	if fixed && n.value != cty.NilVal {
		return n.value
	}
	attrs := map[string]cty.Value{}
	switch n.Block.Yields() {
	case lang.YieldsModel:
		modelAttrs(attrs, n)
	case lang.YieldsData:
		dataAttrs(attrs, n.Data)
		attrs[schema.RefAttr] = schema.RefValue(&schema.Ref{Value: n.Data, Origin: n})
	case lang.YieldsAdapter:
		adapterAttrs(attrs, n)
	case lang.YieldsAllocation:
		allocationAttrs(attrs, n)
	case lang.YieldsReport:
		if n.Result.Report == nil && extra == nil {
			return cty.DynamicVal
		}
		reportAttrs(attrs, n, run)
	}
	for k, v := range extra {
		attrs[k] = v
	}
	v := cty.ObjectVal(attrs)
	if fixed {
		n.value = v
	}
	return v
}

func modelAttrs(attrs map[string]cty.Value, n *Node) {
	for _, a := range lang.ModelAttrs {
		attrs[a.Name] = cty.UnknownVal(a.Type)
	}
	if t := n.Result.Model.Type; t != nil {
		if t.Undecided == "" {
			attrs["parameters"] = cty.NumberIntVal(t.Parameters())
			attrs["size"] = cty.NumberIntVal(t.Size())
			attrs["bits_per_weight"] = cty.NumberFloatVal(t.BitsPerWeight())
			attrs["sparsity"] = cty.NumberFloatVal(t.Sparsity())
		}
		attrs["layers"] = cty.NumberIntVal(int64(t.Config.Layers))
		attrs["architecture"] = cty.StringVal(t.Config.ModelType)
	}
	attrs["adapter"] = cty.NullVal(lang.AdapterType)
	if a := n.Result.Adapter; a != nil {
		attrs["adapter"] = cty.ObjectVal(adapterAttrs(map[string]cty.Value{}, n))
	}
	attrs["allocation"] = cty.NullVal(lang.AllocationType)
	if n.Result.Allocation != nil {
		attrs["allocation"] = cty.ObjectVal(allocationAttrs(map[string]cty.Value{}, n))
	}
	attrs[schema.RefAttr] = schema.RefValue(&schema.Ref{Value: n.Result.Model, Origin: n})
}

// adapterAttrs are those of a node's adapter, unknown where its source is not at
// hand.
func adapterAttrs(attrs map[string]cty.Value, n *Node) map[string]cty.Value {
	a := n.Result.Adapter
	for _, d := range lang.AdapterAttrs {
		attrs[d.Name] = cty.UnknownVal(d.Type)
	}
	if a.Rank > 0 {
		attrs["rank"], attrs["alpha"] = cty.NumberIntVal(int64(a.Rank)), cty.NumberFloatVal(a.Alpha)
	}
	attrs[schema.RefAttr] = schema.RefValue(&schema.Ref{Value: a, Origin: n})
	return attrs
}

func allocationAttrs(attrs map[string]cty.Value, n *Node) map[string]cty.Value {
	a := n.Result.Allocation
	attrs["of"], attrs["total"] = cty.UnknownVal(cty.String), cty.UnknownVal(cty.Number)
	if a.Of != "" {
		attrs["of"], attrs["total"] = cty.StringVal(a.Of), cty.NumberFloatVal(a.Total)
	}
	attrs[schema.RefAttr] = schema.RefValue(&schema.Ref{Value: a, Origin: n})
	return attrs
}

func dataAttrs(attrs map[string]cty.Value, d *passes.Data) {
	attrs["windows"] = cty.UnknownVal(cty.Number)
	if d.Type.Windows > 0 {
		attrs["windows"] = cty.NumberIntVal(int64(d.Type.Windows))
	}
	attrs["sequence_length"] = cty.UnknownVal(cty.Number)
	if d.Type.SequenceLength > 0 {
		attrs["sequence_length"] = cty.NumberIntVal(int64(d.Type.SequenceLength))
	}
}

// reportAttrs are the metrics: unknown before the run, null where the node has
// none to show or a metric diverged.
func reportAttrs(attrs map[string]cty.Value, n *Node, run *Results) {
	attrs[lang.DivergedAttr] = cty.UnknownVal(cty.Bool)
	var outcome Outcome
	if run != nil {
		outcome = run.outcome(n)
		if outcome.Status > Done {
			attrs[lang.DivergedAttr] = cty.NullVal(cty.Bool)
		}
		if outcome.Status == Done {
			attrs[lang.DivergedAttr] = cty.False
		}
	}
	if n.Result.Report == nil {
		return
	}
	for _, m := range n.Result.Report.Metrics {
		v := cty.UnknownVal(cty.Number)
		if run != nil && outcome.Status != Pending {
			v = cty.NullVal(cty.Number)
			x, has := outcome.Metrics[m.Name]
			switch {
			case outcome.Status != Done:
			case has && !math.IsNaN(x) && !math.IsInf(x, -1):
				v = cty.NumberFloatVal(x)
			default:
				attrs[lang.DivergedAttr] = cty.True
			}
		}
		attrs[m.Name] = v
	}
}
