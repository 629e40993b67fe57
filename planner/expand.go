package planner

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

// Sources find out about models and data. Each returns a value without a type
// where the source is not at hand: what depends on it is then checked later.
type Sources struct {
	Model func(addr string, a *lang.ModelArgs) (*passes.Model, diag.List)
	Data  func(addr string, a *lang.DataArgs, seed uint64) (*passes.Data, diag.List)
	// Text says whether the source of a data block can be used, where the rest of
	// the block cannot; nil: nobody knows.
	Text func(addr string, a *lang.DataArgs) diag.List
	// Adapter types an adapter against its model, whose type may not be known.
	Adapter func(addr string, a *lang.AdapterArgs) (*passes.Adapter, diag.List)
}

// Expansion is a pipeline with every block at each of its points, typed.
type Expansion struct {
	Pipeline *lang.Pipeline
	// Axes of all sweeps, in declaration order.
	Axes []*Axis
	// Nodes in an order in which each comes after what it depends on.
	Nodes []*Node

	x *expander
	// targeted is set where a run was cut to targets.
	targeted bool
}

// Deferred returns the nodes that could not be checked in full.
func (e *Expansion) Deferred() []*Node {
	var list []*Node
	for _, n := range e.Nodes {
		if n.Deferred && !n.Broken {
			list = append(list, n)
		}
	}
	return list
}

// Of returns the nodes of a block in the order of its points.
func (e *Expansion) Of(b *lang.Block) []*Node { return slices.Clone(e.x.byBlock[b]) }

// Plural reports whether the block has an entry for each of several points:
// whether any sweep reaches it.
func (e *Expansion) Plural(b *lang.Block) bool { return len(e.x.reachOf(b).axes) > 0 }

type expander struct {
	pipeline *lang.Pipeline
	sources  Sources

	sweeps []*sweep
	axes   []*Axis
	reach  map[*lang.Block]reach
	// rank is each block's place in dependency order.
	rank map[*lang.Block]int

	nodes []*Node
	// searches are the nodes of search blocks.
	searches []*Node
	byBlock  map[*lang.Block][]*Node
	byPlace  map[*lang.Block]map[string]*Node
	// made are the blocks by the addresses of their nodes.
	made map[string]*lang.Block
	// vanished are the places where a block without a model is not enabled.
	vanished map[*lang.Block]map[string]bool
	// broken blocks have no nodes at all; damaged ones lack some, for they have
	// no result that a stand-in could be made for.
	broken, damaged map[*lang.Block]bool
	// refused are variables of which a value does not meet their conditions: what
	// refers to them is not evaluated, for it could only say so again.
	refused  map[*lang.Block]bool
	anyGates map[*lang.Block]bool
	// places counts a block's places, for messages.
	places map[*lang.Block]int

	found []finding
}

// Expand expands a pipeline. Its diagnostics are those that Load could not
// know; blocks that Load reported are checked as far as they can be. With
// errors the Expansion is for messages only.
func Expand(p *lang.Pipeline, sources Sources) (*Expansion, hcl.Diagnostics) {
	x := &expander{pipeline: p, sources: sources,
		reach: map[*lang.Block]reach{}, rank: map[*lang.Block]int{},
		byBlock: map[*lang.Block][]*Node{}, byPlace: map[*lang.Block]map[string]*Node{}, made: map[string]*lang.Block{},
		vanished: map[*lang.Block]map[string]bool{}, broken: map[*lang.Block]bool{}, damaged: map[*lang.Block]bool{},
		refused: map[*lang.Block]bool{}, anyGates: map[*lang.Block]bool{}, places: map[*lang.Block]int{}}
	order := x.order()
	for _, b := range p.Blocks { // before the sweeps, which may be made of them
		if b.Kind == lang.KindVariable && !b.Broken {
			x.validate(b, b.Value, place{})
		}
	}
	for _, b := range p.Blocks {
		if b.Kind == lang.KindSweep && !b.Broken {
			x.expandSweep(b)
		}
	}
	for _, b := range order {
		switch {
		case b.Broken || b.Kind == lang.KindSweep || b.Kind == lang.KindVariable:
		default:
			x.expandBlock(b)
		}
	}
	x.checkOverlaps()
	x.checkExports()
	x.markNeeded()
	diags := x.diagnostics()
	return &Expansion{Pipeline: p, Axes: x.axes, Nodes: x.nodes, x: x}, diags
}

