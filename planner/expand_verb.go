package planner

import (
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

func (x *expander) model(n *Node) {
	n.Result.Model = &passes.Model{From: n.Addr()}
	args := &lang.ModelArgs{}
	unknown, ok := x.decode(x.evaluation(nil), n, args)
	if !ok {
		n.Broken = true
		return
	}
	n.ModelArgs, n.Deferred = args, unknown
	if unknown {
		return
	}
	m, list := x.sources.Model(n.Addr(), args)
	x.reportList(n, list)
	if list.HasErrors() {
		n.Broken = true
		return
	}
	if m != nil {
		n.Result.Model = m
	}
	n.Deferred = n.Result.Model.Type == nil
}

func (x *expander) data(n *Node) {
	n.Data = &passes.Data{From: n.Addr()}
	args := &lang.DataArgs{}
	unknown, ok := x.decode(x.evaluation(nil), n, args)
	seed, seeded := x.seed(n.Block, n.place)
	if !ok || !seeded {
		n.Broken = true
		x.text(n, args)
		return
	}
	n.DataArgs, n.Seed, n.Deferred = args, seed, unknown
	n.Data.Type.SequenceLength = args.SequenceLength
	if n.inherit(); n.Broken {
		x.text(n, args)
		return
	}
	if unknown {
		return
	}
	d, list := x.sources.Data(n.Addr(), args, seed)
	x.reportList(n, list)
	if list.HasErrors() {
		n.Broken = true
		return
	}
	if d != nil {
		n.Data = d
	}
	n.Deferred = n.Data.Type.Windows == 0
}

// text looks for the source of a data block that has another mistake.
func (x *expander) text(n *Node, args *lang.DataArgs) {
	if args.Source != "" && x.sources.Text != nil {
		x.reportList(n, x.sources.Text(n.Addr(), args))
	}
}

func (x *expander) adapter(n *Node) {
	n.Result.Adapter = &passes.Adapter{From: n.Addr()}
	args := &lang.AdapterArgs{}
	unknown, ok := x.decode(x.evaluation(nil), n, args)
	if !ok {
		n.Broken = true
		return
	}
	n.AdapterArgs, n.Deferred = args, unknown
	n.Result.Adapter.Base = args.Model
	if n.inherit(); unknown || n.Broken {
		return
	}
	a, list := x.sources.Adapter(n.Addr(), args)
	x.reportList(n, list)
	if list.HasErrors() {
		n.Broken = true
		return
	}
	n.Result.Adapter = a
	n.Deferred = n.Deferred || !a.Known()
}

// inherit marks a node that depends on broken or deferred ones as such.
func (n *Node) inherit() {
	for _, d := range n.DependsOn {
		n.Broken = n.Broken || d.Broken
		n.Deferred = n.Deferred || d.Deferred
		n.Undecided = n.Undecided || d.Undecided
	}
}

// verb types a verb at a point. It is false for what is reported and makes no
// node. A broken verb is a node all the same: its stand-in for a result lets
// the arguments of what follows be checked.
func (x *expander) verb(n *Node) bool {
	b := n.Block
	enabled, ok := x.enabled(b, n.place)
	if !ok {
		return false
	}
	if !enabled {
		return x.disabled(n)
	}
	args := b.Pass.NewArgs()
	unknown, ok := x.decode(x.evaluation(nil), n, args)
	seed, seeded := x.seed(b, n.place)
	if ok = ok && seeded; !ok {
		n.Broken = true
	}
	n.Seed, n.Deferred = seed, unknown
	n.Call = &passes.Call{Node: n.Addr(), Args: args, Seed: seed, Decision: n.decision}
	if ok && !unknown {
		result, list := b.Pass.Type(n.Call)
		x.reportList(n, list)
		if list.HasErrors() {
			n.Broken = true
		} else {
			n.Result = result
		}
	}
	n.Undecided = n.Result.Model != nil && n.Result.Model.Type != nil && n.Result.Model.Type.Undecided == n.Addr()
	if b.Yields() == lang.YieldsModel && n.Result.Model == nil {
		n.Result.Model = &passes.Model{}
	}
	if b.Yields() == lang.YieldsAllocation && n.Result.Allocation == nil {
		n.Result.Allocation = &passes.Allocation{}
	}
	if a := n.Result.Allocation; a != nil {
		if a.From == "" {
			a.From = n.Addr()
		}
		n.Deferred = n.Deferred || a.Type == nil
	}
	if m := n.Result.Model; m != nil {
		if m.From == "" {
			m.From = n.Addr()
		}
		n.Deferred = n.Deferred || m.Type == nil
	}
	n.inherit()
	return true
}

// disabled makes a verb with a model the identity; others vanish.
func (x *expander) disabled(n *Node) bool {
	n.Enabled = false
	if n.Block.Yields() != lang.YieldsModel {
		return true
	}
	a := n.Block.Body.Attr("model")
	if a == nil {
		if !n.Block.Damaged {
			x.errorAt(n.Block, &n.place, n.Block.Body.Range("enabled"), "Cannot be disabled",
				"A disabled block passes on its argument model, and %s %s has none.", n.Block.Type, n.Block.Method)
		}
		return false
	}
	v, ok := x.value(n.Block, a, n.place)
	if !ok {
		return false
	}
	r, ok := schema.RefOf(v)
	if ok {
		if m, isModel := r.Value.(*passes.Model); isModel {
			n.Result.Model = m
			n.DependsOn = origins(v)
			n.waitForChoices()
			n.inherit()
			return true
		}
	}
	if !v.IsKnown() {
		n.Result.Model, n.Deferred = &passes.Model{From: n.Addr()}, true
		return true
	}
	x.errorAt(n.Block, &n.place, a.Expr.Range(), "Wrong type of argument", "The argument \"model\" takes a model, not %s.", schema.Spell(v))
	return false
}

// enabled evaluates the argument of that name; what is not known yet counts as
// enabled.
func (x *expander) enabled(b *lang.Block, at place) (bool, bool) {
	a := b.Body.Attr("enabled")
	if a == nil {
		return true, true
	}
	v, ok := x.condition(x.evaluation(nil), b, a, at)
	return ok && (!v.IsKnown() || v.True()), ok
}
