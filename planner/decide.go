package planner

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// Shapes that an action decides. A node whose pass has such an action is typed
// with shapes that are like what will come, and so is what follows from it, so
// that mistakes are found before anything runs. None of these is lowered but
// the action itself. Once its document is there, at a plan from a memo, in a run
// from the stage that made it, the nodes are typed anew in order and lowered as
// any others.

// advance lowers a step as far as what is decided lets it.
func (p *Plan) advance(s *Step, r Lowerer, store *cache.Store) error {
	seen := map[*action.Action]bool{}
	for _, a := range s.Actions {
		seen[a] = true
	}
	p.Graph.Added = func(a *action.Action) {
		if !seen[a] {
			seen[a] = true
			s.Actions = append(s.Actions, a)
		}
	}
	n := s.Node
	p.Graph.Keep = n.keep
	defer func() { p.Graph.Added, p.Graph.Keep = nil, false }()
	if n.Undecided {
		if slices.ContainsFunc(n.DependsOn, func(d *Node) bool { return d.Undecided }) {
			return nil
		}
		// What it is made of may have been decided since it was typed.
		if err := p.retype(n); err != nil {
			return err
		}
	}
	if n.Undecided {
		ref, ok := n.Block.Pass.Decide(n.Call, p.Graph)
		if !ok {
			panic(fmt.Sprintf("planner: %s leaves its shapes undecided and has nothing that decides them", n.Addr()))
		}
		s.Decision = ref
		raw, ok := store.Recall(decisionKey(ref))
		if !ok {
			return nil
		}
		n.decision = raw
		if err := p.retype(n); err != nil {
			return err
		}
	}
	return p.lower(s, r, store)
}

// DecidedBy is the address of the node whose run decides the shapes of an
// undecided one.
func DecidedBy(n *Node) string {
	if m := n.Result.Model; m != nil && m.Type != nil && m.Type.Undecided != "" {
		return m.Type.Undecided
	}
	for _, d := range n.DependsOn {
		if d.Undecided {
			return DecidedBy(d)
		}
	}
	return ""
}

// decisionKey is the name of the memo that holds a decision. A memo, and not a
// look-up of the action's result, since more may be asked of the actions before
// it by the time they run than when it is looked for.
func decisionKey(ref action.Ref) cache.Digest {
	return cache.Digest(action.OriginKey(ref, map[*action.Action]artifact.Digest{}))
}

// retype evaluates a node again, after something that it depends on was decided.
// The error holds what is wrong now.
func (p *Plan) retype(n *Node) error {
	x := p.x
	before := len(x.found)
	n.value, n.Broken = cty.NilVal, false
	ok := x.verb(n)
	var diags hcl.Diagnostics
	for _, f := range x.found[before:] {
		diags = append(diags, f.diag)
	}
	x.found = x.found[:before]
	if diags.HasErrors() || !ok {
		return fmt.Errorf("%s, now that the shapes are known: %w", n.Addr(), diags)
	}
	return nil
}

// decide takes up what a step's action has decided; false if it has not.
func (r *execution) decide(ctx context.Context, s *Step) (bool, error) {
	if r.status(s) != Done {
		return false, nil
	}
	raw, err := r.leaf(ctx, s.Decision, "decision")
	if err != nil {
		return false, fmt.Errorf("%s: what it decided cannot be read: %w", s.Node.Addr(), err)
	}
	if err := r.o.Executor.Store.RememberAlways(decisionKey(s.Decision), raw); err != nil && r.o.Executor.Logf != nil {
		r.o.Executor.Logf("%v; the next plan will not know the shapes before a run", err)
	}
	s.Node.decision = raw
	return true, nil
}

// goOn types and lowers what decisions let it.
func (r *execution) goOn() {
	r.Graph.Seal()
	for _, s := range r.Steps {
		if !s.Node.Undecided || r.failures[s] != nil {
			continue
		}
		if slices.ContainsFunc(s.Node.DependsOn, func(d *Node) bool { return d.Broken }) {
			s.Node.Broken = true
			continue
		}
		delete(r.done, s)
		if err := r.advance(s, nil, r.o.Executor.Store); err != nil {
			r.failures[s] = err
		}
	}
}
