package quantize

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// RTNArgs are the arguments of quantize "rtn".
type RTNArgs struct {
	Model *passes.Model `arg:"model" doc:"the model to quantise"`
	Grid
	blockwise.Target
}

var rtn = blockwise.New(blockwise.Method[layerGrid]{
	Kernel: "quantize.rtn", Impl: 1,
	Linear: func(w *blockwise.Work, s layerGrid) error {
		q, err := grid.Quantize(w.Pool, w.W, w.Out, w.In, s.Spec, w.Mask)
		if err != nil {
			return err
		}
		w.SetQuantized(q)
		return nil
	},
})

// RTN rounds every weight to the nearest point of its group's grid. Pruned
// weights stay zero.
//
// The baseline of Frantar et al. 2022, arXiv:2210.17323.
var RTN = &passes.Pass{
	Verb: "quantize", Method: "rtn",
	Summary: "Rounds every weight to the nearest point of its group's grid; needs no data.",
	Paper:   "the baseline of Frantar et al. 2022, arXiv:2210.17323",
	NewArgs: func() any { return &RTNArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*RTNArgs)
		return typeOf(c.Node, a.Model, a.Target, func(l *model.Linear) Grid { return schema.Resolve(*a, blockwise.ModuleOf(l)).Grid })
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*RTNArgs)
		return rtn.Lower(g, blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Allocation: a.Allocation}, func(l *model.Linear) (layerGrid, bool) {
			return layerGrid{schema.Resolve(*a, blockwise.ModuleOf(l)).spec()}, a.Selects(l)
		})
	},
}

// Probe returns rounding to nearest as trials use it, at the grid of a level.
func Probe(at func(level float64) grid.Spec) *blockwise.Probe {
	return rtn.Probe(func(level float64) layerGrid { return layerGrid{at(level)} })
}
