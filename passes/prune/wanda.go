package prune

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// WandaArgs are the arguments of prune "wanda".
type WandaArgs struct {
	Model      *passes.Model `arg:"model" doc:"the model to prune"`
	Comparison string        `arg:"comparison" default:"row" enum:"row|layer" doc:"what weights compete with: those of their output row, or of the whole matrix; N:M compares within its groups"`
	blockwise.Calibrated
	Amount
	blockwise.Target
}

var wanda = blockwise.New(blockwise.Method[selection]{
	Kernel: "prune.wanda", Impl: 2,
	Needs: blockwise.Needs{Norms: true},
	Linear: func(w *blockwise.Work, s selection) error {
		sq, err := w.SumSq()
		if err != nil {
			return err
		}
		norms, err := mask.Norms(sq)
		if err != nil {
			return err
		}
		m, err := s.choose(w, mask.Wanda(w.W, w.Out, w.In, norms))
		if err != nil {
			return err
		}
		w.SetMask(m)
		return nil
	},
})

// Wanda removes the weights of smallest |W_ij|·‖x_j‖₂ within each output row,
// without changing what is kept.
//
// Sun et al. 2023, arXiv:2306.11695.
var Wanda = &passes.Pass{
	Verb: "prune", Method: "wanda",
	Summary: "Removes the weights of smallest magnitude × input norm within each output row.",
	Paper:   "Sun et al. 2023, arXiv:2306.11695",
	NewArgs: func() any { return &WandaArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*WandaArgs)
		r, ds := typeOf(c.Node, a.Model, a.Target, func(l *model.Linear) Amount {
			return schema.Resolve(*a, blockwise.ModuleOf(l)).Amount
		})
		return r, append(ds, a.Calibrated.Check(a.Model.Type)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*WandaArgs)
		j := blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Data: a.Data, Reference: a.Reference, Propagate: a.Propagate, Allocation: a.Allocation}
		return wanda.Lower(g, j, func(l *model.Linear) (selection, bool) {
			x, ok := layer(*a, a.Target, l, func(x WandaArgs) Amount { return x.Amount })
			return selection{x.param(), x.Comparison}, ok
		})
	},
}
