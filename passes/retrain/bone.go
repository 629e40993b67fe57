package retrain

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/training"
)

// BoneArgs are the arguments of retrain "bone".
type BoneArgs struct {
	Model   *passes.Model `arg:"model" doc:"the model to retrain"`
	Data    *passes.Data  `arg:"data" doc:"training windows"`
	Block   int           `arg:"block" default:"32" min:"1" max:"1024" doc:"side of the blocks that a weight is cut into; out·block numbers are trained for a weight [out, in]"`
	Variant string        `arg:"variant" default:"affine" enum:"affine|additive" doc:"affine: a block W of the weight becomes W + W·B + B, one B for a row of blocks, and block divides both sides; additive: W + B"`
	merging
	training.Run
	blockwise.Target
}

const boneRate = 2e-4

func (a *BoneArgs) update() update {
	affine := a.Variant == "affine"
	u := update{model: a.Model, data: a.Data, merge: a.Merge, run: a.Run, target: a.Target, rate: boneRate, init: train.Kaiming,
		of: func(l *model.Linear, masked bool) training.Linear {
			k := train.BoneAdditive
			if affine {
				k = train.BoneAffine
			}
			return training.Linear{Name: l.Name, Kind: k, Rank: a.Block, Masked: masked}
		},
		misfit: func(l *model.Linear) *misfit {
			switch {
			case affine && (l.Out%a.Block != 0 || l.In%a.Block != 0):
				return &misfit{"block", "Block does not divide the layer", fmt.Sprintf("are [%d, %d], which blocks of %d do not divide. Use a divisor of %d, or variant = \"additive\".", l.Out, l.In, a.Block, gcd(l.Out, l.In))}
			case a.Block > min(l.Out, l.In):
				return &misfit{"block", "Block is larger than the layer", fmt.Sprintf("are [%d, %d]; blocks have at most %d.", l.Out, l.In, min(l.Out, l.In))}
			}
			return nil
		}}
	if !affine {
		u.side = func(*model.Linear) int { return a.Block }
		u.adapter = func() *passes.Adapter { return &passes.Adapter{Rank: a.Block} }
	}
	return u
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Bone trains one small matrix for all blocks in a row of blocks of a weight.
//
// Kang and Yin 2024, arXiv:2409.15371.
var Bone = &passes.Pass{
	Verb: "retrain", Method: "bone",
	Summary: "Trains an affine, or additive, change of the blocks that each weight is cut into, and merges it, keeping the mask.",
	Paper:   "Kang and Yin 2024, arXiv:2409.15371",
	NewArgs: func() any { return &BoneArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		return c.Args.(*BoneArgs).update().typeOf(c.Node)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		return c.Args.(*BoneArgs).update().lower(c, g, r)
	},
}
