package merge

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/passes"
)

// Masks are the arguments of merges by masks.
type Masks struct {
	Base *passes.Model `arg:"base" doc:"the model that the others were trained from"`
	Sources
	Rule    string  `arg:"rule" default:"sum" enum:"sum|ties" doc:"how the differences of all models become one: their sum, or the sum of the largest of the elected sign"`
	TiesTop float64 `arg:"ties_top" default:"0.2" above:"0" max:"1" doc:"which share of each difference rule \"ties\" keeps"`
	Lambda  float64 `arg:"lambda" default:"0.4" min:"0" doc:"how large a model's own difference must be beside what the others add, to count as its own"`
}

func (a Masks) job(node string) job { return job{node, a.Base, a.Sources} }

// total is the rule; a density that the sum does not use is left out, so that it
// makes no other action.
func (a Masks) total() total {
	if a.Rule == "sum" {
		return total{Rule: a.Rule}
	}
	return total{a.Rule, a.TiesTop}
}

func (a Masks) typeOf(node string) (passes.Result, diag.List) {
	r, ds := a.job(node).typeOf(2)
	if n := len(a.Models); n > 64 {
		ds.Errorf("models", "Too many models", "Masks of at most 64 models are counted; models has %d.", n)
	}
	if a.Rule == "ties" {
		for _, d := range (Density{a.TiesTop}).check(1, r.Model.Type) {
			d.Arg = "ties_top"
			ds = append(ds, d)
		}
	}
	return r, ds
}

// ConsensusArgs are the arguments of merge "consensus".
type ConsensusArgs struct {
	Masks
	Threshold int     `arg:"threshold" default:"2" min:"0" doc:"how many models must count a difference as their own for it to be kept; 0 keeps all"`
	Scale     float64 `arg:"scale" default:"0.3" doc:"what the kept difference is multiplied by"`
}

type consensusParams struct {
	total
	Mask      float64 `json:"mask"` // the λ of the masks
	Threshold int     `json:"threshold"`
	Scale     float64 `json:"scale"`
}

var consensus = New(Method[consensusParams]{
	Kernel: "merge.consensus", Impl: 1,
	Tensor: func(t *Tensor, a consensusParams) error {
		s, err := a.choice(t)
		if err != nil {
			return err
		}
		unused, selfish := make([]int, t.Chunks()), make([]int, t.Chunks())
		err = t.Merge(func(c *Chunk, dst []float32) {
			a.each(c, s, func(lo int, all []float64) {
				users := c.scratch.users[:len(all)]
				clear(users)
				for m := range c.Models {
					c.mask(users, m, lo, a.Mask, all)
				}
				c.addUsed(dst, lo, all, a.Scale, users, a.Threshold)
				unused[c.Index] += vmath.CountEqual(users, 0)
				selfish[c.Index] += vmath.CountEqual(users, 1)
			})
		})
		t.Report("used_by_none", float64(sumInts(unused))/float64(max(t.Elements(), 1)))
		t.Report("used_by_one", float64(sumInts(selfish))/float64(max(t.Elements(), 1)))
		return err
	},
})

// Consensus keeps what several models have learnt.
//
// Wang et al. 2024, arXiv:2405.07813.
var Consensus = &passes.Pass{
	Verb: "merge", Method: "consensus",
	Summary: "Adds what several models have learnt to the base, without what serves none or only one.",
	Doc: "The differences of all models are added up; a model's own mask marks where its difference is larger than lambda times what the others add. Where fewer than threshold masks agree the base stays as it is. " +
		"Models that contradict each other do not gain by this: a single model cannot serve them all.",
	Paper:   "Wang et al. 2024, arXiv:2405.07813",
	NewArgs: func() any { return &ConsensusArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*ConsensusArgs)
		r, ds := a.typeOf(c.Node)
		if n := len(a.Models); a.Threshold > n {
			ds.Warnf("threshold", "The base comes out", "No difference is kept, because threshold = %d and there are %d models.", a.Threshold, n)
		}
		return r, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*ConsensusArgs)
		return consensus.lower(g, a.job(c.Node), r, func(place) consensusParams {
			return consensusParams{a.total(), a.Lambda, a.Threshold, a.Scale}
		}, nil)
	},
}

// TALLArgs are the arguments of merge "tall".
type TALLArgs struct {
	Masks
	Task int `arg:"task" min:"0" doc:"which of the models to bring back, from 0"`
}

type tallParams struct {
	total
	Mask float64 `json:"mask"` // the λ of the mask
	Task int     `json:"task"`
}

var tall = New(Method[tallParams]{
	Kernel: "merge.tall", Impl: 1,
	Tensor: func(t *Tensor, a tallParams) error {
		s, err := a.choice(t)
		if err != nil {
			return err
		}
		return t.Merge(func(c *Chunk, dst []float32) {
			a.each(c, s, func(lo int, all []float64) {
				mask := c.scratch.users[:len(all)]
				clear(mask)
				c.mask(mask, a.Task, lo, a.Mask, all)
				c.addUsed(dst, lo, all, 1, mask, 1)
			})
		})
	},
})

// TALL brings one model back from the sum of all by its mask.
//
// Wang et al. 2024, arXiv:2405.07813.
var TALL = &passes.Pass{
	Verb: "merge", Method: "tall",
	Summary: "Brings one of several models back from the sum of their differences by a mask of one bit a weight.",
	Doc:     "The result is the base with the merged difference where the model's mask is set: what a store of the base, one merged difference and a mask for each model gives back. It shows what such a store would lose; the result itself is a model of full size.",
	Paper:   "Wang et al. 2024, arXiv:2405.07813",
	NewArgs: func() any { return &TALLArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*TALLArgs)
		r, ds := a.typeOf(c.Node)
		if n := len(a.Models); n > 0 && a.Task >= n {
			ds.Errorf("task", "No such model", "task = %d, and models has %d, counted from 0.", a.Task, n)
		}
		return r, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*TALLArgs)
		return tall.lower(g, a.job(c.Node), r, func(place) tallParams {
			return tallParams{a.total(), a.Lambda, a.Task}
		}, nil)
	},
}
