package planner

import (
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

// Choice is a select at one of its candidates.
type Choice struct {
	Select, Candidate *Node
}

// Node is one block at one point of its sweeps and, downstream of selects, for
// one candidate of each: the nodes whose choices the run does not make are
// typed, and never run.
type Node struct {
	Block   *lang.Block
	Point   Point
	Choices []Choice

	// Enabled is false for verbs that are switched off but yield a model: their
	// Result is their input's. Nothing is to be lowered for them.
	Enabled bool
	// Deferred nodes could not be checked in full, for the source of a model or
	// the value of a variable is not at hand.
	Deferred bool
	// Broken nodes have an error, or depend on a node that has: their results are
	// stand-ins without a type. Nothing is to be run while there are any.
	Broken bool
	// Undecided nodes are typed with shapes that are not known before what
	// decides them has run; see passes.Pass.Decide.
	Undecided bool
	// Needed nodes are roots or needed by one.
	Needed bool

	// Call and Result are those of verbs; a model block has its model in Result, an
	// adapter block its adapter.
	// Downstream calls hold the pointers of Result, so that lowering fills in
	// what they point to.
	Call   *passes.Call
	Result passes.Result
	// Data is what a data block yields.
	Data *passes.Data
	// ModelArgs, DataArgs, AdapterArgs and Seed are the decoded arguments of sources.
	ModelArgs   *lang.ModelArgs
	DataArgs    *lang.DataArgs
	AdapterArgs *lang.AdapterArgs
	Seed        uint64

	// DependsOn are the nodes whose results this one is made of.
	DependsOn []*Node
	// Watches are nodes of all.verb.name: they must have ended, in whatever way.
	Watches []*Node
	// Requires are gate nodes that must pass.
	Requires []*Node
	// Candidates of a select, in the order of their points.
	Candidates []*Node
	// Hunt is how a search goes through its candidates, nil for other nodes and
	// where a value that it hangs on is not at hand.
	Hunt *Hunt
	// Settled is the verdict of a gate that needs no run.
	Settled *Verdict

	place place
	// target nodes are those a run was cut to.
	target bool
	// keep nodes have everything stored that their actions yield.
	keep bool
	// decision is what the node's pass has decided, once it is known.
	decision []byte
	// value is what expressions see of a model or data, once asked for.
	value cty.Value
}

// Addr is the address with the point: "compensate.final[rank.rank=16]". Nodes
// that differ only in their choices share it, since one of them at most runs.
func (n *Node) Addr() string {
	if len(n.Point) == 0 {
		return n.Block.Addr()
	}
	return n.Block.Addr() + "[" + n.Point.String() + "]"
}

// Source is what a source's block names, "" for other nodes.
func (n *Node) Source() string {
	switch {
	case n.ModelArgs != nil:
		return n.ModelArgs.Source
	case n.DataArgs != nil:
		return n.DataArgs.Source
	case n.AdapterArgs != nil:
		return n.AdapterArgs.Source
	}
	return ""
}

// ID is unique: the address, and the candidates where there are choices.
func (n *Node) ID() string { return n.Addr() + choicesText(n.Choices) }

// waitForChoices makes n depend on the selects that decide whether it runs.
func (n *Node) waitForChoices() {
	for _, c := range n.Choices {
		if !slices.Contains(n.DependsOn, c.Select) {
			n.DependsOn = append(n.DependsOn, c.Select)
		}
	}
}

func choicesText(choices []Choice) string {
	if len(choices) == 0 {
		return ""
	}
	parts := make([]string, len(choices))
	for i, c := range choices {
		// Addresses suffice: the choices that selects and candidates hang on
		// themselves are in the list too.
		parts[i] = c.Select.Addr() + "=" + c.Candidate.Addr()
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// place is where an expression is evaluated: a point and the choices made.
type place struct {
	point   Point
	choices []Choice
}

func (p place) key() string { return p.point.String() + choicesText(p.choices) }

// text names the place in messages, "" where there is one only.
func (p place) text() string {
	var parts []string
	if len(p.point) > 0 {
		parts = append(parts, p.point.String())
	}
	for _, c := range p.choices {
		parts = append(parts, c.Select.Block.Addr()+" = "+c.Candidate.Addr())
	}
	return strings.Join(parts, ", ")
}

// restrict returns the part of p that r reaches.
func (p place) restrict(r reach) place {
	out := place{point: p.point.restrict(r.axes)}
	for _, c := range p.choices {
		if slices.Contains(r.selects, c.Select.Block) {
			out.choices = append(out.choices, c)
		}
	}
	return out
}

// extended returns p's point with the points of its candidates, on the axes
// that p does not reach itself: all that is known of where the models in it
// come from.
func (p place) extended() Point {
	out := slices.Clone(p.point)
	for _, c := range p.choices {
		for _, coordinate := range c.Candidate.Point {
			if out.index(coordinate.Axis) < 0 {
				out, _ = out.join(Point{coordinate}) // a new axis cannot disagree
			}
		}
	}
	return out
}

// agrees reports whether no select stands at different candidates in p and q.
func (p place) agrees(q place) bool {
	for _, c := range p.choices {
		for _, d := range q.choices {
			if c.Select == d.Select && c.Candidate != d.Candidate {
				return false
			}
		}
	}
	return true
}
