package transform

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/passes"
)

// RMSNormArgs are the arguments of transform "rmsnorm".
type RMSNormArgs struct {
	Model      *passes.Model `arg:"model" doc:"the model to rewrite"`
	FoldAffine bool          `arg:"fold_affine" default:"true" doc:"move gains and biases of the norms into the layers behind them; the head then has a bias. With false the norms keep both, and only what is added to the residual stream is rewritten"`
	Verified
}

// RMSNorm turns LayerNorm into RMSNorm, exactly.
//
// Jiang et al. 2023, arXiv:2305.14858. Departures: gains and biases can be
// folded, and a tied head becomes one of its own.
var RMSNorm = &passes.Pass{
	Verb: "transform", Method: "rmsnorm",
	Summary: "Turns LayerNorm into RMSNorm, exactly: the mean goes out of what is added to the residual stream.",
	Doc: `A decoder with LayerNorm before attention and MLP (GPT-2, OPT) takes the mean out of
its residual stream in every norm. Here it is taken out of the embedding, the positions
and the layers o_proj and down_proj instead, once, in the weights; LayerNorm of what has
no mean is RMSNorm. What the model computes stays, but for rounding in float32.

A head that was the embedding becomes a table of its own, which adds as many
parameters. Transform before pruning (a mean taken out fills zeros) and before
quantising. Methods that follow give the layers a mean again, which RMSNorm does not
take out: what they do is measured with it.

No other program has these models: export "safetensors" with
` + "`layout = \"native\"`" + `, which can be read as a source again.
`,
	Paper:   "Jiang et al. 2023, arXiv:2305.14858",
	NewArgs: func() any { return &RMSNormArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*RMSNormArgs)
		return a.recentring().typed(c.Node, a.Model)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*RMSNormArgs)
		return a.recentring().lowered(c.Node, g, a.Model, r, a.Verified)
	},
}

func (a *RMSNormArgs) recentring() recentring { return recentring{Fold: a.FoldAffine} }
