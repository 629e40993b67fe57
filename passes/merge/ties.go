package merge

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/passes"
)

// TIESArgs are the arguments of merge "ties".
type TIESArgs struct {
	Base *passes.Model `arg:"base" doc:"the model that the others were trained from"`
	Sources
	Weighted
	Density     Density `arg:"density" default:"0.2" doc:"which share of each difference is kept, the largest; one number, or a list of one for each model"`
	Lambda      float64 `arg:"lambda" default:"1" doc:"what the merged difference is multiplied by"`
	Normalize   bool    `arg:"normalize" default:"true" doc:"take the weighted mean of the differences that agree, not their sum"`
	Sign        string  `arg:"sign" default:"sum" enum:"sum|count" doc:"how the sign of a weight is elected: by the weighted sum of the differences, or by their number"`
	TrimVectors bool    `arg:"trim_vectors" default:"false" doc:"trim the gains of norms and biases too"`
}

// tiesParams hold a share for each delta; 1 trims nothing.
type tiesParams struct {
	combination
	Density []float64 `json:"density"`
}

// counts are how many elements of each delta are kept.
func counts(density []float64, n int) []int {
	c := make([]int, len(density))
	for i, d := range density {
		c[i] = kept(d, n)
	}
	return c
}

var ties = New(Method[tiesParams]{
	Kernel: "merge.ties", Impl: 1,
	Tensor: func(t *Tensor, a tiesParams) error {
		s, err := findLargest(t, counts(a.Density, t.Elements()))
		if err != nil {
			return err
		}
		return t.Merge(func(c *Chunk, dst []float32) {
			s.trim(c, c.Deltas)
			a.add(c, dst, nil)
		})
	},
})

// TIES merges the differences without those that are small or contradict.
//
// Yadav et al. 2023, arXiv:2306.01708. The paper keeps the largest differences
// of a whole model; here, as in mergekit, it is those of each tensor.
var TIES = &passes.Pass{
	Verb: "merge", Method: "ties",
	Summary: "Merges what models have learnt: the largest differences from the base, where signs agree.",
	Doc: "For each tensor: all but the largest differences of each model are set to zero; the sign of each weight is elected; the differences of that sign are averaged and added to the base. " +
		"With a single model that is its trimmed difference, not the model itself. Of differences of equal size the first are kept.",
	Paper:   "Yadav et al. 2023, arXiv:2306.01708",
	NewArgs: func() any { return &TIESArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*TIESArgs)
		r, ds := job{c.Node, a.Base, a.Sources}.typeOf(1)
		ds = append(ds, a.check(len(a.Models), false)...)
		return r, append(ds, a.Density.check(len(a.Models), r.Model.Type)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*TIESArgs)
		n := len(a.Models)
		return ties.lower(g, job{c.Node, a.Base, a.Sources}, r, func(p place) tiesParams {
			q := tiesParams{combination{a.Weighted.of(n), a.Lambda, a.Normalize, a.Sign}, a.Density.of(n)}
			if p.class == vector && !a.TrimVectors {
				q.Density = Density{1}.of(n)
			}
			return q
		}, nil)
	},
}
