package planner

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/lang"
)

// Evaluated is the value of an expression at one point and, downstream of
// selects, for one candidate of each.
type Evaluated struct {
	// At is the place in words, "" where there is one only.
	At    string
	Value cty.Value
}

// Evaluate evaluates an expression of the pipeline at each point it reaches.
// What is known only after a run is unknown.
func (e *Expansion) Evaluate(src, name string) ([]Evaluated, hcl.Diagnostics) {
	b, diags := e.Pipeline.Expression(src, name)
	if diags.HasErrors() {
		return nil, diags
	}
	x := *e.x
	x.found = nil
	for _, broken := range x.brokenSweeps(b) {
		if broken {
			return nil, append(diags, newError(b.Body.DefRange, "Value not known", "What this refers to was reported as wrong."))
		}
	}
	places, ok := x.placesOf(b)
	delete(x.reach, b) // the map is the expansion's
	var list []Evaluated
	for _, at := range places {
		ev := x.evaluation(nil)
		v, sound := ev.attr(b.Expr(), at)
		x.report(b, &at, ev.diags...)
		if !sound {
			ok = false
			continue
		}
		list = append(list, Evaluated{at.text(), v})
	}
	x.places = map[*lang.Block]int{b: len(places)}
	diags = append(diags, x.diagnostics()...)
	if !ok && !diags.HasErrors() {
		diags = append(diags, newError(b.Body.DefRange, "Value not known", "What this refers to was reported as wrong, or is not enabled."))
	}
	if diags.HasErrors() {
		list = nil
	}
	return list, diags
}
