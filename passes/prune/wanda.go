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
	Model *passes.Model `arg:"model" doc:"the model to prune"`
	Scope string        `arg:"scope" default:"row" enum:"row|layer|global" doc:"what weights compete with: those of their output row, of the whole matrix, or of all layers together; N:M compares within its groups"`
	blockwise.Calibrated
	Amount
	Global
	blockwise.Target
}

func (a *WandaArgs) scope() scope { return scope{a.Scope, a.Amount, a.Global, a.Target, false} }

var wanda = newScored("prune.wanda", 2, blockwise.Needs{Norms: true}, func(w *blockwise.Work, _ struct{}, scores []float64) error {
	return wandaScores(w, scores)
})

// wandaScores are |W_ij|·‖x_j‖₂ over all calibration tokens.
func wandaScores(w *blockwise.Work, scores []float64) error {
	sq, err := w.SumSq()
	if err != nil {
		return err
	}
	norms, err := mask.Norms(sq)
	if err != nil {
		return err
	}
	mask.Wanda(scores, w.W, w.Out, w.In, norms)
	return nil
}

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
		r, ds := typeOfScored(c.Node, a.Model, a.scope(), a.Propagate, func(l *model.Linear) Amount {
			return schema.Resolve(*a, blockwise.ModuleOf(l)).Amount
		})
		return r, append(ds, a.Calibrated.Check(a.Model.Type)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*WandaArgs)
		j := blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Data: a.Data, Reference: a.Reference, Propagate: a.Propagate, Allocation: a.Allocation}
		return wanda.lower(g, j, a.scope(), r, func(l *model.Linear) (selection[struct{}], bool) {
			x, ok := layer(*a, a.Target, l, func(x WandaArgs) Amount { return x.Amount })
			return selectionOf(x.scope(), struct{}{}), ok
		})
	},
}