// order returns the blocks such that each comes after what it needs. Cycles
// were reported and are broken.
func (x *expander) order() []*lang.Block {
	var out []*lang.Block
	seen := map[*lang.Block]bool{}
	var visit func(*lang.Block)
	visit = func(b *lang.Block) {
		if seen[b] {
			return
		}
		seen[b] = true
		for _, n := range b.Needs() {
			visit(n)
		}
		x.rank[b] = len(out)
		out = append(out, b)
	}
	for _, b := range x.pipeline.Blocks {
		visit(b)
	}
	return out
}

// placesOf returns where a block is to be expanded: its points, and at each
// the candidates of the selects it hangs on. It is false when a select has
// none, which was reported.
func (x *expander) placesOf(b *lang.Block) ([]place, bool) {
	r := x.reachOf(b)
	points := x.points(r.axes)
	if points == nil {
		x.errorAt(b, nil, b.Body.DefRange, "Too many points", "%s has more than %d points.", b.Addr(), MaxPoints)
		return nil, false
	}
	places := make([]place, len(points))
	for i, p := range points {
		places[i] = place{point: p}
	}
	for _, s := range r.selects {
		var next []place
		for _, p := range places {
			n := x.lookup(s, p)
			if n == nil {
				return nil, false
			}
			for _, c := range n.Candidates {
				next = append(next, place{p.point, append(slices.Clone(p.choices), Choice{n, c})})
			}
		}
		if len(next) > MaxPoints {
			x.errorAt(b, nil, b.Body.DefRange, "Too many points", "%s has more than %d points and candidates.", b.Addr(), MaxPoints)
			return nil, false
		}
		places = next
	}
	return places, true
}

// lookup returns b's node at a place that may reach further than b.
func (x *expander) lookup(b *lang.Block, at place) *Node {
	return x.byPlace[b][at.restrict(x.reachOf(b)).key()]
}

func (x *expander) add(n *Node) {
	b := n.Block
	x.nodes = append(x.nodes, n)
	if b.IsSearch() {
		x.searches = append(x.searches, n)
	}
	x.byBlock[b] = append(x.byBlock[b], n)
	if x.byPlace[b] == nil {
		x.byPlace[b] = map[string]*Node{}
	}
	x.byPlace[b][n.place.key()] = n
	x.made[n.Addr()] = b
}

func (x *expander) expandBlock(b *lang.Block) {
	for _, r := range x.brokenSweeps(b) {
		if r {
			x.broken[b], x.damaged[b] = true, true
			return
		}
	}
	// A sweep that is broken may be reached by way of others, too.
	for _, a := range x.reachOf(b).axes {
		if x.broken[a.Sweep] {
			x.broken[b], x.damaged[b] = true, true
			return
		}
	}
	places, ok := x.placesOf(b)
	if !ok {
		x.broken[b], x.damaged[b] = true, true
		return
	}
	x.places[b] = len(places)
	for _, at := range places {
		n := &Node{Block: b, Point: at.point, Choices: at.choices, Enabled: true, place: at}
		var sound bool
		switch b.Kind {
		case lang.KindLocal:
			x.local(b, at)
			continue
		case lang.KindModel:
			x.model(n)
			sound = true
		case lang.KindData:
			x.data(n)
			sound = true
		case lang.KindAdapter:
			x.adapter(n)
			sound = true
		case lang.KindVerb:
			sound = x.verb(n)
		case lang.KindGate:
			sound = x.gate(n)
		case lang.KindSelect:
			sound = x.selection(n)
		case lang.KindOutput:
			sound = x.output(n)
		}
		if !sound {
			x.damaged[b] = true
			continue
		}
		if !n.Enabled && b.Yields() != lang.YieldsModel {
			if x.vanished[b] == nil {
				x.vanished[b] = map[string]bool{}
			}
			x.vanished[b][at.key()] = true
			continue
		}
		n.Requires = x.gates(b, at)
		x.add(n)
	}
}

