package transform

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/passes"
)

// CRMSNormArgs are the arguments of transform "crmsnorm".
type CRMSNormArgs struct {
	Model *passes.Model `arg:"model" doc:"the model to rewrite"`
	Verified
}

// CRMSNorm is RMSNorm and leaves out the last entry of the residual stream.
//
// Jiang et al. 2023, arXiv:2305.14858. Gains and biases of the norms are always
// folded: a gain on the entry that is left out has no other place.
var CRMSNorm = &passes.Pass{
	Verb: "transform", Method: "crmsnorm",
	Summary: "Turns LayerNorm into CRMSNorm, exactly: the residual stream has no mean and is one entry narrower.",
	Doc: `As [rmsnorm](transform-rmsnorm.md), and the last entry of the residual stream, which
follows from the others once their sum is zero, is not stored: layers that read it read
the others instead, and layers that write it have a row less. Gains and biases of norms
go into the layers behind them.

The width of the stream is then odd, 767 in GPT-2: no group size divides it, and few
kernels like it. Choose it knowing that; rmsnorm keeps the width.

No other program has these models: export "safetensors" with
` + "`layout = \"native\"`" + `, which can be read as a source again.
`,
	Paper:   "Jiang et al. 2023, arXiv:2305.14858",
	NewArgs: func() any { return &CRMSNormArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*CRMSNormArgs)
		return recentring{Fold: true, Drop: true}.typed(c.Node, a.Model)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*CRMSNormArgs)
		return recentring{Fold: true, Drop: true}.lowered(c.Node, g, a.Model, r, a.Verified)
	},
}
