package planner

import (
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
)

func (x *expander) gate(n *Node) bool {
	b := n.Block
	enabled, ok := x.enabled(b, n.place)
	if !ok || !enabled {
		n.Enabled = enabled
		return ok
	}
	if a := b.Body.Attr("require"); a != nil {
		v, ok := x.value(b, a, n.place)
		if !ok {
			return false
		}
		if v.IsKnown() && (v.IsNull() || v.Type() != cty.String || v.AsString() != "all" && v.AsString() != "any") {
			x.errorAt(b, &n.place, a.Expr.Range(), "Invalid value", "The argument \"require\" is %s, but must be \"all\" or \"any\".", schema.Spell(v))
			return false
		}
		x.anyGates[b] = v.IsKnown() && v.AsString() == "any"
	}
	e := x.evaluation(nil)
	v, ok := x.condition(e, b, b.Body.Attr("condition"), n.place)
	if a := b.Body.Attr("error_message"); a != nil {
		_, sound := x.value(b, a, n.place)
		ok = ok && sound
	}
	if !ok {
		return false
	}
	n.DependsOn, n.Watches = e.refs, e.watches
	if v.IsKnown() {
		verdict := x.decide(n, nil)
		n.Settled = &verdict
	}
	return true
}

func (x *expander) selection(n *Node) bool {
	b := n.Block
	if b.From == nil {
		return false
	}
	if x.damaged[b.From] {
		return false
	}
	ok := true
	for _, c := range x.byBlock[b.From] {
		joined, agree := n.Point.join(c.Point)
		if !agree || !n.place.agrees(c.place) || !x.admitted(joined) {
			continue
		}
		n.Candidates = append(n.Candidates, c)
		ok = x.candidate(n, c) && ok
	}
	// Its expressions stand at each candidate; the place itself counts as one.
	x.places[b] += len(n.Candidates) - 1
	if b.From.Broken || x.broken[b.From] {
		return false // reported, and without nodes for that reason
	}
	if ok && len(n.Candidates) == 0 {
		x.errorAt(b, &n.place, b.Body.Range("from"), "Nothing to choose from", "%s has no points here.", b.From.Addr())
		return false
	}
	// Downstream types come from the candidates; this one is only for messages.
	n.Result.Model = &passes.Model{From: n.Addr()}
	if ok && b.IsSearch() {
		ok = x.hunt(n)
	}
	return ok
}

// candidate checks a select's expressions for one candidate.
func (x *expander) candidate(n, c *Node) bool {
	b := n.Block
	at := x.candidatePlace(n, c)
	e := x.evaluation(nil)
	ok := true
	if where := b.Body.Attr("where"); where != nil {
		_, ok = x.condition(e, b, where, at)
	}
	for _, name := range []string{"minimize", "maximize"} {
		a := b.Body.Attr(name)
		if a == nil {
			continue
		}
		v, sound := e.attr(a, at)
		x.report(b, &at, e.diags...)
		e.diags = nil
		if sound && v.IsKnown() && (v.IsNull() || v.Type() != cty.Number) {
			x.errorAt(b, &at, a.Expr.Range(), "Invalid objective", "A %s needs a number to compare, not %s.", b.Type, schema.Spell(v))
			sound = false
		}
		ok = ok && sound
	}
	for _, r := range append([]*Node{c}, e.refs...) {
		if !slices.Contains(n.DependsOn, r) {
			n.DependsOn = append(n.DependsOn, r)
		}
	}
	for _, r := range e.watches {
		if !slices.Contains(n.Watches, r) {
			n.Watches = append(n.Watches, r)
		}
	}
	return ok
}

// candidatePlace is where a select's expressions are evaluated for c.
func (x *expander) candidatePlace(n, c *Node) place {
	joined, _ := n.Point.join(c.Point) // candidates were chosen to agree
	at := place{point: joined, choices: slices.Clone(n.Choices)}
	for _, choice := range c.Choices {
		if !slices.Contains(at.choices, choice) {
			at.choices = append(at.choices, choice)
		}
	}
	return at
}

func (x *expander) output(n *Node) bool {
	enabled, ok := x.enabled(n.Block, n.place)
	if !ok || !enabled {
		n.Enabled = enabled
		return ok
	}
	e := x.evaluation(nil)
	_, ok = e.attr(n.Block.Body.Attr("value"), n.place)
	x.report(n.Block, &n.place, e.diags...)
	n.DependsOn, n.Watches = e.refs, e.watches
	return ok
}
