package prune

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/pattern"
)

// SparseGPTArgs are the arguments of prune "sparsegpt".
type SparseGPTArgs struct {
	Model     *passes.Model `arg:"model" doc:"the model to prune"`
	Damping   float64       `arg:"damping" default:"0.01" above:"0" max:"1" per_module:"true" doc:"added to the Hessian's diagonal, as a share of its mean"`
	BlockSize int           `arg:"block_size" default:"128" min:"1" doc:"columns among which a fraction is selected, all rows pooled; rounded up to a multiple of M"`
	Refine    int           `arg:"refine" default:"2" min:"0" max:"100" doc:"passes of coordinate descent over the weights kept after the sweep, on what the sweep minimises; 0 is SparseGPT as published"`
	blockwise.Calibrated
	Amount
	blockwise.Target
}

type sparseGPTLayer struct {
	Sparsity  pattern.Sparsity `json:"sparsity"`
	Damping   float64          `json:"damping"`
	BlockSize int              `json:"block_size"`
	Refine    int              `json:"refine"`
}

// Allocate sets the fraction to remove.
func (s *sparseGPTLayer) Allocate(x float64) {
	s.Sparsity = pattern.Sparsity{Pattern: mask.Pattern{Fraction: x}}
}

var sparseGPT = blockwise.New(blockwise.Method[sparseGPTLayer]{
	Kernel: "prune.sparsegpt", Impl: 3,
	Needs: blockwise.Needs{Gram: true},
	Linear: func(w *blockwise.Work, a sparseGPTLayer) error {
		if a.Sparsity.IsZero() { // the layer's share of an allocation is nothing
			w.SetMask(mask.New(w.Out, w.In))
			return nil
		}
		f, err := w.Factor(a.Damping, false)
		if err != nil {
			return err
		}
		r, err := obs.Sweep(w.Pool, f, w.W, w.Out, obs.Options{Block: a.BlockSize, Pattern: a.Sparsity.Pattern})
		if err != nil {
			return err
		}
		if err := w.Refine(f, r, a.Refine); err != nil {
			return err
		}
		w.W = r.Weights
		w.SetMask(r.Mask)
		return nil
	},
})

// SparseGPT prunes by the second-order loss of each weight and moves the error
// of what is removed onto the columns that are still to come; then goes over all that is kept again.
//
// Frantar and Alistarh 2023, arXiv:2301.00774.
var SparseGPT = &passes.Pass{
	Verb: "prune", Method: "sparsegpt",
	Summary: "Second-order pruning that updates the remaining weights.",
	Paper:   "Frantar and Alistarh 2023, arXiv:2301.00774",
	NewArgs: func() any { return &SparseGPTArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*SparseGPTArgs)
		r, ds := typeOf(c.Node, a.Model, a.Target, func(l *model.Linear) Amount {
			return schema.Resolve(*a, blockwise.ModuleOf(l)).Amount
		})
		if a.Model.Type != nil {
			for _, l := range a.Model.Type.Linears {
				if l.Masked() && a.Selects(l) {
					ds.Errorf("model", "Pruning a pruned model", "%s already has the mask %s from %s. SparseGPT updates what it keeps, which would bring zeros back. Prune once with the final sparsity, or use prune \"wanda\" or \"magnitude\", which keep earlier zeros.", l.Path, l.Mask, l.MaskedBy)
					ds.Since(l.MaskedBy)
					break
				}
			}
		}
		return r, append(ds, a.Calibrated.Check(a.Model.Type)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*SparseGPTArgs)
		j := blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Data: a.Data, Reference: a.Reference, Propagate: a.Propagate, Allocation: a.Allocation}
		return sparseGPT.Lower(g, j, func(l *model.Linear) (sparseGPTLayer, bool) {
			x, ok := layer(*a, a.Target, l, func(x SparseGPTArgs) Amount { return x.Amount })
			return sparseGPTLayer{x.param(), x.Damping, x.BlockSize, x.Refine}, ok
		})
	},
}
