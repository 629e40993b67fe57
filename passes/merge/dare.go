package merge

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/passes"
)

// DAREArgs are the arguments of merge "dare".
type DAREArgs struct {
	Base *passes.Model `arg:"base" doc:"the model that the others were trained from"`
	Sources
	Weighted
	Density      Density `arg:"density" default:"0.5" doc:"the probability that a difference is kept; one number, or a list of one for each model"`
	Rescale      string  `arg:"rescale" default:"inverse" enum:"inverse|l1|none" doc:"what makes up for the differences that were dropped: dividing by the density, or giving the sum of magnitudes that the tensor had"`
	SignElection bool    `arg:"sign_election" default:"false" doc:"leave out differences of the sign that was not elected, as in ties"`
	Sign         string  `arg:"sign" default:"sum" enum:"sum|count" doc:"how the sign of a weight is elected, where it is"`
	Lambda       float64 `arg:"lambda" default:"1" doc:"what the merged difference is multiplied by"`
	Normalize    bool    `arg:"normalize" default:"false" doc:"divide by the sum of the weights, of those that agree where signs are elected"`
	DropVectors  bool    `arg:"drop_vectors" default:"false" doc:"drop differences of the gains of norms and of biases too"`
}

// dareParams name the random streams of a tensor: which differences are dropped
// depends on the seed, the tensor's canonical name and the place of the model in
// the list.
type dareParams struct {
	combination
	Density []float64 `json:"density"`
	Rescale string    `json:"rescale"`
	Seed    uint64    `json:"seed"`
	Path    string    `json:"path"`
}

// drop sets the deltas of a chunk to zero with probability 1 − density.
func (a dareParams) drop(c *Chunk) {
	for i, d := range c.Deltas {
		if a.Density[i] == 1 {
			continue
		}
		limit := uint32(float64(a.Density[i] * (1 << 32)))
		stream := rng.New(a.Seed, fmt.Sprintf("merge.dare %s %d", a.Path, i))
		for lo := 0; lo < len(d); lo += stretch {
			part := d[lo:min(lo+stretch, len(d))]
			draws := c.scratch.magnitudes[:len(part)]
			stream.Uint32s(draws, uint64(c.Lo+lo))
			vmath.KeepBelow(part, draws, limit)
		}
	}
}

// scales returns what the kept differences are multiplied by.
func (a dareParams) scales(t *Tensor) ([]float64, error) {
	s := make([]float64, len(a.Density))
	for i, d := range a.Density {
		s[i] = 1
		if a.Rescale == "inverse" {
			s[i] = 1 / d
		}
	}
	if a.Rescale != "l1" {
		return s, nil
	}
	all, left := make([][]float64, len(s)), make([][]float64, len(s))
	for i := range s {
		all[i], left[i] = make([]float64, t.Chunks()), make([]float64, t.Chunks())
	}
	sum := func(to [][]float64, c *Chunk) {
		for i, d := range c.Deltas {
			for _, x := range d {
				to[i][c.Index] += max(x, -x)
			}
		}
	}
	err := t.Each(func(c *Chunk) {
		sum(all, c)
		a.drop(c)
		sum(left, c)
	})
	for i := range s {
		if l := inOrder(left[i]); l > 0 {
			s[i] = inOrder(all[i]) / l
		}
	}
	return s, err
}

var dare = New(Method[dareParams]{
	Kernel: "merge.dare", Impl: 1,
	Tensor: func(t *Tensor, a dareParams) error {
		scales, err := a.scales(t)
		if err != nil {
			return err
		}
		return t.Merge(func(c *Chunk, dst []float32) {
			a.drop(c)
			a.add(c, dst, scales)
		})
	},
})

// DARE drops most of what each model has learnt at random and scales up the
// rest.
//
// Yu et al. 2023, arXiv:2311.03099.
var DARE = &passes.Pass{
	Verb: "merge", Method: "dare",
	Summary: "Drops differences from the base at random, scales up the rest, and adds them to the base.",
	Doc: "Differences of a fine-tune are redundant: with a share of them dropped at random and the rest scaled up, its results stay much the same, and the differences of several models collide less. " +
		"Which are dropped depends on the block's seed, the tensor's name and the model's place in the list, and on nothing else. With sign_election it is what others call dare_ties.",
	Paper:   "Yu et al. 2023, arXiv:2311.03099",
	NewArgs: func() any { return &DAREArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*DAREArgs)
		r, ds := job{c.Node, a.Base, a.Sources}.typeOf(1)
		ds = append(ds, a.check(len(a.Models), a.Normalize && !a.SignElection)...)
		return r, append(ds, a.Density.check(len(a.Models), nil)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*DAREArgs)
		n := len(a.Models)
		return dare.lower(g, job{c.Node, a.Base, a.Sources}, r, func(p place) dareParams {
			q := dareParams{combination{Weights: a.Weighted.of(n), Lambda: a.Lambda, Normalize: a.Normalize}, a.Density.of(n), a.Rescale, c.Seed, p.path}
			if a.SignElection {
				q.Sign = a.Sign
			}
			if p.class == vector && !a.DropVectors {
				q.Density = Density{1}.of(n)
			}
			return q
		}, nil)
	},
}
