package merge

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/passes"
)

// TSVMArgs are the arguments of merge "tsvm".
type TSVMArgs struct {
	Base *passes.Model `arg:"base" doc:"the model that the others were trained from"`
	Sources
	Weighted
	Scale     float64 `arg:"scale" default:"1" doc:"what the merged difference is multiplied by"`
	RankShare string  `arg:"rank_share" default:"equal" enum:"equal|sparsity|energy" doc:"how many directions of a layer each model gets: the same; more where its difference is less sparse; or those that hold 95 % of its energy, as far as there is room"`
	Outliers  string  `arg:"outliers" default:"none" enum:"none|clip|weight" doc:"what becomes of differences above the mean and three standard deviations: they stay; they are cut to that; or models with many of them count less"`
}

// applyParams put a Δ on the base.
type applyParams struct {
	Weights []float64 `json:"weights"`
	Scale   float64   `json:"scale"`
}

// apply adds the merged difference of a block to the base, and to what has none
// (tables, vectors) the mean of the models' differences.
var apply = New(Method[applyParams]{
	Kernel: "merge.apply", Impl: 1,
	Tensor: func(t *Tensor, a applyParams) error {
		d := t.Input("delta")
		if d == nil || !d.Has(t.Name) {
			mean := combination{Weights: a.Weights, Lambda: a.Scale / float64(len(a.Weights))}
			return t.Merge(func(c *Chunk, dst []float32) { mean.add(c, dst, nil) })
		}
		delta, err := d.Float32(t.Name)
		if err != nil {
			return err
		}
		var reports map[string]map[string]float64
		if err := d.JSON("report", &reports); err != nil {
			return err
		}
		for name, x := range reports[t.Name] {
			t.Report(name, x)
		}
		return t.Merge(func(c *Chunk, dst []float32) {
			for i, b := range c.Base {
				dst[i] = float32(float64(b) + float64(a.Scale*float64(delta[c.Lo+i])))
			}
		})
	},
})

// TSVM merges the leading singular directions of what each model has learnt,
// made orthogonal to those of the others.
//
// Gargiulo et al. 2024, arXiv:2412.00081 (TSV-M); weights by outliers and ranks
// by sparsity after Yang et al. 2025, arXiv:2502.06876, whose formulas were not
// published in full.
var TSVM = &passes.Pass{
	Verb: "merge", Method: "tsvm",
	Summary: "Merges the leading singular directions of what models have learnt, made orthogonal to each other.",
	Doc: "For each linear layer and each of T models, the leading 1/T of the singular directions of the difference from the base are kept; those of all models side by side are replaced by the nearest orthonormal ones. Tables and vectors get the mean of the differences. " +
		"Directions that rounding the weights to float32 may have left are passed over: as each is made orthogonal to all others, they would turn those that mean something. The decompositions do not depend on which models are merged or on scale, so that a sweep over these decomposes once. " +
		"A scale of 1 is too much for models that contradict each other; try 0.2 to 1. The report's cut_gap near 0 says that the choice of the last direction was arbitrary.",
	Paper:   "Gargiulo et al. 2024, arXiv:2412.00081; weights and ranks after Yang et al. 2025, arXiv:2502.06876",
	NewArgs: func() any { return &TSVMArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*TSVMArgs)
		r, ds := job{c.Node, a.Base, a.Sources}.typeOf(2)
		return r, append(ds, a.check(len(a.Models), false)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*TSVMArgs)
		j := job{c.Node, a.Base, a.Sources}
		keep := func(t place) int {
			most := min(t.layer.Out, t.layer.In)
			if a.RankShare == "equal" {
				return max(1, most/2) // as many as the fewest models, two, get
			}
			return most
		}
		return apply.lower(g, j, r, func(place) applyParams {
			return applyParams{a.of(len(a.Models)), a.Scale}
		}, func(p part) []action.Input {
			if p.block < 0 {
				return nil
			}
			q := orthogonalParams{Weights: a.of(len(a.Models)), Share: a.RankShare, ByOutliers: a.Outliers == "weight"}
			flops := 0.0
			for _, t := range p.linears().places {
				q.Layers = append(q.Layers, layerParams{t.leaf, t.layer.Out, t.layer.In})
				n := float64(min(t.layer.Out, t.layer.In))
				flops += float64(100*n*n*n) + float64(10*n*float64(t.elements))
			}
			var in []action.Input
			for i, ref := range j.decompositions(g, p, a.Outliers == "clip", keep) {
				in = append(in, action.Input{Name: taskInput(i), Ref: ref})
			}
			d := g.Add(action.Spec{Kernel: orthogonal, Params: q, Inputs: in, Node: c.Node, Label: p.label, Flops: flops, Peak: 96 << 20,
				Outputs: []action.Output{{Name: "delta", Class: action.Durable, Bytes: p.linears().elements() * 4}}})
			return []action.Input{{Name: "delta", Ref: action.Ref{Action: d, Output: "delta"}}}
		})
	},
}