// local checks the expression that a block stands for, and where it is a
// variable's value, that the variable takes it.
func (x *expander) local(b *lang.Block, at place) {
	e := x.evaluation(nil)
	a := b.Expr()
	if a == nil {
		return
	}
	v, ok := e.attr(a, at)
	x.report(b, &at, e.diags...)
	if !ok {
		return
	}
	c, err := b.Convert(v)
	if err != nil {
		if t := b.TypeText(); t == "model" || t == "data" || t == "adapter" {
			x.errorAt(b, &at, a.Expr.Range(), "Invalid value for variable", "The variable %q of the module takes what is of type %s, and %s is not. Name the block that yields it, without quotes.", b.Name, t, schema.Spell(v))
			x.broken[b] = true
			return
		}
		given := schema.Spell(v)
		if a.Sensitive() {
			given = "this value"
		}
		x.errorAt(b, &at, a.Expr.Range(), "Invalid value for variable", "The variable %q of the module is of type %s, and %s is not: %v.", b.Name, b.TypeText(), given, err)
		x.broken[b] = true
		return
	}
	x.validate(b, c, at)
}

// validate checks the conditions that a variable sets on its value.
func (x *expander) validate(b *lang.Block, v cty.Value, at place) {
	if v == cty.NilVal {
		return
	}
	for _, c := range b.Validations {
		ctx := &hcl.EvalContext{Functions: x.pipeline.Functions,
			Variables: map[string]cty.Value{"var": cty.ObjectVal(map[string]cty.Value{b.Name: v})}}
		ok, diags := c.Condition.Expr.Value(ctx)
		if diags.HasErrors() {
			if b.Sensitive {
				for _, d := range diags {
					d.EvalContext = nil
				}
			}
			x.report(b, &at, diags...)
			x.refused[b] = true
			return
		}
		pass, err := convert.Convert(ok, cty.Bool)
		if err != nil || pass.IsKnown() && pass.IsNull() {
			x.errorAt(b, &at, c.Condition.Expr.Range(), "Invalid condition", "The condition of a validation is true or false, not %s.", schema.Spell(ok))
			x.refused[b] = true
			return
		}
		if !pass.IsKnown() || pass.True() {
			continue
		}
		text := "The value does not meet the condition."
		if m, diags := c.Message.Expr.Value(ctx); !diags.HasErrors() && !b.Sensitive {
			if s, err := convert.Convert(m, cty.String); err == nil && s.IsKnown() && !s.IsNull() {
				text = s.AsString()
			}
		}
		where := c.Condition.Expr.Range()
		if r := b.ValueRange(); r != nil {
			where = *r
		}
		x.errorAt(b, &at, where, "Invalid value for variable", "%s\nThe variable %q does not meet the condition at %s line %d.", text, b.Name,
			c.Condition.Range.Filename, c.Condition.Range.Start.Line)
		x.refused[b] = true
	}
}

// brokenSweeps says of each sweep that b refers to whether it is broken.
func (x *expander) brokenSweeps(b *lang.Block) []bool {
	var list []bool
	for _, n := range b.Needs() {
		if n.Kind == lang.KindSweep || n.Kind == lang.KindLocal {
			list = append(list, n.Broken || x.broken[n])
		}
	}
	return list
}

// gates returns the gate nodes that decide whether b runs at a place: those
// that agree with all that is known of it, candidates of selects included.
func (x *expander) gates(b *lang.Block, at place) []*Node {
	var list []*Node
	extended := at.extended()
	for _, g := range b.Requires {
		// Mostly the place says on all axes which of the gate's nodes it is.
		r := x.reachOf(g)
		one := place{extended, at.choices}.restrict(r)
		if len(one.point) == len(r.axes) && len(one.choices) == len(r.selects) {
			if n := x.byPlace[g][one.key()]; n != nil {
				list = append(list, n)
			}
			continue
		}
		for _, n := range x.byBlock[g] {
			joined, ok := extended.join(n.Point)
			if ok && at.agrees(n.place) && x.admitted(joined) {
				list = append(list, n)
			}
		}
	}
	return list
}

// value evaluates an attribute and reports.
func (x *expander) value(b *lang.Block, a *lang.Attr, at place) (cty.Value, bool) {
	e := x.evaluation(nil)
	v, ok := e.attr(a, at)
	x.report(b, &at, e.diags...)
	return v, ok
}

func newError(r hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: r.Ptr()}
}
