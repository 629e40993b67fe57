package prune

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// MagnitudeArgs are the arguments of prune "magnitude".
type MagnitudeArgs struct {
	Model     *passes.Model `arg:"model" doc:"the model to prune"`
	Scope     string        `arg:"scope" default:"layer" enum:"row|layer|global" doc:"what weights compete with: those of their output row, of the whole matrix, or of all layers together; N:M compares within its groups"`
	Normalise string        `arg:"normalise" default:"none" enum:"none|layer_std" doc:"of scope = \"global\": compare weights as they are, or each in standard deviations of its layer's"`
	Amount
	Global
	blockwise.Target
}

func (a *MagnitudeArgs) scope() scope {
	return scope{a.Scope, a.Amount, a.Global, a.Target, a.Normalise == "layer_std"}
}

var magnitude = newScored("prune.magnitude", 2, blockwise.Needs{}, func(w *blockwise.Work, _ struct{}, scores []float64) error {
	for i, x := range w.W {
		scores[i] = float64(max(x, -x))
	}
	return nil
})

// Magnitude removes the weights of smallest absolute value.
//
// Han et al. 2015, arXiv:1506.02626, as the baseline of Sun et al. 2023: the
// threshold is taken over a whole matrix. One threshold for all layers, with a
// floor: Gupta et al. 2022, arXiv:2209.14624.
var Magnitude = &passes.Pass{
	Verb: "prune", Method: "magnitude",
	Summary: "Removes the weights of smallest absolute value; needs no data.",
	Doc: `With ` + "`scope = \"global\"`" + ` one threshold holds for all selected layers, so that each loses
as much as it has small weights. No layer goes below ` + "`min_keep`" + ` or ` + "`min_keep_layer`" + `; what
a floor saves is taken from the other layers. How much each has lost is the
attribute ` + "`allocation`" + ` of the block, which other pruners take:

` + "```hcl" + `
prune "magnitude" "ranked" {
  model    = model.base
  sparsity = 0.6
  scope    = "global"
}

prune "wanda" "pruned" {
  model      = model.base
  data       = data.calib
  allocation = prune.ranked.allocation
}
` + "```" + `

Sizes of weights in different layers can be compared in so far as the layers have
the same scale: factors that smoothing or AWQ move from one layer to another do not
change the model and do change which weights go. ` + "`normalise = \"layer_std\"`" + ` compares each
layer's weights in units of their own spread.

All sparsities of a sweep share the histograms that the threshold is found by.

Pruning in steps is a chain of blocks: prune, retrain, prune more, retrain. What was
pruned stays pruned and counts. Of *n* steps to a sparsity *s*, step *i* removes
*s* · (1 − (1 − *i* / *n*)³) in the schedule of Zhu and Gupta 2017.
`,
	Paper:   "Han et al. 2015, arXiv:1506.02626; global: Gupta et al. 2022, Is Complexity Required for Neural Network Pruning?, arXiv:2209.14624",
	NewArgs: func() any { return &MagnitudeArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*MagnitudeArgs)
		return typeOfScored(c.Node, a.Model, a.scope(), "", func(l *model.Linear) Amount {
			return schema.Resolve(*a, blockwise.ModuleOf(l)).Amount
		})
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*MagnitudeArgs)
		j := blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Allocation: a.Allocation}
		return magnitude.lower(g, j, a.scope(), r, func(l *model.Linear) (selection[struct{}], bool) {
			x, ok := layer(*a, a.Target, l, func(x MagnitudeArgs) Amount { return x.Amount })
			return selectionOf(x.scope(), struct{}{}), ok
		})
	},
}
