package compensate

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// LoRCArgs are the arguments of compensate "lorc".
type LoRCArgs struct {
	Common
	Rank int `arg:"rank" default:"8" min:"1" per_module:"true" doc:"rank of the side path of each linear"`
}

func (a *LoRCArgs) rank(l *model.Linear) int {
	return schema.Resolve(*a, blockwise.ModuleOf(l)).Rank
}

// LoRC adds the best rank-r approximation of W − Ŵ itself; it needs no data.
//
// Yao et al. 2023, arXiv:2303.08302.
var LoRC = &passes.Pass{
	Verb: "compensate", Method: "lorc",
	Summary: "Low-rank side paths that minimise the weights' error; needs no data.",
	Paper:   "Yao et al. 2023, arXiv:2303.08302",
	NewArgs: func() any { return &LoRCArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*LoRCArgs)
		return a.typeOf(c.Node, a.rank)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*LoRCArgs)
		return a.lower(c.Node, g, r, nil, a.rank)
	},
}
