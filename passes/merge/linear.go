package merge

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/passes"
)

// LinearArgs are the arguments of merge "linear".
type LinearArgs struct {
	Sources
	Weighted
	Normalize bool `arg:"normalize" default:"true" doc:"divide by the sum of the weights"`
}

type average struct {
	Weights   []float64 `json:"weights"`
	Normalize bool      `json:"normalize"`
}

var linearMethod = New(Method[average]{
	Kernel: "merge.linear", Impl: 1,
	Tensor: func(t *Tensor, a average) error {
		div := 1.0
		if a.Normalize {
			div = inOrder(a.Weights)
		}
		return t.Merge(func(c *Chunk, dst []float32) {
			for i := range dst {
				s := 0.0
				for m, x := range c.Models {
					s += float64(a.Weights[m] * float64(x[i]))
				}
				dst[i] = float32(s / div)
			}
		})
	},
})

// Linear is the weighted mean of the models' weights.
//
// Wortsman et al. 2022, arXiv:2203.05482.
var Linear = &passes.Pass{
	Verb: "merge", Method: "linear",
	Summary: "The weighted mean of the models' weights; needs no base.",
	Paper:   "Wortsman et al. 2022, arXiv:2203.05482",
	NewArgs: func() any { return &LinearArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*LinearArgs)
		r, ds := job{c.Node, nil, a.Sources}.typeOf(1)
		return r, append(ds, a.check(len(a.Models), a.Normalize)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*LinearArgs)
		return linearMethod.lower(g, job{c.Node, nil, a.Sources}, r, func(place) average {
			return average{a.of(len(a.Models)), a.Normalize}
		}, nil)
	},
}
