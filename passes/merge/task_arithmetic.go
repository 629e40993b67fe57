package merge

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/passes"
)

// TaskArithmeticArgs are the arguments of merge "task_arithmetic".
type TaskArithmeticArgs struct {
	Base *passes.Model `arg:"base" doc:"the model that the others were trained from"`
	Sources
	Weighted
	Lambda    float64 `arg:"lambda" default:"1" doc:"what the sum of the deltas is multiplied by"`
	Normalize bool    `arg:"normalize" default:"false" doc:"divide by the sum of the weights"`
}

// taskArithmetic adds the deltas combined as they are.
var taskArithmetic = New(Method[combination]{
	Kernel: "merge.task_arithmetic", Impl: 1,
	Tensor: func(t *Tensor, a combination) error {
		return t.Merge(func(c *Chunk, dst []float32) { a.add(c, dst, nil) })
	},
})

// TaskArithmetic adds what each model has learnt to the base.
//
// Ilharco et al. 2022, arXiv:2212.04089.
var TaskArithmetic = &passes.Pass{
	Verb: "merge", Method: "task_arithmetic",
	Summary: "Adds to the base what each model has learnt: the weighted sum of the differences.",
	Doc:     "A negative weight takes away what a model has learnt. The sum of the differences is not their mean: with several models that have learnt the same, lambda below 1 is often better.",
	Paper:   "Ilharco et al. 2022, arXiv:2212.04089",
	NewArgs: func() any { return &TaskArithmeticArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*TaskArithmeticArgs)
		r, ds := job{c.Node, a.Base, a.Sources}.typeOf(1)
		return r, append(ds, a.check(len(a.Models), a.Normalize)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*TaskArithmeticArgs)
		return taskArithmetic.lower(g, job{c.Node, a.Base, a.Sources}, r, func(place) combination {
			return combination{Weights: a.of(len(a.Models)), Lambda: a.Lambda, Normalize: a.Normalize}
		}, nil)
	},
}
