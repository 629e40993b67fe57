package prune

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/pattern"
)

// MagnitudeArgs are the arguments of prune "magnitude".
type MagnitudeArgs struct {
	Model      *passes.Model `arg:"model" doc:"the model to prune"`
	Comparison string        `arg:"comparison" default:"layer" enum:"row|layer" doc:"what weights compete with: those of their output row, or of the whole matrix; N:M compares within its groups"`
	Amount
	blockwise.Target
}

type selection struct {
	Sparsity   pattern.Sparsity `json:"sparsity"`
	Comparison string           `json:"comparison"`
}

// Allocate sets the fraction to remove.
func (s *selection) Allocate(x float64) {
	s.Sparsity = pattern.Sparsity{Pattern: mask.Pattern{Fraction: x}}
}

// choose selects by scores [out, in] where weights compete by row or matrix.
func (s selection) choose(w *blockwise.Work, scores []float64) (*mask.Mask, error) {
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
	if s.Comparison == "layer" && !s.Sparsity.IsNM() {
		return mask.Matrix(scores, w.Out, w.In, s.Sparsity.Fraction)
	}
	return mask.Select(scores, w.Out, w.In, s.Sparsity.Pattern)
}

var magnitude = blockwise.New(blockwise.Method[selection]{
	Kernel: "prune.magnitude", Impl: 2,
	Linear: func(w *blockwise.Work, s selection) error {
		scores := make([]float64, len(w.W))
		for i, x := range w.W {
			scores[i] = float64(max(x, -x))
		}
		m, err := s.choose(w, scores)
		if err != nil {
			return err
		}
		w.SetMask(m)
		return nil
	},
})

// Magnitude removes the weights of smallest absolute value.
//
// Han et al. 2015, arXiv:1506.02626, as the baseline of Sun et al. 2023: the
// threshold is taken over a whole matrix.
var Magnitude = &passes.Pass{
	Verb: "prune", Method: "magnitude",
	Summary: "Removes the weights of smallest absolute value; needs no data.",
	Paper:   "Han et al. 2015, arXiv:1506.02626",
	NewArgs: func() any { return &MagnitudeArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*MagnitudeArgs)
		return typeOf(c.Node, a.Model, a.Target, func(l *model.Linear) Amount {
			return schema.Resolve(*a, blockwise.ModuleOf(l)).Amount
		})
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*MagnitudeArgs)
		return magnitude.Lower(g, blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Allocation: a.Allocation}, func(l *model.Linear) (selection, bool) {
			x, ok := layer(*a, a.Target, l, func(x MagnitudeArgs) Amount { return x.Amount })
			return selection{x.param(), x.Comparison}, ok
		})
	},
}
