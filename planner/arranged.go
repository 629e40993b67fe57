package planner

import (
	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// arranged is what would be on record of a structural action if such were: its
// outputs follow from the trees of its inputs. It is nil if those are not known.
func (pr *Prediction) arranged(a *action.Action) *cache.Entry {
	in := map[string]*artifact.Tree{}
	for _, i := range a.Inputs {
		t := pr.tree(i.Ref)
		if t == nil {
			return nil
		}
		in[i.Name] = t
	}
	trees, err := action.Arrange(a, in)
	if err != nil {
		return nil // the run will say so
	}
	e := &cache.Entry{Kernel: a.Kernel.Name}
	for _, o := range a.Outputs {
		raw := trees[o.Name].Encode()
		e.Outputs = append(e.Outputs, cache.Output{Name: o.Name, Digest: cache.Sum(raw), Tree: raw, Bytes: trees[o.Name].Size(), Class: cache.Durable})
	}
	return e
}

// tree returns an output's tree, nil if it is not on record. Memos do not hold
// trees, so it may have to read the index.
func (pr *Prediction) tree(ref action.Ref) *artifact.Tree {
	if t := ref.Action.Leaf[ref.Output]; t != nil {
		return t
	}
	e := pr.entry(ref.Action)
	if e == nil {
		return nil
	}
	switch {
	case pr.recalled[ref.Action] == nil:
	case ref.Action.Kernel.Structural:
		if e = pr.arranged(ref.Action); e == nil {
			return nil
		}
	default:
		found, ok, err := pr.store.GetEntry(e.Action)
		if err != nil || !ok {
			return nil
		}
		e = found
	}
	for _, o := range e.Outputs {
		if o.Name == ref.Output {
			if t, err := artifact.DecodeTree(o.Tree); err == nil {
				return t
			}
		}
	}
	return nil
}

// visitStructural forecasts a structural action, which is no work itself: with
// bytes, those of all that it is made of are wanted.
func (pr *Prediction) visitStructural(a *action.Action, bytes bool) {
	f := Hit
	if pr.entry(a) == nil {
		f = Work
	}
	w := visited{a, bytes}
	if pr.structural[w] {
		return
	}
	pr.structural[w] = true
	pr.Of[a] = f
	for _, in := range a.Inputs {
		pr.visit(in.Ref.Action, in.Ref.Output, bytes)
	}
}

// visited is a structural action and whether its bytes were wanted.
type visited struct {
	a     *action.Action
	bytes bool
}
