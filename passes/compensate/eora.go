package compensate

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// EoRAArgs are the arguments of compensate "eora".
type EoRAArgs struct {
	Common
	Rank      int          `arg:"rank" default:"32" min:"1" per_module:"true" doc:"rank of the side path of each linear"`
	Data      *passes.Data `arg:"data" doc:"calibration windows"`
	Propagate string       `arg:"propagate" default:"input" enum:"reference|input" doc:"whose hidden states weigh the error: the compressed model's as given, or the reference's"`
}

func (a *EoRAArgs) rank(l *model.Linear) int {
	return schema.Resolve(*a, blockwise.ModuleOf(l)).Rank
}

// EoRA adds the rank-r side path that brings a layer's output on calibration
// inputs closest to the original's: the best approximation of W − Ŵ under the
// inputs' second moments.
//
// Liu et al. 2024, arXiv:2410.21271.
var EoRA = &passes.Pass{
	Verb: "compensate", Method: "eora",
	Summary: "Low-rank side paths that minimise the layers' output error on calibration data; closed form.",
	Paper:   "Liu et al. 2024, arXiv:2410.21271",
	NewArgs: func() any { return &EoRAArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*EoRAArgs)
		return a.typeOf(c.Node, a.rank)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*EoRAArgs)
		src := a.Model
		if a.Propagate == "reference" {
			src = blockwise.Aligned(g, c.Node, a.Model, a.Reference)
		}
		grams := blockwise.Grams(g, c.Node, src, a.Data, func(b int) bool {
			for _, l := range a.Model.Type.Block(b) {
				if a.Selects(l) {
					return true
				}
			}
			return false
		})
		return a.lower(c.Node, g, r, func(b int) action.Ref { return grams[b] }, a.rank)
	},
}
