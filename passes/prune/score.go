package prune

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/pattern"
)

// selection are the arguments of one layer that is pruned by scores: how much of
// it, among which weights, and what the scores S depend on.
type selection[S any] struct {
	Sparsity pattern.Sparsity `json:"sparsity"`
	Scope    string           `json:"scope"`
	Score    S                `json:"score,omitzero"`
}

// Allocate sets the fraction to remove.
func (s *selection[S]) Allocate(x float64) {
	s.Sparsity = pattern.Sparsity{Pattern: mask.Pattern{Fraction: x}}
}

// selectionOf are the arguments of one layer. What a global decision leaves to do
// is the same as what an allocation does, so it is the same action.
func selectionOf[S any](s scope, score S) selection[S] {
	x := selection[S]{s.param(), s.Scope, score}
	if s.Scope == "global" {
		x.Sparsity, x.Scope = pattern.Sparsity{}, "layer"
	}
	return x
}

// choose selects by scores [out, in] where weights compete by row or matrix.
func (s selection[S]) choose(w *blockwise.Work, scores []float64) (*mask.Mask, error) {
	if w.Mask != nil {
		// What was pruned before stays pruned and counts.
		for r := 0; r < w.Out; r++ {
			for c := 0; c < w.In; c++ {
				if !w.Mask.Keep(r, c) {
					scores[r*w.In+c] = -1
				}
			}
		}
	}
	switch {
	case s.Sparsity.IsNM():
		return mask.NM(scores, w.Out, w.In, s.Sparsity.N, s.Sparsity.M)
	case s.Scope == "layer":
		return mask.Matrix(scores, w.Out, w.In, s.Sparsity.Fraction)
	}
	return mask.Rows(scores, w.Out, w.In, s.Sparsity.Fraction)
}

// scored is a pruner that removes the weights of lowest score and leaves the rest
// as they are.
type scored[S any] struct {
	*blockwise.Method[selection[S]]
	*ranking[S]
}

// scoring sets scores [out, in] to those of a layer, none negative.
type scoring[S any] func(w *blockwise.Work, s S, scores []float64) error

// use calls f with the scores, which are not f's to keep.
func (score scoring[S]) use(w *blockwise.Work, s S, f func(scores []float64) error) error {
	buf := linalg.TakeBuffer[float64](len(w.W))
	defer buf.Give()
	if err := score(w, s, buf.S); err != nil {
		return err
	}
	return f(buf.S)
}

// newScored registers the kernels of a pruner by score.
func newScored[S any](kernel string, impl int, needs blockwise.Needs, score scoring[S]) scored[S] {
	return scored[S]{
		blockwise.New(blockwise.Method[selection[S]]{Kernel: kernel, Impl: impl, Needs: needs,
			Linear: func(w *blockwise.Work, s selection[S]) error {
				return score.use(w, s.Score, func(scores []float64) error {
					m, err := s.choose(w, scores)
					if err != nil {
						return err
					}
					w.SetMask(m)
					return nil
				})
			}}),
		newRanking(kernel, impl, needs, score),
	}
}

// scope are the arguments that say which weights compete.
type scope struct {
	// Scope is "row", "layer" or "global".
	Scope string
	Amount
	Global
	blockwise.Target
	// normalise divides the scores of a layer by the spread of its weights before
	// layers are compared.
	normalise bool
}

// lower is a pruner's way through the model.
func (m scored[S]) lower(g *action.Graph, j blockwise.Job, s scope, r passes.Result, of func(*model.Linear) (selection[S], bool)) passes.Result {
	if s.Scope == "global" {
		al := *r.Allocation
		al.Blocks = m.shares(g, j, s, of)
		j.Allocation = &al
		r.Allocation = &al
	}
	out := m.Lower(g, j, of)
	out.Allocation = r.Allocation
	return out
}

// typeOfScored is typeOf for a pruner by scores; propagate is whose hidden states
// its statistics are taken from, "" where it has none.
func typeOfScored(node string, m *passes.Model, s scope, propagate string, amount func(*model.Linear) Amount) (passes.Result, diag.List) {
	ds := s.Global.check(s, propagate)
	if s.Scope != "global" || ds.HasErrors() {
		r, more := typeOf(node, m, s.Target, amount)
		return r, append(ds, more...)
	}
	al := &passes.Allocation{From: node, Of: "sparsity", Total: s.Sparsity.Fraction, Layers: map[string]bool{}}
	if m.Type != nil {
		al.Type = m.Type
		ds = append(ds, s.checkFloors(m.Type, amount)...)
		for _, l := range m.Type.Linears {
			if s.Selects(l) && !amount(l).of().IsZero() {
				al.Layers[l.Path] = true
			}
		}
	}
	r, more := typeOf(node, m, s.Target, func(l *model.Linear) Amount {
		if a := amount(l); a.of().IsZero() {
			return a
		}
		return Amount{Allocated: blockwise.Allocated{Allocation: al}}
	})
	r.Allocation = al
	return r, append(ds, more...)
}
