package quantize

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// GPTQArgs are the arguments of quantize "gptq".
type GPTQArgs struct {
	Model        *passes.Model `arg:"model" doc:"the model to quantise"`
	Damping      float64       `arg:"damping" default:"0.01" above:"0" max:"1" per_module:"true" doc:"added to the Hessian's diagonal, as a share of its mean"`
	ActOrder     bool          `arg:"act_order" default:"true" doc:"visit the columns by descending diagonal of the Hessian"`
	StaticGroups bool          `arg:"static_groups" default:"true" doc:"fit every group's grid to the original weights; otherwise to the weights as they are when the group is reached, which needs act_order = false"`
	PreserveMask bool          `arg:"preserve_mask" default:"true" doc:"keep pruned weights exactly zero"`
	BlockSize    int           `arg:"block_size" default:"128" min:"1" doc:"columns between two updates of all columns to their right; affects speed only"`
	Refine       int           `arg:"refine" default:"2" min:"0" max:"100" doc:"passes of coordinate descent over all codes and scales after the sweep, on what the sweep minimises (Behdin et al. 2023, arXiv:2309.01885); 0 is GPTQ as published"`
	Grid
	blockwise.Calibrated
	blockwise.Target
}

type gptqLayer struct {
	Spec         grid.Spec `json:"grid"`
	Damping      float64   `json:"damping"`
	ActOrder     bool      `json:"act_order"`
	StaticGroups bool      `json:"static_groups"`
	PreserveMask bool      `json:"preserve_mask"`
	BlockSize    int       `json:"block_size"`
	Refine       int       `json:"refine"`
}

// Allocate sets the bits of a code.
func (l *gptqLayer) Allocate(bits float64) { l.Spec.Bits = int(bits) }

var gptq = blockwise.New(blockwise.Method[gptqLayer]{
	Kernel: "quantize.gptq", Impl: 2,
	Needs: blockwise.Needs{Gram: true},
	Linear: func(w *blockwise.Work, a gptqLayer) error {
		f, err := w.Factor(a.Damping, a.ActOrder)
		if err != nil {
			return err
		}
		// Only the codes stay.
		values := linalg.TakeBuffer[float32](len(w.W))
		defer values.Give()
		o := obs.Options{Block: a.BlockSize, Grid: &a.Spec, LiveGrids: !a.StaticGroups, Into: values.S}
		if a.PreserveMask {
			o.Mask = w.Mask
		} else {
			w.Mask = nil
		}
		r, err := obs.Sweep(w.Pool, f, w.W, w.Out, o)
		if err != nil {
			return err
		}
		if err := w.Refine(f, r, a.Refine); err != nil {
			return err
		}
		w.SetQuantized(r.Quantized)
		return nil
	},
})

// GPTQ rounds column by column and moves each column's rounding error onto the
// columns that are still to come; then goes over the codes and scales again.
//
// Frantar et al. 2022, arXiv:2210.17323; Behdin et al. 2023, arXiv:2309.01885.
var GPTQ = &passes.Pass{
	Verb: "quantize", Method: "gptq",
	Summary: "Rounds column by column, passing the error on by second-order information.",
	Paper:   "Frantar et al. 2022, arXiv:2210.17323",
	NewArgs: func() any { return &GPTQArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*GPTQArgs)
		r, ds := typeOf(c.Node, a.Model, a.Target, func(l *model.Linear) Grid { return schema.Resolve(*a, blockwise.ModuleOf(l)).Grid })
		if a.ActOrder && !a.StaticGroups {
			ds.Errorf("static_groups", "Grids of groups that are not visited together", "act_order = true visits the columns out of order, so a group's grid cannot wait until the group is reached. Use static_groups = true, or act_order = false.")
		}
		if !a.PreserveMask && r.Model.Type != nil {
			for _, l := range r.Model.Type.Linears {
				if a.Selects(l) {
					l.Mask = mask.Pattern{}
				}
			}
		}
		return r, append(ds, a.Calibrated.Check(a.Model.Type)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*GPTQArgs)
		j := blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Data: a.Data, Reference: a.Reference, Propagate: a.Propagate, Allocation: a.Allocation}
		return gptq.Lower(g, j, func(l *model.Linear) (gptqLayer, bool) {
			x := schema.Resolve(*a, blockwise.ModuleOf(l))
			return gptqLayer{x.spec(), x.Damping, x.ActOrder, x.StaticGroups, x.PreserveMask, x.BlockSize, x.Refine}, a.Selects(l)
		})
	},
}
